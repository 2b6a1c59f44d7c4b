"""Gradients are not clipped at a high learning rate.

## What it does
Reports gradient clipping that is off (0, negative, or torchtune's absent `clip_grad_norm`) with an Adam-like
learning rate of 1e-4 or more.

## Why is this bad?
One bad batch moves the adapter as far as hundreds of good ones. transformers clips at a norm of 1.0 by default,
QLoRA clips at 0.3; torchtune does not clip unless told.

## Example
```yaml sft.yaml preview
model_name_or_path: meta-llama/Llama-3.2-1B
dataset_name: tatsu-lab/alpaca
dtype: bfloat16
use_peft: true
lora_r: 16
lora_alpha: 32
lora_target_modules: all-linear
learning_rate: 2.0e-4
lr_scheduler_type: cosine
warmup_steps: 20
per_device_train_batch_size: 2
gradient_accumulation_steps: 4
num_train_epochs: 1
max_length: 2048
bf16: true
output_dir: out
max_grad_norm: 0.0
```

## Use instead
```yaml sft.yaml preview
model_name_or_path: meta-llama/Llama-3.2-1B
dataset_name: tatsu-lab/alpaca
dtype: bfloat16
use_peft: true
lora_r: 16
lora_alpha: 32
lora_target_modules: all-linear
learning_rate: 2.0e-4
lr_scheduler_type: cosine
warmup_steps: 20
per_device_train_batch_size: 2
gradient_accumulation_steps: 4
num_train_epochs: 1
max_length: 2048
bf16: true
output_dir: out
max_grad_norm: 1.0
```

## Options
- `rate` (0.0001): learning rates below this are not judged.

## Evidence
- transformers 5.23.0, `training_args.py`: max_grad_norm is 1.0.
- artidoro/qlora, `qlora.py`@00e5ad2a: clips at 0.3.
- torchtune 0.6.1, `recipes/lora_finetune_single_device.py`: clip_grad_norm is None.

## What it does not flag
Lower learning rates, and frameworks whose clipping is not known.

## Fix safety
Unsafe: training changes.
"""

from __future__ import annotations

from loraplan.derived import finite
from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, Fix, Set, rule
from loraplan_rules.optimizers import adam_like


@rule(
    code="OPT003",
    name="gradient-clipping-off",
    severity="info",
    why="without clipping one bad batch can undo the run",
    reads=("optimizer.max_grad_norm", "optimizer.learning_rate", "optimizer.name"),
    evidence=(
        Evidence(
            "max_grad_norm is 1.0",
            "https://github.com/huggingface/transformers/blob/main/src/transformers/training_args.py",
            "source read at transformers 5.23.0",
        ),
        Evidence(
            "clips at 0.3",
            "https://github.com/artidoro/qlora/blob/main/qlora.py",
            "source read at 00e5ad2a",
        ),
        Evidence(
            "clip_grad_norm is None",
            "https://github.com/pytorch/torchtune/blob/v0.6.1/recipes/lora_finetune_single_device.py",
            "source read at 0.6.1",
        ),
    ),
    options={"rate": 0.0001},
    preview=True,
)
def check(plan: Plan, ctx: Context) -> Checked:
    rate, norm = finite(plan.optimizer.learning_rate), finite(plan.optimizer.max_grad_norm)
    if rate is None or rate < ctx.options.rate or not adam_like(plan):
        return
    written = ctx.explicit("optimizer.max_grad_norm")
    off = norm <= 0 if norm is not None else ctx.reading.framework == "torchtune" and not ctx.reading.hand_rolled
    if not off or (norm is not None and not written):
        return
    key = ctx.key("optimizer.max_grad_norm")
    yield Finding(
        f"{ctx.said('optimizer.max_grad_norm')} at {ctx.said('optimizer.learning_rate')}: gradients are not clipped",
        at="optimizer.max_grad_norm",
        remedy=f"set {key} to 1.0",
        fix=Fix(f"set {key} to 1.0", (Set("optimizer.max_grad_norm", 1.0),), "unsafe"),
    )
