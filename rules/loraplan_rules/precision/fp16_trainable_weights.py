"""Trainable weights stay in float16 under fp16 training.

## What it does
Reports fp16 mixed precision with a model loaded in float16 where trained weights stay in float16:
`autocast_adapter_dtype` is false, or `modules_to_save` names modules, whose copies PEFT does not cast.

## Why is this bad?
The gradient scaler refuses float16 gradients: training stops with "Attempting to unscale FP16 gradients" at the
first step. PEFT casts the LoRA matrices to float32 by default, but not the copies of `modules_to_save`.

## Example
```yaml sft.yaml
model_name_or_path: meta-llama/Llama-3.1-8B
dataset_name: tatsu-lab/alpaca
dtype: float16
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
fp16: true
output_dir: out
lora_modules_to_save:
  - lm_head
```

## Use instead
```yaml sft.yaml
model_name_or_path: meta-llama/Llama-3.1-8B
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
fp16: true
output_dir: out
lora_modules_to_save:
  - lm_head
```

## Options
None.

## Evidence
- PEFT, `docs/source/developer_guides/troubleshooting.md`@039d3a26: "ValueError: Attempting to unscale FP16 gradients";
  trainable weights should never use fp16.
- peft 0.21.2, `tuners/tuners_utils.py`: modules_to_save copies keep their dtype.

## What it does not flag
Quantized bases, whose other weights are cast when the model is prepared for training, and frameworks that cast
trainable weights themselves (LLaMA-Factory, axolotl).

## Fix safety
Unsafe: the model needs twice the memory.
"""

from __future__ import annotations

from loraplan.derived import listed
from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, Fix, Set, rule

_CASTS = frozenset(("llamafactory", "axolotl"))
_HALF = ("float16", "fp16", "half")


@rule(
    code="PRC003",
    name="fp16-trainable-weights",
    severity="error",
    why="the gradient scaler cannot unscale float16 gradients",
    reads=("precision.fp16", "model.dtype", "adapter.modules_to_save", "adapter.autocast_adapter_dtype"),
    evidence=(
        Evidence(
            "ValueError: Attempting to unscale FP16 gradients",
            "https://huggingface.co/docs/peft/developer_guides/troubleshooting",
            "docs",
        ),
        Evidence(
            "modules_to_save copies keep their dtype",
            "https://github.com/huggingface/peft/blob/main/src/peft/tuners/tuners_utils.py",
            "run with peft 0.21.2",
        ),
    ),
)
def check(plan: Plan, ctx: Context) -> Checked:
    adapter = plan.adapter
    if ctx.reading.format in _CASTS or not plan.precision.fp16 or (plan.model.dtype or "").lower() not in _HALF:
        return
    quantized = plan.quantization.load_in_4bit or plan.quantization.load_in_8bit or plan.quantization.bits in (4, 8)
    if quantized or not ctx.explicit("precision.fp16", "model.dtype"):
        return
    if adapter.modules_to_save and ctx.explicit("adapter.modules_to_save"):
        at, cause = "adapter.modules_to_save", f"{listed(adapter.modules_to_save)} train in float16"
    elif adapter.autocast_adapter_dtype is False and ctx.explicit("adapter.autocast_adapter_dtype"):
        at, cause = "adapter.autocast_adapter_dtype", "the adapter trains in float16"
    else:
        return
    yield Finding(
        f"{cause}, under {ctx.said('precision.fp16')}: the gradient scaler stops at the first step",
        at=at,
        remedy=f"load the model in float32 or bfloat16 ({ctx.key('model.dtype')})",
        severity="warning" if ctx.reading.hand_rolled else None,
        fix=Fix(f"set {ctx.key('model.dtype')} to float32", (Set("model.dtype", "float32"),), "unsafe"),
    )
