"""Gradient checkpointing is off where memory is short.

## What it does
Flags checkpointing that is off, where saved activations alone take more than 40 % of the card. Where the run does not
fit at all, MEM001 says so and proposes checkpointing.

## Why is this bad?
Without checkpointing every block keeps all that its backward needs; with it one hidden state for each block and the
activations of one block.

## Example
```yaml qlora.yml gpu=rtx-5090
base_model: meta-llama/Llama-3.1-8B
adapter: qlora
lora_r: 16
lora_alpha: 32
lora_target_linear: true
load_in_4bit: true
datasets:
  - path: tatsu-lab/alpaca
    type: alpaca
sequence_len: 4096
sample_packing: true
micro_batch_size: 1
gradient_accumulation_steps: 8
num_epochs: 1
optimizer: adamw_torch_fused
lr_scheduler: cosine
warmup_ratio: 0.05
learning_rate: 0.0002
bf16: true
flash_attention: true
gradient_checkpointing: false
```

## Use instead
```yaml qlora.yml gpu=rtx-5090
base_model: meta-llama/Llama-3.1-8B
adapter: qlora
lora_r: 16
lora_alpha: 32
lora_target_linear: true
load_in_4bit: true
datasets:
  - path: tatsu-lab/alpaca
    type: alpaca
sequence_len: 4096
sample_packing: true
micro_batch_size: 1
gradient_accumulation_steps: 8
num_epochs: 1
optimizer: adamw_torch_fused
lr_scheduler: cosine
warmup_ratio: 0.05
learning_rate: 0.0002
bf16: true
flash_attention: true
gradient_checkpointing: true
```

## Options
- `share` (0.4): the share of the card that saved activations may take.

## Evidence
- `loraplan estimate` (docs/accuracy.md: its error against published measurements, by group).
- Chen et al., arXiv 1604.06174, section 4 (not re-read): activations grow with the square root of the depth or less.
- trl 1.16.0 `trainer/base_config.py`: on by default there; off in transformers 5.23.0.

## What it does not flag
Runs that fit with room to spare, since checkpointing costs a second forward; runs without a named card or known model.

## Fix safety
Unsafe: a step takes about a third longer.
"""

from __future__ import annotations

from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, Fix, Set, rule


@rule(
    code="MEM002",
    name="checkpointing-off",
    severity="warning",
    why="every block keeps all its activations for the backward",
    reads=("precision.gradient_checkpointing", "batch.micro_batch_size", "data.max_length"),
    evidence=(
        Evidence("predicted from the operations of a training step", "docs/accuracy.md", "measured rows"),
        Evidence(
            "on by default",
            "https://github.com/huggingface/trl/blob/main/trl/trainer/base_config.py",
            "source read at trl 1.16.0",
        ),
    ),
    needs=("gpu", "arch"),
    options={"share": 0.4},
    without_adapter=True,
)
def check(plan: Plan, ctx: Context) -> Checked:
    if plan.precision.gradient_checkpointing:
        return
    device, found = ctx.gpu, ctx.estimate
    from loraplan_rules.planned import size

    saved = sum(term.bytes for term in found.phases[1].terms if term.name == "saved activations")
    if not saved:  # the stack turns checkpointing on
        return
    if saved <= ctx.options.share * device.usable_bytes:
        return
    key = ctx.key("precision.gradient_checkpointing")
    yield Finding(
        f"{ctx.said('precision.gradient_checkpointing')}: saved activations take about {size(saved)} of the"
        f" {size(device.usable_bytes)} of {device.name}",
        at="precision.gradient_checkpointing",
        remedy=f"set {key} to true",
        fix=Fix(f"set {key} to true", (Set("precision.gradient_checkpointing", True),), "unsafe"),
    )
