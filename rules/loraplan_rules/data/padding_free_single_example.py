"""Padding-free batches of one example.

## What it does
Reports TRL's `padding_free` without packing, or axolotl's `batch_flattening`, with one example per device.

## Why is this bad?
There is no padding in a batch of one: the setting has no effect but its restrictions. Both frameworks warn about
it.

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
micro_batch_size: 1
gradient_accumulation_steps: 4
num_epochs: 1
optimizer: adamw_torch_fused
lr_scheduler: cosine
learning_rate: 0.0002
bf16: true
attn_implementation: flash_attention_2
batch_flattening: true
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
attn_implementation: flash_attention_2
batch_flattening: true
```

## Options
None.

## Evidence
- axolotl 0.19.0, `utils/schemas/validation.py`: check_batch_flattening_fa.
- trl 1.16.0, `trainer/sft_trainer.py`: a batch size of 1 annihilates the benefits of padding-free training.

## What it does not flag
Packed batches, and axolotl's `auto`, which decides itself.

## Fix safety
There is none.
"""

from __future__ import annotations

from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, rule
from loraplan_rules.nodes import node, on


@rule(
    code="DAT006",
    name="padding-free-single-example",
    severity="info",
    why="a batch of one has no padding to save",
    reads=("data.padding_free", "data.packing", "batch.micro_batch_size"),
    evidence=(
        Evidence(
            "check_batch_flattening_fa",
            "https://github.com/axolotl-ai-cloud/axolotl/blob/main/src/axolotl/utils/schemas/validation.py",
            "source read at 0.19.0",
        ),
        Evidence(
            "a batch size of 1 annihilates the benefits of padding-free training",
            "https://github.com/huggingface/trl/blob/main/trl/trainer/sft_trainer.py",
            "source read at trl 1.16.0",
        ),
    ),
    hand_rolled=False,
    without_adapter=True,
)
def check(plan: Plan, ctx: Context) -> Checked:
    if plan.batch.micro_batch_size != 1 or plan.data.packing:
        return
    place = node(ctx, "batch_flattening") if ctx.reading.format == "axolotl" and on(ctx, "batch_flattening") else None
    if place is None and not (plan.data.padding_free and ctx.explicit("data.padding_free")):
        return
    key = "batch_flattening" if place is not None else ctx.key("data.padding_free")
    yield Finding(
        f"{key} has no effect with {ctx.said('batch.micro_batch_size')}",
        at=place.span if place is not None else "data.padding_free",
        remedy=f"raise {ctx.key('batch.micro_batch_size')}, or remove {key}",
    )
