"""Neither bf16 nor fp16 training is on.

## What it does
Reports neither bf16 nor fp16 in LLaMA-Factory and in axolotl, and elsewhere where the model is plainly loaded in
float32.

## Why is this bad?
Weights and activations take twice the memory of a 16-bit run, and matrix products do not use the 16-bit tensor
cores: on an A100 19.5 instead of 312 TFLOPS (TF32: 156). LLaMA-Factory warns about it.

## Example
```yaml llama3_lora_sft.yaml
model_name_or_path: meta-llama/Meta-Llama-3-8B-Instruct
stage: sft
do_train: true
finetuning_type: lora
lora_rank: 16
lora_alpha: 32
lora_target: all
dataset: alpaca_en_demo
template: llama3
cutoff_len: 2048
output_dir: saves/llama3-8b
per_device_train_batch_size: 1
gradient_accumulation_steps: 8
learning_rate: 1.0e-4
num_train_epochs: 1
lr_scheduler_type: cosine
warmup_steps: 20
```

## Use instead
```yaml llama3_lora_sft.yaml
model_name_or_path: meta-llama/Meta-Llama-3-8B-Instruct
stage: sft
do_train: true
finetuning_type: lora
lora_rank: 16
lora_alpha: 32
lora_target: all
dataset: alpaca_en_demo
template: llama3
cutoff_len: 2048
output_dir: saves/llama3-8b
per_device_train_batch_size: 1
gradient_accumulation_steps: 8
learning_rate: 1.0e-4
num_train_epochs: 1
lr_scheduler_type: cosine
warmup_steps: 20
bf16: true
```

## Options
None.

## Evidence
- LLaMA-Factory 0.9.5, `hparams/parser.py`: "We recommend enable mixed precision training.".
- axolotl 0.19.0, `utils/config/__init__.py` (resolve_dtype): without bf16 and fp16 the base is loaded in float32.
- transformers 5.23.0, `training_args.py`: bf16 and fp16 are False by default.
- <https://www.nvidia.com/en-us/data-center/a100/>: A100: float32 19.5, TF32 156, bfloat16 312 TFLOPS (not
  re-read; tables by others agree).

## What it does not flag
TRL, which turns bf16 on itself, files without a word about dtypes (transformers 5 loads the model in the dtype of
its checkpoint), quantized bases with a 16-bit compute dtype, and cards without CUDA.

## Fix safety
Unsafe: training changes.
"""

from __future__ import annotations

from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, Fix, Set, rule
from loraplan_rules.optimizers import TRAINING_ARGUMENTS


@rule(
    code="PRC004",
    name="no-mixed-precision",
    severity="warning",
    why="float32 takes twice the memory and a fraction of the speed of 16-bit training",
    reads=("precision.bf16", "precision.fp16", "model.dtype", "quantization.compute_dtype"),
    evidence=(
        Evidence(
            '"We recommend enable mixed precision training."',
            "https://github.com/hiyouga/LLaMA-Factory/blob/main/src/llamafactory/hparams/parser.py",
            "source read at 0.9.5",
        ),
        Evidence(
            "bf16 and fp16 are False by default",
            "https://github.com/huggingface/transformers/blob/main/src/transformers/training_args.py",
            "source read at transformers 5.23.0",
        ),
        Evidence(
            "A100: float32 19.5, TF32 156, bfloat16 312 TFLOPS",
            "https://www.nvidia.com/en-us/data-center/a100/",
            "data sheet",
        ),
    ),
    hand_rolled=False,
)
def check(plan: Plan, ctx: Context) -> Checked:
    form, precision = ctx.reading.format, plan.precision
    if precision.bf16 or precision.fp16 or precision.bf16 is None or precision.fp16 is None:
        return
    if ctx.reading.facts.get("pure_bf16") or ctx.reading.facts.get("bf16_auto") or ctx.reading.facts.get("no_training"):
        return
    single = (plan.model.dtype or "").lower() in ("float32", "fp32") and ctx.explicit("model.dtype")
    if form == "axolotl":
        if plan.model.dtype != "float32":  # what it loads the base in, and computes in where that is quantized
            return
    elif form != "llamafactory" and (form not in TRAINING_ARGUMENTS or not single or plan.quantization.load_in_4bit):
        return
    gpu = ctx.gpu_or_none
    if gpu is not None and gpu.capability is None:
        return
    key = ctx.key("precision.bf16")
    yield Finding(
        f"neither {key} nor {ctx.key('precision.fp16')} is on: training runs without 16-bit precision",
        at="precision.bf16",
        remedy=f"set {key} to true",
        fix=Fix(f"set {key} to true", (Set("precision.bf16", True),), "unsafe"),
    )
