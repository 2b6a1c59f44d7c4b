"""axolotl's batch keys do not determine the batch.

## What it does
Reports `batch_size` in an axolotl config that also sets `gradient_accumulation_steps`, or that sets neither that
nor `micro_batch_size`.

## Why is this bad?
axolotl computes the third of the three from two: with `batch_size` and `gradient_accumulation_steps` it stops with
"please set only one of gradient_accumulation_steps or batch_size", with `batch_size` alone with "At least two of
... must be set".

## Example
```yaml qlora.yml
base_model: NousResearch/Llama-3.2-1B
adapter: lora
lora_r: 16
lora_alpha: 32
lora_target_linear: true
datasets:
  - path: tatsu-lab/alpaca
    type: alpaca
sequence_len: 2048
micro_batch_size: 2
gradient_accumulation_steps: 4
num_epochs: 1
optimizer: adamw_torch_fused
lr_scheduler: cosine
learning_rate: 0.0002
bf16: true
batch_size: 8
```

## Use instead
```yaml qlora.yml
base_model: NousResearch/Llama-3.2-1B
adapter: lora
lora_r: 16
lora_alpha: 32
lora_target_linear: true
datasets:
  - path: tatsu-lab/alpaca
    type: alpaca
sequence_len: 2048
micro_batch_size: 2
gradient_accumulation_steps: 4
num_epochs: 1
optimizer: adamw_torch_fused
lr_scheduler: cosine
learning_rate: 0.0002
bf16: true
```

## Options
None.

## Evidence
- axolotl 0.19.0, `utils/schemas/validation.py`: check_batch_size_fields and check_gas_bsz.

## What it does not flag
`batch_size` beside `micro_batch_size`, which axolotl accepts but discourages.

## Fix safety
There is none.
"""

from __future__ import annotations

from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, rule
from loraplan_rules.nodes import node, text


@rule(
    code="BAT005",
    name="batch-size-keys",
    severity="error",
    why="axolotl derives one of three keys from the two others and refuses other combinations",
    reads=("batch.micro_batch_size", "batch.gradient_accumulation_steps"),
    evidence=(
        Evidence(
            "check_batch_size_fields and check_gas_bsz",
            "https://github.com/axolotl-ai-cloud/axolotl/blob/main/src/axolotl/utils/schemas/validation.py",
            "source read at 0.19.0",
        ),
    ),
    hand_rolled=False,
    without_adapter=True,
)
def check(_plan: Plan, ctx: Context) -> Checked:
    total = node(ctx, "batch_size")
    if ctx.reading.format != "axolotl" or total is None or text(ctx, "batch_size") in (None, "0"):
        return
    if text(ctx, "gradient_accumulation_steps") not in (None, "0"):
        yield Finding(
            "batch_size beside gradient_accumulation_steps: axolotl refuses the two",
            at=total.span,
            remedy="remove batch_size",
        )
    elif text(ctx, "micro_batch_size") in (None, "0"):
        yield Finding(
            "batch_size without micro_batch_size: axolotl refuses it",
            at=total.span,
            remedy="write micro_batch_size and gradient_accumulation_steps instead",
        )
