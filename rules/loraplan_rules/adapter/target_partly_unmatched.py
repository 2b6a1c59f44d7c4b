"""Some of the targets match no module of the model.

## What it does
With the model's architecture known, flags each entry of a target list that matches nothing while others do. An error
where all of q, k and v, or both gate and up, are missing.

## Why is this bad?
PEFT is silent about it and adapts what is left: Phi-3 with Llama's seven names trains `o_proj` and `down_proj` only.

## Example
```yaml
base_model: meta-llama/Llama-3.1-8B
datasets:
  - path: tatsu-lab/alpaca
    type: alpaca
adapter: lora
lora_r: 16
lora_alpha: 32
lora_target_modules: [q_proj, k_proj, v_prj, o_proj, gate_proj, up_proj, down_proj]
sequence_len: 2048
micro_batch_size: 2
gradient_accumulation_steps: 8
num_epochs: 2
optimizer: adamw_torch
lr_scheduler: cosine
learning_rate: 0.0002
bf16: true
```

## Use instead
```yaml
base_model: meta-llama/Llama-3.1-8B
datasets:
  - path: tatsu-lab/alpaca
    type: alpaca
adapter: lora
lora_r: 16
lora_alpha: 32
lora_target_modules: [q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj]
sequence_len: 2048
micro_batch_size: 2
gradient_accumulation_steps: 8
num_epochs: 2
optimizer: adamw_torch
lr_scheduler: cosine
learning_rate: 0.0002
bf16: true
```

## Options
No options.

## Evidence
- peft 0.21.2 `tuners/tuners_utils.py`: only a list of which nothing matches raises (run on Phi-3 with Llama's names).

## What it does not flag
- The layers of experts, which are fused into parameters or not by the version of transformers, and which Unsloth takes
  apart again: only an info.
- A name of another family beside this family's own layers, in a list made for several: only an info.
- Other frameworks than mlx-lm with LoRA layers of their own, models whose architecture is unknown, and targets given
  as a string.
- Names of another family's fused or split layers: ARC001 says what they are called here.

## Fix safety
Safe where the entry is one edit away from exactly one layer of the model; otherwise there is none.
"""

from __future__ import annotations

from collections.abc import Iterator

from loraplan.arch.names import equivalents, leaves, role
from loraplan.derived import is_lora, listed
from loraplan.formats.targets import legible, made_by_peft, target_span
from loraplan.plan import Plan
from loraplan.rule import Context, Evidence, Finding, Fix, Set, Severity, rule
from loraplan_rules.mlx_paths import with_path, without_path

_EXPERT = frozenset(("gate", "up", "down", "gate_up"))
_TOGETHER = (frozenset("qkv"), frozenset(("gate", "up")))


@rule(
    code="TGT002",
    name="target-partly-unmatched",
    severity="warning",
    why="peft does not report an entry that matches nothing: only what is left is trained",
    reads=("adapter.target_modules", "model.name"),
    needs=("arch",),
    evidence=(
        Evidence(
            "only an empty match raises",
            "https://github.com/huggingface/peft/blob/main/src/peft/tuners/tuners_utils.py",
            "peft 0.21.2, run",
        ),
    ),
    suppresses=("TGT004", "TGT005", "RNK005"),  # what is covered says nothing while names are wrong
)
def check(plan: Plan, ctx: Context) -> Iterator[Finding]:
    targets = plan.adapter.target_modules
    bare = without_path(ctx, targets)
    if is_lora(plan) and bare and len(bare) < len(targets or ()):
        yield _mlx(bare, targets or ())
    if not isinstance(targets, tuple) or not is_lora(plan) or not made_by_peft(ctx.reading):
        return
    if not legible(targets):
        return
    matched = ctx.matched
    if not matched.modules or not matched.unmatched:
        return
    arch = ctx.arch
    known = leaves(arch)
    meant = {name: equivalents(name, arch) for name in matched.unmatched}
    covered = {name for name, others in meant.items() if others and set(others) <= set(targets)}
    experts = {name for name in matched.unmatched if arch.num_experts and role(name) in _EXPERT}
    fused = [".".join(m.name.split(".")[-3:]) for m in arch.modules if m.kind == "Parameter" and len(m.shape) == 3]
    missing = {role(name) for name in matched.unmatched if name not in covered | experts}
    severe = any(parts <= missing for parts in _TOGETHER)
    for name in matched.unmatched:
        near = _near(name, known)
        others = [other for other in meant[name] if other not in targets]
        fix = None
        if near:
            remedy = f"write {near}"
            new = tuple(dict.fromkeys(near if item == name else item for item in targets))
            fix = Fix(f"replace {name} with {near}", (Set("adapter.target_modules", new),), "safe")
        else:
            remedy = f"write {listed(others)}" if others else f"remove it; the linear layers are {listed(known, 8)}"
        message = f"{name} matches no module of {arch.name}: it is left out without a word"
        if name in experts:
            message = f"{name} matches no module of {arch.name}, whose experts transformers 5 fuses into parameters"
            remedy = f"adapt the experts through {ctx.key('adapter.target_parameters')}"
            remedy += f": {listed(fused)}" if fused else ""
        severity: Severity | None = "error" if severe and role(name) else None
        if name in experts or (covered and meant[name]):
            severity = "info"  # fused or not by version and framework; or a list that names several families' layers
        yield Finding(
            message,
            at=target_span(ctx.reading, name),
            severity=severity,
            remedy=remedy,
            fix=fix,
        )


def _mlx(names: tuple[str, ...], targets: tuple[str, ...] | str) -> Finding:
    paths = {name: path for name in names if (path := with_path(name)) is not None}
    new = tuple(paths.get(name, name) for name in targets)
    fix = Fix(f"write {listed(paths.values())}", (Set("adapter.target_modules", new),), "unsafe")
    return Finding(
        f"{listed(names)} {'name' if len(names) > 1 else 'names'} no layer: mlx-lm compares whole paths within a block,"
        " such as self_attn.q_proj",
        at="adapter.target_modules",
        remedy=f"write {listed(paths.values())}" if len(paths) == len(names) else "write each with its path",
        fix=fix if len(paths) == len(names) else None,
    )


def _near(name: str, known: dict[str, str]) -> str | None:
    from loraplan.formats.table import edit_distance

    close = [other for other in known if edit_distance(name, other, 1) <= 1]
    return close[0] if len(close) == 1 and role(name) is None else None
