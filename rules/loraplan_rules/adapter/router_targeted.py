"""The router of a mixture of experts is adapted.

## What it does
With the model's architecture known, flags a router that the targets reach: named itself (`gate`, `router`,
`shared_expert_gate`), or by `all-linear`, which takes it in on Mixtral, Qwen2-MoE and Qwen3-MoE.

## Why is this bad?
The router decides which experts a token goes to. Published recipes leave it alone, since a few steps on little data
shift the load among the experts. `gate` is not `gate_proj`, which belongs to the MLP.

## Example
```yaml
model_name_or_path: Qwen/Qwen3-30B-A3B
dataset_name: trl-lib/Capybara
use_peft: true
lora_r: 16
lora_alpha: 32
lora_target_modules: all-linear
lora_dropout: 0.0
bf16: true
learning_rate: 2.0e-4
warmup_steps: 50
num_train_epochs: 2
```

## Use instead
```yaml
model_name_or_path: Qwen/Qwen3-30B-A3B
dataset_name: trl-lib/Capybara
use_peft: true
lora_r: 16
lora_alpha: 32
lora_target_modules: [q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj]
lora_dropout: 0.0
bf16: true
learning_rate: 2.0e-4
warmup_steps: 50
num_train_epochs: 2
```

## Options
No options.

## Evidence
- peft 0.21.2 with transformers 5.23.0: `all-linear` adapts `mlp.gate` of Mixtral and Qwen3-MoE (through PEFT's
  conversion to parameters, which `exclude_modules` does not stop) and `shared_expert_gate` of Qwen2-MoE; run on tiny
  models. In transformers 4 these are linear layers, with the same result.
- That it harms is a judgement from practice (axolotl's and Unsloth's examples leave the router out), hence a warning.

## What it does not flag
- The gate of Qwen2-MoE's shared expert, which chooses no experts and which LLaMA-Factory's own examples adapt: an info.
- Frameworks that list the linear layers themselves (axolotl, LLaMA-Factory, ms-swift), where in transformers 5 the
  router is no linear layer.
- Frameworks with LoRA layers of their own, and models whose architecture is unknown.

## Fix safety
Unsafe: the targets are written out without the router, or it is excluded; the router is then no longer trained.
"""

from __future__ import annotations

from collections.abc import Iterator

from loraplan.arch.match import linear_leaf_names
from loraplan.arch.names import leaves
from loraplan.derived import is_lora, listed
from loraplan.formats.targets import judgeable, made_by_peft, target_span
from loraplan.plan import Plan
from loraplan.rule import Context, Evidence, Finding, Fix, Set, rule
from loraplan_rules.experts import selected

_MIXTRAL = ("w1", "w2", "w3")
_SHARED = frozenset(("shared_expert_gate",))
"""Weighs the shared expert for every token; it does not choose experts."""


@rule(
    code="TGT010",
    name="router-targeted",
    severity="warning",
    why="the router spreads tokens over the experts; training it on little data shifts their load",
    reads=("adapter.target_modules", "model.name"),
    needs=("arch",),
    evidence=(
        Evidence(
            "gate becomes gate.weight",
            "https://github.com/huggingface/peft/blob/main/src/peft/utils/transformers_weight_conversion.py",
            "peft 0.21.2 with transformers 5.23.0, run",
        ),
    ),
)
def check(plan: Plan, ctx: Context) -> Iterator[Finding]:
    targets, reading = plan.adapter.target_modules, ctx.reading
    if targets is None or not is_lora(plan) or not made_by_peft(reading) or not judgeable(plan, reading):
        return
    arch = ctx.arch
    if not arch.num_experts:
        return
    routers = [m for m in selected(plan, ctx).modules if m.part == "router"]
    if not routers:
        return
    names = list(dict.fromkeys(m.name.removesuffix(".weight").rpartition(".")[2] for m in routers))
    key, excluding = ctx.key("adapter.target_modules"), ctx.key("adapter.exclude_modules")
    fix, remedy = None, f"take {listed(names)} out of {key}"
    entry = names[0]
    if isinstance(targets, tuple):
        rest = tuple(name for name in targets if name.rpartition(".")[2] not in names)
        entry = next((name for name in targets if name not in rest), entry)
        if rest and len(rest) < len(targets):
            fix = Fix(f"set {key} to {', '.join(rest)}", (Set("adapter.target_modules", rest),), "unsafe")
    elif targets == "all-linear" and all(m.kind == "Parameter" for m in routers):
        # PEFT turns these into parameters, which no exclusion stops
        rest = tuple(name for name in linear_leaf_names(arch) if name not in names and name in leaves(arch))
        rest += _MIXTRAL if arch.model_type == "mixtral" else ("gate_proj", "up_proj", "down_proj")
        rest = tuple(dict.fromkeys(rest))
        remedy = f"name the targets: {', '.join(rest)}"
        fix = Fix(f"set {key} to {', '.join(rest)}", (Set("adapter.target_modules", rest),), "unsafe")
    elif "adapter.exclude_modules" in ctx.reading.keys and plan.adapter.exclude_modules is None:
        remedy = f"set {excluding} to {', '.join(names)}"
        fix = Fix(remedy, (Set("adapter.exclude_modules", tuple(names)),), "unsafe")
    yield Finding(
        f"{key} also adapts the router{'' if len(names) == 1 else 's'} of {arch.name}: {listed(names)}",
        at=target_span(ctx.reading, entry),
        severity="info" if set(names) <= _SHARED else None,
        remedy=remedy,
        fix=fix,
    )
