"""The base model is quantized, but there is no adapter to train.

## What it does
Reports a config that loads the model in 4 or 8 bits with LoRA off, and axolotl's `adapter: qlora` without
`load_in_4bit` or with 8-bit loading.

## Why is this bad?
Quantized weights cannot be trained: transformers stops with "You cannot perform fine-tuning on purely quantized
models", after the download and the quantization of the model. axolotl and LLaMA-Factory refuse earlier.

## Example
```yaml sft.yaml
model_name_or_path: meta-llama/Llama-3.2-1B
dataset_name: tatsu-lab/alpaca
dtype: bfloat16
learning_rate: 2.0e-5
lr_scheduler_type: cosine
warmup_steps: 20
per_device_train_batch_size: 2
gradient_accumulation_steps: 4
num_train_epochs: 1
bf16: true
output_dir: out
load_in_4bit: true
```

## Use instead
```yaml sft.yaml
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
bf16: true
output_dir: out
load_in_4bit: true
```

## Options
None.

## Evidence
- transformers 5.23.0, `trainer_utils.py`, `validate_quantization_for_training`.
- axolotl 0.19.0, `utils/schemas/peft.py`, `validate_adapter` and `validate_qlora`; LLaMA-Factory 0.9.5,
  `hparams/parser.py`: "Quantization is only compatible with the LoRA or OFT method".

## What it does not flag
Quantization that the framework applies only together with the adapter (autotrain, oumi), a base whose checkpoint is
stored quantized, and files whose method is not known.

## Fix safety
There is none: either the adapter or the quantization is missing.
"""

from __future__ import annotations

from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, rule
from loraplan_rules.written import written

# They read the quantization only where an adapter is on.
_WITH_ADAPTER_ONLY = frozenset(("autotrain", "oumi", "h2o-llmstudio"))
_BITS = ("quantization.load_in_4bit", "quantization.load_in_8bit", "quantization.bits")


@rule(
    code="QNT006",
    name="quantized-without-adapter",
    severity="error",
    why="quantized weights cannot be trained; without an adapter there is nothing to train",
    reads=("adapter.method", *_BITS),
    evidence=(
        Evidence(
            "Trainer refuses purely quantized models",
            "https://github.com/huggingface/transformers/blob/main/src/transformers/trainer_utils.py",
            "source read at 5.23.0",
        ),
        Evidence(
            "axolotl's rules for load_in_4bit, load_in_8bit and adapter: qlora",
            "https://github.com/axolotl-ai-cloud/axolotl/blob/main/src/axolotl/utils/schemas/peft.py",
            "source read at 0.19.0",
        ),
    ),
    hand_rolled=False,
    without_adapter=True,
)
def check(plan: Plan, ctx: Context) -> Checked:
    quantization = plan.quantization
    written_bits = [name for name in _BITS if ctx.explicit(name) and _on(plan, name)]
    if plan.adapter.method == "none":
        if written_bits and ctx.reading.format not in _WITH_ADAPTER_ONLY:
            remedy = f"turn LoRA on (`{ctx.reading.switch}`)" if ctx.reading.switch else "turn LoRA on"
            yield Finding(
                f"{ctx.said(written_bits[0])}, but no adapter: quantized weights cannot be trained",
                at=written_bits[0],
                remedy=f"{remedy}, or load the model in 16 bits",
            )
        return
    if ctx.reading.format != "axolotl" or written(ctx, "adapter.method") != "qlora":
        return
    if quantization.load_in_8bit:
        yield Finding(
            "adapter: qlora with load_in_8bit: axolotl refuses it, QLoRA means 4 bits",
            at="quantization.load_in_8bit" if ctx.explicit("quantization.load_in_8bit") else "adapter.method",
            remedy="write load_in_4bit: true instead, or adapter: lora",
        )
    elif not quantization.load_in_4bit:
        yield Finding(
            "adapter: qlora without load_in_4bit: axolotl refuses it",
            at="adapter.method",
            remedy="write load_in_4bit: true, or adapter: lora",
        )


def _on(plan: Plan, name: str) -> bool:
    quantization = plan.quantization
    if name == "quantization.bits":
        return quantization.bits in (4, 8)
    return bool(quantization.load_in_4bit if name == "quantization.load_in_4bit" else quantization.load_in_8bit)
