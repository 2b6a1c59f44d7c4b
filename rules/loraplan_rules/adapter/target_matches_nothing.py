"""No module of the model matches the adapter's targets.

## What it does
With the model's architecture known, matches `target_modules` as PEFT does (an entry equals a module's name or its last
parts; a string is a regular expression for the whole name), with `exclude_modules`, `modules_to_save` and
`layers_to_transform` applied, and flags a config that adapts nothing. mlx-lm compares whole paths within a block, so
there names without a path are flagged, whatever the model.

## Why is this bad?
PEFT stops with "Target modules ... not found in the base model", after the model has been loaded.

## Example
```yaml
base_model: meta-llama/Llama-3.1-8B
datasets:
  - path: tatsu-lab/alpaca
    type: alpaca
adapter: lora
lora_r: 16
lora_alpha: 32
lora_target_modules:
  - attn.query
  - attn.value
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
lora_target_linear: true
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
- peft 0.21.2 `tuners/tuners_utils.py`: `check_target_module_exists`, and the error when nothing matched (run).
- mlx-lm 0.32.2 `tuner/utils.py`, linear_to_lora_layers: `k in keys` for the paths of a block and of the model.
- A frequent report: LLaMA-Factory issues 181, 3597 and 4020, BLOOM-LORA 15, E4SRec 5.

## What it does not flag
- Absent targets (PEFT's table for the architecture), and targets that reach parameters through `target_parameters`.
- A regular expression for a model with a vision tower, whose names have moved between versions of transformers: only
  an info where the version is not known.
- A regular expression that cannot be judged, and targets of a kind that has no LoRA layer, which fail otherwise.
- Other frameworks with LoRA layers of their own, whose names are not PEFT's.
- Names of another model family: ARC001 says what they are called here. A string that is no pattern: TGT003.

## Fix safety
Safe where every name has exactly one meaning here (`wq` is `q_proj` in Llama); otherwise unsafe: `all-linear` adapts
every linear layer, which may be more than was meant.
"""

from __future__ import annotations

from collections.abc import Iterator

from loraplan.arch.names import equivalents, leaves
from loraplan.derived import is_lora, listed
from loraplan.formats.targets import legible, made_by_peft, takes_all_linear, widen
from loraplan.plan import Plan
from loraplan.rule import Context, Evidence, Finding, Fix, Set, Severity, rule
from loraplan_rules.mlx_paths import with_path, without_path


@rule(
    code="TGT001",
    name="target-matches-nothing",
    severity="error",
    why="peft stops when no module matches, after the base model has been loaded",
    reads=(
        "adapter.target_modules", "adapter.target_parameters", "adapter.exclude_modules", "adapter.modules_to_save",
        "adapter.layers_to_transform", "model.name",
    ),
    needs=("arch",),
    evidence=(
        Evidence(
            "check_target_module_exists",
            "https://github.com/huggingface/peft/blob/main/src/peft/tuners/tuners_utils.py",
            "peft 0.21.2, run",
        ),
        Evidence("a report", "https://github.com/hiyouga/LLaMA-Factory/issues/4020", "issue thread"),
    ),
)  # fmt: skip
def check(plan: Plan, ctx: Context) -> Iterator[Finding]:
    adapter = plan.adapter
    targets = adapter.target_modules
    if not targets or adapter.target_parameters or not legible(targets):
        return
    bare = without_path(ctx, targets)
    if bare and len(bare) == len(targets):
        yield _mlx(ctx, bare)
        return
    if targets == "all-linear" and not (adapter.exclude_modules or adapter.layers_to_transform):
        return
    if not is_lora(plan) or not made_by_peft(ctx.reading) or ctx.matched.modules:
        return
    if ctx.matched.problem or ctx.matched.unsupported:
        return
    arch, key = ctx.arch, ctx.key("adapter.target_modules")
    names = (f"`{targets}`",) if isinstance(targets, str) else targets
    meant = () if isinstance(targets, str) else tuple(equivalents(name, arch) for name in targets)
    new = tuple(dict.fromkeys(other for others in meant for other in others)) if all(meant) else ()
    filtered = not ctx.matched.unmatched and bool(adapter.layers_to_transform or ctx.matched.excluded)
    severity: Severity | None = None
    if arch.multimodal and isinstance(targets, str) and ctx.version("transformers") is None:
        severity = "info"  # the text model's names have moved between versions
    fix = None
    if new:
        fix = Fix(f"set {key} to {', '.join(new)}", (Set("adapter.target_modules", new),), "safe")
    elif takes_all_linear(ctx.reading):
        fix = Fix(f"set {key} to all-linear", (Set("adapter.target_modules", "all-linear"),), "unsafe")
    yield Finding(
        f"{listed(names)} {'match' if len(set(names)) > 1 else 'matches'} no module of {arch.name}"
        + (" once layers and exclusions are applied" if filtered else "")
        + f"; its linear layers are {listed(leaves(arch), 8)}",
        at="adapter.target_modules",
        severity=severity,
        remedy=f"set {key} to {', '.join(new)}" if new else f"name modules that it has, or {widen(ctx.reading)}",
        fix=fix,
    )


def _mlx(ctx: Context, names: tuple[str, ...]) -> Finding:
    key = ctx.key("adapter.target_modules")
    paths = tuple(path for name in names if (path := with_path(name)) is not None)
    known = len(paths) == len(names)
    return Finding(
        f"{listed(names)} {'name' if len(names) > 1 else 'names'} no layer: mlx-lm compares whole paths within a block,"
        " such as self_attn.q_proj, and adapts nothing",
        at="adapter.target_modules",
        remedy=f"set {key} to {', '.join(paths)}" if known else "write each with its path, such as self_attn.q_proj",
        fix=Fix(f"set {key} to {', '.join(paths)}", (Set("adapter.target_modules", paths),), "unsafe")
        if known
        else None,
    )
