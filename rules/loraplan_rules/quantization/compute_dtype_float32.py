"""4-bit layers compute in float32 while training runs in 16 bits.

## What it does
Reports a 4-bit bitsandbytes model whose compute dtype is float32, written or by default, in a run with bf16 or fp16.

## Why is this bad?
Every 4-bit layer dequantizes to float32 and multiplies there, without the 16-bit tensor cores: on an A100 that is
19.5 TFLOP/s (156 with TF32) instead of 312. Nothing says so: bitsandbytes takes the compute dtype that transformers
hands over, without a warning.

## Example
```python train.py
import torch
from peft import LoraConfig
from transformers import AutoModelForCausalLM, BitsAndBytesConfig
from trl import SFTConfig, SFTTrainer

quantization = BitsAndBytesConfig(
    load_in_4bit=True,
    bnb_4bit_quant_type="nf4",
)
model = AutoModelForCausalLM.from_pretrained("meta-llama/Llama-3.2-1B", quantization_config=quantization)
peft_config = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
args = SFTConfig(
    output_dir="out",
    learning_rate=2e-4,
    warmup_steps=20,
    per_device_train_batch_size=2,
    gradient_accumulation_steps=4,
    num_train_epochs=1,
    bf16=True,
)
trainer = SFTTrainer(model=model, args=args, peft_config=peft_config, train_dataset=dataset)
```

## Use instead
```python train.py
import torch
from peft import LoraConfig
from transformers import AutoModelForCausalLM, BitsAndBytesConfig
from trl import SFTConfig, SFTTrainer

quantization = BitsAndBytesConfig(
    load_in_4bit=True,
    bnb_4bit_quant_type="nf4",
    bnb_4bit_compute_dtype=torch.bfloat16,
)
model = AutoModelForCausalLM.from_pretrained("meta-llama/Llama-3.2-1B", quantization_config=quantization)
peft_config = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
args = SFTConfig(
    output_dir="out",
    learning_rate=2e-4,
    warmup_steps=20,
    per_device_train_batch_size=2,
    gradient_accumulation_steps=4,
    num_train_epochs=1,
    bf16=True,
)
trainer = SFTTrainer(model=model, args=args, peft_config=peft_config, train_dataset=dataset)
```

## Options
None.

## Evidence
- transformers 5.23.0, `utils/quantization_config.py`: `bnb_4bit_compute_dtype=None` means float32 (run).
- bitsandbytes 0.50.0, `nn/modules.py`, `Linear4bit`: a compute dtype that is handed over is kept
  (`compute_type_is_set`), and transformers always hands one over. So since 0.47.0; up to 0.46.1 the layer took the
  dtype of bfloat16 inputs itself, and for float16 warned of "slow inference or training speed".
- trl 1.16.0, `trainer/utils.py`, `get_quantization_config`: the compute dtype is the model's `dtype`, float32 unless
  written.
- The throughputs: NVIDIA's A100 data sheet, as <https://glennklockwood.com/garden/processors/A100> has it.

## What it does not flag
Runs in float32, where nothing is lost, and models that are not quantized. Of hand-rolled files only sections with
bitsandbytes' own key names, at warning only where the training dtype is written.

## Fix safety
Safe where bf16 or fp16 is written: the layers' results are cast to that type anyhow. Otherwise unsafe.
"""

from __future__ import annotations

from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, Fix, Set, rule


@rule(
    code="QNT002",
    name="compute-dtype-float32",
    severity="warning",
    why="4-bit layers then multiply in float32, several times slower than in 16 bits",
    reads=(
        "quantization.load_in_4bit",
        "quantization.compute_dtype",
        "precision.bf16",
        "precision.fp16",
        "model.dtype",
    ),
    evidence=(
        Evidence(
            "BitsAndBytesConfig computes in float32 by default",
            "https://github.com/huggingface/transformers/blob/main/src/transformers/utils/quantization_config.py",
            "run with transformers 5.23.0",
        ),
        Evidence(
            "bitsandbytes keeps the compute dtype it is given",
            "https://github.com/bitsandbytes-foundation/bitsandbytes/blob/main/bitsandbytes/nn/modules.py",
            "source read at 0.50.0, 0.47.0 and 0.46.1",
        ),
    ),
)
def check(plan: Plan, ctx: Context) -> Checked:
    quantization = plan.quantization
    four_bit = quantization.load_in_4bit or (quantization.bits == 4 and quantization.method == "bnb")
    if not four_bit or quantization.method not in (None, "bnb"):
        return
    if (quantization.compute_dtype or "").lower() not in ("float32", "fp32"):
        return
    training, field = _training_dtype(plan)
    assumed = ctx.reading.hand_rolled and not ctx.explicit("quantization.compute_dtype")
    if training is None and not assumed:
        return
    stated = field is not None and ctx.explicit(field)
    at = "quantization.compute_dtype"
    if at not in ctx.reading.keys and not ctx.explicit(at):
        at = "model.dtype"
    while_ = f" while training runs in {training}" if training else ""
    yield Finding(
        f"{ctx.said('quantization.compute_dtype')}: the 4-bit layers multiply in float32{while_}, which is slow",
        at=at,
        remedy=f"set {ctx.key(at)} to {training or 'the training dtype'}",
        severity="info" if assumed and not stated else None,
        fix=Fix(f"set {ctx.key(at)} to {training}", (Set(at, training),), "safe" if stated else "unsafe")
        if training
        else None,
    )


def _training_dtype(plan: Plan) -> tuple[str | None, str | None]:
    """What training runs in, and the field that says so."""
    if plan.precision.bf16:
        return "bfloat16", "precision.bf16"
    if plan.precision.fp16:
        return "float16", "precision.fp16"
    if plan.model.dtype in ("bfloat16", "float16"):
        return plan.model.dtype, "model.dtype"
    return None, None
