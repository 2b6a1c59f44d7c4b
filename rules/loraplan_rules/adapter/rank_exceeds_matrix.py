"""The rank is larger than a matrix it adapts can have.

## What it does
With the model's architecture known, flags a rank above the smaller side of an adapted matrix.

## Why is this bad?
The update B·A of an m by n matrix has rank min(m, n) at most. Beyond that LoRA has more parameters than the matrix:
r = 512 on a 2048x256 `k_proj` trains 1.18 million numbers in place of 0.52 million, and costs that memory in gradients
and optimizer states for nothing. The key and value projections of models with grouped-query attention are the usual
case. PEFT says nothing (r = 64 on a 32x32 matrix is accepted), and initialisations by SVD are cut short.

## Example
```yaml
base_model: Qwen/Qwen2.5-0.5B
datasets:
  - path: tatsu-lab/alpaca
    type: alpaca
adapter: lora
lora_r: 256
lora_alpha: 256
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

## Use instead
```yaml
base_model: Qwen/Qwen2.5-0.5B
datasets:
  - path: tatsu-lab/alpaca
    type: alpaca
adapter: lora
lora_r: 128
lora_alpha: 128
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
- The rank of a product is at most its inner side; peft 0.21.2 accepts r = 64 on 32x32 (run).

## What it does not flag
- A router or a classification head, which are narrow by nature.
- Models whose architecture is unknown. In frameworks with LoRA layers of their own (torchtune, litgpt, mlx-lm,
  mistral-finetune), whose matrices may be split otherwise, a rank that some linear layer can still hold.

## Fix safety
Unsafe: a `rank_pattern` that caps these modules changes what is trained, though not what can be learnt.
"""

from __future__ import annotations

from collections.abc import Iterator

from loraplan.derived import finite, is_lora, listed, number
from loraplan.formats.targets import judgeable, made_by_peft, trained
from loraplan.plan import Plan
from loraplan.rule import Context, Evidence, Finding, Fix, Set, rule


@rule(
    code="RNK002",
    name="rank-exceeds-matrix",
    severity="warning",
    why="a matrix has no more rank than its smaller side; what is beyond costs memory and adds nothing",
    reads=("adapter.r", "adapter.rank_pattern", "adapter.target_modules", "model.name"),
    needs=("arch",),
    evidence=(
        Evidence(
            "any positive r is accepted",
            "https://github.com/huggingface/peft/blob/main/src/peft/tuners/lora/layer.py",
            "peft 0.21.2, run",
        ),
    ),
)
def check(plan: Plan, ctx: Context) -> Iterator[Finding]:
    r = finite(plan.adapter.r)
    if r is None or r < 1 or not is_lora(plan):
        return
    if not made_by_peft(ctx.reading) and not judgeable(plan, ctx.reading):
        yield from _beyond_all(r, ctx)
        return
    if not judgeable(plan, ctx.reading):
        return
    patterns = plan.adapter.rank_pattern or {}
    capped: dict[str, int] = {}
    shapes: dict[str, tuple[int, int]] = {}
    for module in ctx.matched.modules:
        if module.part in ("router", "head") or module.kind not in ("Linear", "Conv1D", "Embedding"):
            continue
        leaf, limit = module.name.rpartition(".")[2], min(module.features)
        if r > limit and not any(_same(pattern, module.name, leaf) for pattern in patterns):
            capped[leaf] = min(limit, capped.get(leaf, limit))
            shapes.setdefault(leaf, module.features)
    if not capped:
        return
    first = next(iter(capped))
    wide, high = shapes[first]
    own, added = wide * high, int(r) * (wide + high)
    pattern = {**patterns, **capped}
    settable = "adapter.rank_pattern" in ctx.reading.keys
    done = trained(ctx.reading)
    cap = f"{{{', '.join(f'{name}: {limit}' for name, limit in capped.items())}}}"
    yield Finding(
        f"{ctx.said('adapter.r')} on {listed(f'{name} ({a}x{b})' for name, (a, b) in shapes.items())}:"
        f" rank cannot exceed {capped[first]}, and {added:,} parameters there replace {own:,}",
        at="adapter.r" if ctx.explicit("adapter.r") else "model.name",
        severity="info" if done else None,
        remedy=f"lower {ctx.key('adapter.r')} to {number(min(capped.values()))}"
        + (f", or cap these modules with {ctx.key('adapter.rank_pattern')}: {cap}" if settable else ""),
        fix=Fix(f"cap the rank with {cap}", (Set("adapter.rank_pattern", pattern),), "unsafe")
        if settable and not done
        else None,
    )


def _beyond_all(r: float, ctx: Context) -> Iterator[Finding]:
    """A rank that not even the largest linear layer can have, whichever of them are adapted."""
    linear = [module for module in ctx.arch.modules if module.kind in ("Linear", "Conv1D") and module.part != "head"]
    largest = max(linear, key=lambda module: min(module.features), default=None)
    if largest is None or r <= min(largest.features):
        return
    a, b = largest.features
    yield Finding(
        f"{ctx.said('adapter.r')}: the largest linear layer of {ctx.arch.name} ({a}x{b}) cannot have a rank above"
        f" {min(a, b)}",
        at="adapter.r",
        remedy=f"lower {ctx.key('adapter.r')} to {min(a, b)} or less",
    )


def _same(pattern: str, name: str, leaf: str) -> bool:
    """Whether a key of rank_pattern may be about this module; one that is a regular expression may be about any."""
    return leaf in pattern or name.endswith(pattern) or any(mark in pattern for mark in "*+?[](){}|^$\\")
