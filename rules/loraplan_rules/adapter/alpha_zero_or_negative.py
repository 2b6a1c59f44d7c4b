"""Alpha is zero, negative or no number.

## What it does
Flags an alpha, or a value of `alpha_pattern`, that is zero or below or not finite, and text where the number should be.

## Why is this bad?
PEFT accepts it without a word. Alpha 0 makes the factor on the update 0, and with it every gradient of the adapter: the
run costs what it costs and trains nothing (gradient exactly 0 in peft 0.21.2). A negative alpha turns the update round.

## Example
```yaml
base_model: mistralai/Mistral-7B-v0.1
datasets:
  - path: tatsu-lab/alpaca
    type: alpaca
adapter: lora
lora_r: 16
lora_alpha: 0
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
- peft 0.21.2 `tuners/lora/layer.py`: only r is checked; with `lora_alpha=0` the gradients of A and B are exactly 0 (run
  on a tiny random Llama).

## What it does not flag
- Text in a hand-rolled file, whose script may give it a meaning.

## Fix safety
No fix: what was meant cannot be known.
"""

from __future__ import annotations

from collections.abc import Iterator

from loraplan.derived import finite, is_lora, number
from loraplan.plan import Plan
from loraplan.rule import Context, Evidence, Finding, rule


@rule(
    code="ALP004",
    name="alpha-zero-or-negative",
    severity="error",
    why="alpha/r multiplies the update: at 0 the adapter has no gradient, below 0 it learns backwards",
    reads=("adapter.alpha", "adapter.alpha_pattern", "adapter.r"),
    evidence=(
        Evidence(
            "only r is checked",
            "https://github.com/huggingface/peft/blob/main/src/peft/tuners/lora/layer.py",
            "peft 0.21.2, run",
        ),
    ),
    suppresses=("ALP001", "ALP003"),
)
def check(plan: Plan, ctx: Context) -> Iterator[Finding]:
    if not is_lora(plan):
        return
    key = ctx.key("adapter.alpha")
    r = finite(plan.adapter.r)
    remedy = f"set {key} to {number(2 * r)}" if r is not None and r > 0 else f"set {key} to twice the rank"
    alpha = plan.adapter.alpha
    if alpha is not None and (finite(alpha) is None or alpha <= 0):
        result = "the adapter trains nothing" if alpha == 0 else "the update points the wrong way"
        if finite(alpha) is None:
            result = "no finite number"
        yield Finding(f"{ctx.said('adapter.alpha')}: {result}", at="adapter.alpha", remedy=remedy)
    if alpha is None and not ctx.reading.hand_rolled:
        for issue in ctx.reading.value_issues:
            if issue.field == "adapter.alpha" and issue.kind == "wrong-type":
                yield Finding(f"{key} is `{issue.text}`, not a number", at=issue.span, remedy=remedy)
    for name, value in (plan.adapter.alpha_pattern or {}).items():
        if finite(value) is None or value <= 0:
            yield Finding(
                f"{ctx.key('adapter.alpha_pattern')} gives {name} alpha {number(value)}: it trains nothing there",
                at="adapter.alpha_pattern",
                remedy="give it a positive number",
            )
