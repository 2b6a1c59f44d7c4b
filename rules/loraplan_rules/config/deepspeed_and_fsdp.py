"""DeepSpeed and FSDP are both configured.

## What it does
Reports a config that sets a DeepSpeed config and FSDP options for the same run.

## Why is this bad?
They are two ways to shard the same weights, and no framework combines them: transformers, axolotl, oumi and ms-swift
stop with an error, on a cluster after the nodes have started.

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
deepspeed: deepspeed_configs/zero2.json
fsdp:
  - full_shard
  - auto_wrap
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
deepspeed: deepspeed_configs/zero2.json
```

## Options
None.

## Evidence
- transformers 5.23.0, `trainer.py`: "Using --fsdp xxx together with --deepspeed is not possible".
- axolotl 0.19.0, `utils/schemas/validation.py`: "deepspeed and fsdp cannot be used together"; oumi 0.9,
  `core/configs/training_config.py`.

## What it does not flag
Hand-rolled files, which may hold both sections and choose one at run time.

## Fix safety
There is none: only the author knows which of the two was meant.
"""

from __future__ import annotations

from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, rule


@rule(
    code="DST001",
    name="deepspeed-and-fsdp",
    severity="error",
    why="both shard the same weights; frameworks refuse to start with the two",
    reads=("distributed.deepspeed", "distributed.fsdp"),
    evidence=(
        Evidence(
            "Trainer raises when fsdp and deepspeed are both set",
            "https://github.com/huggingface/transformers/blob/main/src/transformers/trainer.py",
            "source read at 5.23.0",
        ),
        Evidence(
            "axolotl raises when deepspeed and fsdp are both set",
            "https://github.com/axolotl-ai-cloud/axolotl/blob/main/src/axolotl/utils/schemas/validation.py",
            "source read at 0.19.0",
        ),
    ),
    hand_rolled=False,
    without_adapter=True,
)
def check(plan: Plan, ctx: Context) -> Checked:
    distributed = plan.distributed
    if not distributed.deepspeed or not distributed.fsdp:
        return
    place = ctx.reading.explicit("distributed.fsdp")
    if place is None or not ctx.explicit("distributed.deepspeed"):
        return
    deepspeed, fsdp = ctx.key("distributed.deepspeed"), ctx.key("distributed.fsdp")
    yield Finding(
        f"`{deepspeed}` and `{fsdp}` are both set: {ctx.reading.framework} refuses to start",
        at=place.key_span or place.span,
        remedy=f"remove `{fsdp}` or `{deepspeed}`",
    )
