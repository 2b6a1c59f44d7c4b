"""LoRA dropout is outside 0 to 0.5.

## What it does
Flags a dropout below 0, or of 1 and above, as an error, and one above 0.5 as a warning.

## Why is this bad?
At exactly 1 nothing of the input is left: every gradient of the adapter is 0 and the run trains nothing, without a word
(peft 0.21.2). Above 1 or below 0 PyTorch raises; 10 is probably a per cent. Above 0.5 most of each step is noise.

## Example
```yaml
base_model: meta-llama/Llama-3.1-8B
datasets:
  - path: tatsu-lab/alpaca
    type: alpaca
adapter: lora
lora_r: 16
lora_alpha: 32
lora_dropout: 5
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
base_model: meta-llama/Llama-3.1-8B
datasets:
  - path: tatsu-lab/alpaca
    type: alpaca
adapter: lora
lora_r: 16
lora_alpha: 32
lora_dropout: 0.05
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
- `max` (0.5): the largest dropout allowed.

## Evidence
- `lora_dropout=1.0` gives gradients of exactly 0, and 10 raises in `torch.nn.Dropout` (peft 0.21.2, run).
- Published runs use 0 to 0.1.

## What it does not flag
- Text in a hand-rolled file, whose script may give it a meaning.

## Fix safety
Unsafe: a whole number from 2 to 50 is divided by 100, which is a guess at what was meant.
"""

from __future__ import annotations

from collections.abc import Iterator

from loraplan.derived import finite, is_lora, number
from loraplan.plan import Plan
from loraplan.rule import Context, Evidence, Finding, Fix, Set, rule


@rule(
    code="DRP002",
    name="dropout-out-of-range",
    severity="error",
    why="dropout is a share: at 1 the adapter has no gradient, beyond PyTorch raises",
    reads=("adapter.dropout",),
    evidence=(
        Evidence(
            "lora_dropout goes to nn.Dropout as it is",
            "https://github.com/huggingface/peft/blob/main/src/peft/tuners/lora/layer.py",
            "peft 0.21.2, run",
        ),
    ),
    options={"max": 0.5},
    suppresses=("DRP001",),
)
def check(plan: Plan, ctx: Context) -> Iterator[Finding]:
    if not is_lora(plan):
        return
    key, given = ctx.key("adapter.dropout"), plan.adapter.dropout
    remedy = f"set {key} to a share from 0 to 0.1"
    if given is None:
        for issue in ctx.reading.value_issues:
            if issue.field == "adapter.dropout" and issue.kind == "wrong-type" and not ctx.reading.hand_rolled:
                yield Finding(f"{key} is `{issue.text}`, not a number", at=issue.span, remedy=remedy)
        return
    dropout, said = finite(given), ctx.said("adapter.dropout")
    if dropout is None:
        yield Finding(f"{said} is no finite number", at="adapter.dropout", remedy=remedy)
    elif dropout == 1:
        yield Finding(
            f"{said} drops everything: the adapter has no gradient and trains nothing",
            at="adapter.dropout",
            remedy=remedy,
        )
    elif dropout < 0 or dropout > 1:
        percent = dropout.is_integer() and 1 < dropout <= 50
        share = number(dropout / 100)
        yield Finding(
            f"{said} is outside 0 to 1: PyTorch raises" + ("; it looks like a per cent" if percent else ""),
            at="adapter.dropout",
            remedy=f"set {key} to {share}" if percent else remedy,
            fix=Fix(f"set {key} to {share}", (Set("adapter.dropout", dropout / 100),), "unsafe") if percent else None,
        )
    elif dropout > ctx.options.max:
        yield Finding(
            f"{said} drops {dropout:.0%} of the adapter's input",
            at="adapter.dropout",
            severity="warning",
            remedy=remedy,
        )
