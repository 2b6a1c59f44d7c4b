"""The rank is zero, negative or no whole number.

## What it does
Flags a rank, or a value of `rank_pattern`, that is not a whole number of at least 1.

## Why is this bad?
PEFT stops with "`r` should be a positive integer value", after the base model has been loaded: minutes of a GPU for an
8B model.

## Example
```yaml
base_model: mistralai/Mistral-7B-v0.1
datasets:
  - path: tatsu-lab/alpaca
    type: alpaca
adapter: lora
lora_r: 0
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

## Use instead
```yaml
base_model: mistralai/Mistral-7B-v0.1
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
- peft 0.21.2 `tuners/lora/layer.py`: `if r <= 0: raise ValueError`; a fractional r fails in `nn.Linear`.

## What it does not flag
- `16.0`, which most loaders turn into 16.
- A rank of 0 where the format means "no LoRA" by it, and text in a hand-rolled file. A 0 in a hand-rolled file, which
  may be a switch, is a warning.

## Fix safety
No fix: what was meant cannot be known.
"""

from __future__ import annotations

from collections.abc import Iterator

from loraplan.derived import finite, is_lora, number
from loraplan.plan import Plan
from loraplan.rule import Context, Evidence, Finding, rule


@rule(
    code="RNK001",
    name="rank-not-positive",
    severity="error",
    why="the rank is the width of the two LoRA matrices; peft raises for anything but a positive whole number",
    reads=("adapter.r", "adapter.rank_pattern"),
    evidence=(
        Evidence(
            "`r` should be a positive integer value",
            "https://github.com/huggingface/peft/blob/main/src/peft/tuners/lora/layer.py",
            "peft 0.21.2, run",
        ),
    ),
)
def check(plan: Plan, ctx: Context) -> Iterator[Finding]:
    if not is_lora(plan):
        return
    r, key = plan.adapter.r, ctx.key("adapter.r")
    if r is not None and not _is_rank(r):
        yield Finding(
            f"{ctx.said('adapter.r')} is not a positive whole number: peft raises",
            at="adapter.r",
            severity="warning" if ctx.reading.hand_rolled and r == 0 else None,
            remedy=f"set {key} to 8 or more",
        )
    if r is None and not ctx.reading.hand_rolled:
        for issue in ctx.reading.value_issues:
            if issue.field == "adapter.r" and issue.kind == "wrong-type":
                yield Finding(f"{key} is `{issue.text}`, not a number", at=issue.span, remedy=f"set {key} to 8 or more")
    for name, value in (plan.adapter.rank_pattern or {}).items():
        if not _is_rank(value):
            yield Finding(
                f"{ctx.key('adapter.rank_pattern')} gives {name} rank {number(value)}: peft raises",
                at="adapter.rank_pattern",
                remedy="give it a positive whole number",
            )


def _is_rank(value: float) -> bool:
    rank = finite(value)
    return rank is not None and rank >= 1 and rank.is_integer()
