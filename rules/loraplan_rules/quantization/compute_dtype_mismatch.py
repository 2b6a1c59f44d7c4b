"""The 4-bit layers' compute dtype does not fit the training dtype or the card.

## What it does
Reports a written compute dtype of float16 in a run with bf16. With `--gpu`, also bfloat16 on a card that has none
(compute capability below 8.0: V100, T4, RTX 20xx), and float16 on a newer card for a model whose weights were
published in bfloat16.

## Why is this bad?
float16 ends at 65,504, bfloat16 at 3.4e38: activations of a model trained in bfloat16 can overflow inside the
quantized layers, although the rest of the run is bf16 and safe. On cards without bfloat16 it is emulated or refused.

## Example
```python train.py
import torch
from peft import LoraConfig
from transformers import AutoModelForCausalLM, BitsAndBytesConfig
from trl import SFTConfig, SFTTrainer

quantization = BitsAndBytesConfig(
    load_in_4bit=True,
    bnb_4bit_quant_type="nf4",
    bnb_4bit_compute_dtype=torch.float16,
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
- bitsandbytes, `docs/source/fsdp_qlora.md`@1128e99d: bfloat16 is recommended as compute dtype where the card has it.
- torch 2.13.0, `torch/cuda/__init__.py`, `is_bf16_supported`: bfloat16 from compute capability 8.

## What it does not flag
A compute dtype that the framework fixes itself (h2o LLM Studio, autotrain: float16), since no key changes it, and
float16 computing in an fp16 run.

## Fix safety
Unsafe: the layers compute in another type.
"""

from __future__ import annotations

from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, Fix, Set, rule


@rule(
    code="QNT003",
    name="compute-dtype-mismatch",
    severity="warning",
    why="float16 overflows at 65,504, where bfloat16 does not; cards below compute capability 8.0 have no bfloat16",
    reads=("quantization.load_in_4bit", "quantization.compute_dtype", "precision.bf16", "precision.fp16"),
    evidence=(
        Evidence(
            "bfloat16 recommended as compute dtype",
            "https://huggingface.co/docs/bitsandbytes/fsdp_qlora",
            "docs",
        ),
        Evidence(
            "bfloat16 from compute capability 8",
            "https://github.com/pytorch/pytorch/blob/main/torch/cuda/__init__.py",
            "source read at torch 2.13.0",
        ),
    ),
)
def check(plan: Plan, ctx: Context) -> Checked:
    quantization = plan.quantization
    if not (quantization.load_in_4bit or quantization.bits == 4) or quantization.method not in (None, "bnb"):
        return
    if not ctx.explicit("quantization.compute_dtype"):
        return
    compute = (quantization.compute_dtype or "").lower()
    gpu = ctx.gpu_or_none
    capability = gpu.capability if gpu is not None else None
    modern = capability is not None and capability >= (8, 0)
    key = ctx.key("quantization.compute_dtype")
    if compute in ("bfloat16", "bf16") and gpu is not None and capability is not None and not modern:
        yield Finding(
            f"{ctx.said('quantization.compute_dtype')}: {gpu.name} (compute capability"
            f" {capability[0]}.{capability[1]}) has no bfloat16",
            at="quantization.compute_dtype",
            remedy=f"set {key} to float16",
            severity="error",
            fix=Fix(f"set {key} to float16", (Set("quantization.compute_dtype", "float16"),), "unsafe"),
        )
        return
    if compute not in ("float16", "fp16"):
        return
    arch = ctx.arch_or_none
    native = arch is not None and arch.dtype == "bfloat16"
    if plan.precision.bf16 and (capability is None or modern):
        cause = f"while training runs in bfloat16 ({ctx.key('precision.bf16')})"
    elif modern and native and not plan.precision.fp16:
        cause = "although the model's weights were published in bfloat16"
    else:
        return
    yield Finding(
        f"{ctx.said('quantization.compute_dtype')} {cause}: the quantized layers overflow at 65,504",
        at="quantization.compute_dtype",
        remedy=f"set {key} to bfloat16",
        severity="info" if ctx.reading.hand_rolled and not ctx.explicit("precision.bf16") else None,
        fix=Fix(f"set {key} to bfloat16", (Set("quantization.compute_dtype", "bfloat16"),), "unsafe"),
    )
