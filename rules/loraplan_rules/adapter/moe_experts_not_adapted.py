"""The experts of a mixture of experts are not adapted, though the targets name MLP layers.

## What it does
With the model's architecture known, flags targets that name MLP layers (or `all-linear`) of a model whose experts are
fused into parameters, where none of these is adapted: GPT-OSS and Llama 4 always; with transformers 5 Mixtral by
Llama's names, Qwen2-MoE, DeepSeek and others for which PEFT has no conversion.

## Why is this bad?
The experts are most of the model, and stay frozen without a word: only attention (and a shared expert) is trained. In
transformers 5 experts are one tensor a layer, which `target_modules` cannot reach; `target_parameters` can.

## Example
```yaml
model_name_or_path: openai/gpt-oss-20b
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

## Use instead
```yaml
model_name_or_path: openai/gpt-oss-20b
dataset_name: trl-lib/Capybara
use_peft: true
lora_r: 16
lora_alpha: 32
lora_target_modules: [q_proj, k_proj, v_proj, o_proj]
lora_target_parameters: [mlp.experts.gate_up_proj, mlp.experts.down_proj]
lora_dropout: 0.0
bf16: true
learning_rate: 2.0e-4
warmup_steps: 50
num_train_epochs: 2
```

## Options
No options.

## Evidence
- peft 0.21.2 with transformers 5.23.0, run on tiny models: Mixtral by the seven names, and GPT-OSS by any, adapt
  attention only; Qwen2-MoE attention and the shared expert; Qwen3-MoE's names are converted to parameters.
- Reports: peft issue 3009, Unsloth pull request 6936.

## What it does not flag
- Targets that name attention only, or the shared expert by its name (`shared_expert.up_proj`).
- The families that transformers 4 builds of linear layers: an info while the version of transformers is unknown,
  nothing with version 4.
- Unsloth, KTransformers and axolotl's `llama4_linearized_experts`, which take the experts apart again; frameworks with
  LoRA layers of their own; models whose architecture is unknown.

## Fix safety
Unsafe: `target_parameters` with the experts' weights adds many parameters, one pair of matrices an expert; PEFT's
documentation advises a rank divided by the number of experts.
"""

from __future__ import annotations

from collections.abc import Iterator

from loraplan.arch.names import role
from loraplan.derived import is_lora, listed
from loraplan.formats.targets import judgeable, made_by_peft
from loraplan.plan import Plan
from loraplan.rule import Context, Evidence, Finding, Fix, Set, rule
from loraplan_rules import experts
from loraplan_rules.keys import entry

_MLP = frozenset(("gate", "up", "down", "gate_up"))
_TEXT_PARTS = frozenset(("attention", "mlp", "shared_expert"))
_NAMES = ("gate_proj", "up_proj", "down_proj", "w1", "experts", "mlp")


@rule(
    code="TGT011",
    name="moe-experts-not-adapted",
    severity="warning",
    why="fused experts are parameters, which target_modules cannot reach: most of the model stays frozen",
    reads=("adapter.target_modules", "adapter.target_parameters", "model.name"),
    needs=("arch",),
    evidence=(
        Evidence(
            "which architectures are converted",
            "https://github.com/huggingface/peft/blob/main/src/peft/utils/transformers_weight_conversion.py",
            "peft 0.21.2 with transformers 5.23.0, run",
        ),
        Evidence("a report", "https://github.com/huggingface/peft/issues/3009", "issue thread"),
    ),
)
def check(plan: Plan, ctx: Context) -> Iterator[Finding]:
    adapter, reading = plan.adapter, ctx.reading
    if not is_lora(plan) or not made_by_peft(reading) or not judgeable(plan, reading):
        return
    if not _means_mlp(adapter.target_modules) or reading.format == "unsloth":
        return
    if adapter.target_parameters or entry(reading, "llama4_linearized_experts", "use_kt"):
        return
    arch = ctx.arch
    weights = experts.parameters(arch)
    fused = experts.fused(ctx) if weights else False
    if fused is False:
        return
    matched = experts.selected(plan, ctx)
    if not matched.modules or any(m.part == "expert" for m in matched.modules):
        return
    names, key = experts.short_names(weights), ctx.key("adapter.target_parameters")
    reachable = "adapter.target_parameters" in reading.keys
    parts = dict.fromkeys(m.part.replace("_", " ") for m in matched.modules if m.part in _TEXT_PARTS)
    yield Finding(
        f"the {arch.num_experts} experts of {arch.name} are not adapted, only {listed(parts)}:"
        f" {'' if fused else 'in transformers 5 '}they are fused into {listed(names)}",
        at="adapter.target_modules",
        severity=None if fused else "info",
        remedy=f"set {key} to {', '.join(names)}" if reachable else f"adapt {listed(names)} through target_parameters",
        fix=Fix(f"set {key} to {', '.join(names)}", (Set("adapter.target_parameters", names),), "unsafe")
        if reachable
        else None,
    )


def _means_mlp(targets: tuple[str, ...] | str | None) -> bool:
    """Whether the targets say that the MLP layers, those of a shared expert apart, are to be adapted."""
    if isinstance(targets, str):
        return targets == "all-linear" or (any(name in targets for name in _NAMES) and "shared" not in targets)
    return any(role(name) in _MLP and "shared" not in name for name in targets or ())
