"""The quantized weights' storage type cannot be sharded by FSDP.

## What it does
Reports FSDP with a model that bitsandbytes loads in 4 bits where `bnb_4bit_quant_storage` is uint8: written, or
left at the default of a plain `BitsAndBytesConfig` (TRL's command line leaves it too).

## Why is this bad?
FSDP flattens the parameters of a layer into one tensor, which must have one floating type. bitsandbytes packs 4-bit
values into uint8 unless told otherwise: FSDP1 stops with "Must flatten tensors with uniform dtype", or leaves the
quantized weights unsharded on each card.

## Example
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
max_length: 2048
bf16: true
output_dir: out
load_in_4bit: true
fsdp: full_shard auto_wrap
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
max_length: 2048
bf16: true
output_dir: out
load_in_4bit: true
bnb_4bit_quant_storage: bfloat16
fsdp: full_shard auto_wrap
```

## Options
None.

## Evidence
- bitsandbytes, `docs/source/fsdp_qlora.md`@1128e99d: FSDP shards floats only and wraps what has one dtype, so the
  storage must match the other weights; otherwise each layer is wrapped by itself.
- PEFT, `docs/source/accelerate/fsdp.md`@018ca9d6: the model's `dtype` is that of the storage.
- transformers 5.23.0, `utils/quantization_config.py`: bnb_4bit_quant_storage is uint8 where not written.

## What it does not flag
axolotl and LLaMA-Factory, which set the storage type themselves, FSDP that only the launcher's own config turns on,
and hand-rolled files.

## Fix safety
Unsafe: the weights are stored in another type.
"""

from __future__ import annotations

from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, Fix, Set, rule

_OWN = frozenset(("axolotl", "llamafactory"))


@rule(
    code="QNT007",
    name="fsdp-quant-storage",
    severity="error",
    why="FSDP shards floating tensors only; 4-bit weights must be stored in the type of the others",
    reads=("quantization.load_in_4bit", "quantization.quant_storage", "quantization.method", "distributed.fsdp"),
    evidence=(
        Evidence(
            "FSDP-QLoRA: quant storage must match the other weights",
            "https://huggingface.co/docs/bitsandbytes/fsdp_qlora",
            "docs",
        ),
        Evidence(
            "the same in PEFT's guide",
            "https://huggingface.co/docs/peft/accelerate/fsdp",
            "docs",
        ),
        Evidence(
            "bnb_4bit_quant_storage is uint8 where not written",
            "https://github.com/huggingface/transformers/blob/main/src/transformers/utils/quantization_config.py",
            "source read at transformers 5.23.0",
        ),
    ),
    hand_rolled=False,
)
def check(plan: Plan, ctx: Context) -> Checked:
    quantization = plan.quantization
    if ctx.reading.format in _OWN or not plan.distributed.fsdp or not ctx.explicit("distributed.fsdp"):
        return
    if not quantization.load_in_4bit or not ctx.explicit("quantization.load_in_4bit"):
        return
    storage = (quantization.quant_storage or "uint8").lower().removeprefix("torch.")
    if quantization.method not in (None, "bnb") or storage != "uint8":
        return
    key = ctx.key("quantization.quant_storage")
    dtype = "float16" if plan.precision.fp16 else "bfloat16"
    yield Finding(
        f"4-bit weights are stored as uint8 ({key}), which FSDP cannot shard",
        at="quantization.quant_storage" if ctx.explicit("quantization.quant_storage") else "quantization.load_in_4bit",
        remedy=f"set {key} to {dtype}",
        fix=Fix(f"set {key} to {dtype}", (Set("quantization.quant_storage", dtype),), "unsafe"),
    )
