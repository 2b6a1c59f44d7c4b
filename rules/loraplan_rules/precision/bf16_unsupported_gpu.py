"""The card has no bfloat16.

## What it does
Reports training in bfloat16, written or by TRL's default, on a card with a compute capability below 8.0 (T4, V100,
RTX 20xx), given with `--gpu`.

## Why is this bad?
The card has no instructions for bfloat16. PyTorch emulates it: `torch.cuda.is_bf16_supported()` counts emulation,
so transformers and torchtune start, and matrix products run several times slower than in float16. axolotl says that
training will fail.

## Example
```yaml sft.yaml gpu=t4
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
```

## Use instead
```yaml sft.yaml gpu=t4
model_name_or_path: meta-llama/Llama-3.2-1B
dataset_name: tatsu-lab/alpaca
dtype: float32
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
bf16: false
fp16: true
output_dir: out
```

## Options
None.

## Evidence
- torch 2.13.0, `torch/cuda/__init__.py`, `is_bf16_supported`: compute capability 8 and above, and by default emulation
  on older cards.
- axolotl 0.19.0, `utils/schemas/config.py`: check_bf16.

## What it does not flag
Runs for which no card is named, cards that are not CUDA, and the compute dtype of quantized layers, which is
QNT003's. Older versions of transformers refused to start; with torch 2.13.0 the check passes, therefore this is a
warning.

## Fix safety
Unsafe: training runs in float16.
"""

from __future__ import annotations

from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, Fix, Set, rule


@rule(
    code="PRC002",
    name="bf16-unsupported-gpu",
    severity="warning",
    why="bfloat16 needs compute capability 8.0; older cards emulate it slowly",
    reads=("precision.bf16", "model.dtype"),
    evidence=(
        Evidence(
            "capability 8 and above; is_bf16_supported counts emulation",
            "https://github.com/pytorch/pytorch/blob/main/torch/cuda/__init__.py",
            "source read at torch 2.13.0",
        ),
        Evidence(
            "check_bf16",
            "https://github.com/axolotl-ai-cloud/axolotl/blob/main/src/axolotl/utils/schemas/config.py",
            "source read at 0.19.0",
        ),
    ),
    needs=("gpu",),
    without_adapter=True,
)
def check(plan: Plan, ctx: Context) -> Checked:
    gpu = ctx.gpu
    if not plan.precision.bf16 or gpu.capability is None or gpu.capability >= (8, 0):
        return
    if ctx.reading.facts.get("bf16_auto"):
        return
    bf16, fp16 = ctx.key("precision.bf16"), ctx.key("precision.fp16")
    remedy = f"set {fp16} instead of {bf16}" if bf16 != fp16 else f"set {fp16} to fp16"
    yield Finding(
        f"{ctx.said('precision.bf16')} on {gpu.name} (compute capability {gpu.capability[0]}.{gpu.capability[1]}),"
        " which has no bfloat16",
        at="precision.bf16",
        remedy=remedy,
        fix=Fix(remedy, (Set("precision.bf16", False), Set("precision.fp16", True)), "unsafe"),
    )
