"""A bitsandbytes setting has a value that it cannot take.

## What it does
Reports 4-bit and 8-bit loading in one config, an `llm_int8_threshold` that is an integer, a 4-bit type spelled other
than exactly `nf4` or `fp4`, and a compute dtype that is no attribute of torch (`bf16`), where the value reaches
`BitsAndBytesConfig` as it stands.

## Why is this bad?
Three of the four stop the run while the model loads: `ValueError`, `TypeError: llm_int8_threshold must be a float`,
`AttributeError: module 'torch' has no attribute 'bf16'`. The fourth is silent at first: with `NF4` in capitals
`quantization_method()` is None, and loading fails later with an unrelated message.

## Example
```python train.py
import torch
from peft import LoraConfig
from transformers import AutoModelForCausalLM, BitsAndBytesConfig
from trl import SFTConfig, SFTTrainer

quantization = BitsAndBytesConfig(
    load_in_4bit=True, load_in_8bit=True,
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
- transformers 5.23.0, `utils/quantization_config.py`, `BitsAndBytesConfig.__init__` and `post_init` (run).
- trl 1.16.0, `trainer/model_config.py`; unsloth 2026.10.9, `models/loader.py`: both refuse 4 and 8 bits together.

## What it does not flag
`bf16` and integers in hand-rolled files and in frameworks that translate dtype names themselves (oumi, ludwig): their
code converts before the value reaches bitsandbytes.

## Fix safety
Safe for spelling: the meaning is plain. None for two bit widths.
"""

from __future__ import annotations

from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, Fix, Set, rule
from loraplan_rules.written import written

_DTYPES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32", "f16": "float16", "f32": "float32"}
# Formats whose values reach BitsAndBytesConfig as they are written.
_PASSED_ON = frozenset(("python", "axolotl", "llm-toolkit", "hf-args", "unsloth"))


@rule(
    code="QNT005",
    name="bnb-config-invalid",
    severity="error",
    why="BitsAndBytesConfig refuses the value while the model loads, or takes it and does not quantize",
    reads=(
        "quantization.load_in_4bit",
        "quantization.load_in_8bit",
        "quantization.quant_type",
        "quantization.compute_dtype",
        "quantization.llm_int8_threshold",
    ),
    evidence=(
        Evidence(
            "BitsAndBytesConfig.__init__ and post_init",
            "https://github.com/huggingface/transformers/blob/main/src/transformers/utils/quantization_config.py",
            "run with transformers 5.23.0",
        ),
    ),
    without_adapter=True,
)
def check(plan: Plan, ctx: Context) -> Checked:
    quantization = plan.quantization
    both = ("quantization.load_in_4bit", "quantization.load_in_8bit")
    if quantization.load_in_4bit and quantization.load_in_8bit and ctx.explicit(*both):
        one, other = (ctx.reading.explicit(name) for name in both)
        if one is not None and other is not None and one.span != other.span:
            yield Finding(
                f"{ctx.key(both[0])} and {ctx.key(both[1])} are both true: a model is loaded in one of them",
                at=both[1],
                remedy=f"remove {ctx.key(both[1])}, or {ctx.key(both[0])}",
                severity="warning" if ctx.reading.hand_rolled else None,
            )
    yield from _quant_type(ctx)
    if ctx.reading.format in _PASSED_ON:
        yield from _passed_on(ctx)


def _quant_type(ctx: Context) -> Checked:
    text = written(ctx, "quantization.quant_type")
    if text is None or text in ("nf4", "fp4") or text.lower() not in ("nf4", "fp4"):
        return
    yield Finding(
        f"{ctx.key('quantization.quant_type')}: {text} is not {text.lower()}: bitsandbytes compares it exactly,"
        " and does not quantize",
        at="quantization.quant_type",
        remedy=f"write {text.lower()}",
        severity="warning" if ctx.reading.hand_rolled else None,
        fix=Fix(f"write {text.lower()}", (Set("quantization.quant_type", text.lower()),), "safe"),
    )


def _passed_on(ctx: Context) -> Checked:
    threshold = written(ctx, "quantization.llm_int8_threshold")
    if threshold is not None and threshold.isascii() and threshold.lstrip("+-").isdigit() and len(threshold) < 20:
        yield Finding(
            f"{ctx.key('quantization.llm_int8_threshold')}: {threshold} is an integer: BitsAndBytesConfig raises"
            " TypeError",
            at="quantization.llm_int8_threshold",
            remedy=f"write {threshold}.0",
            fix=Fix(f"write {threshold}.0", (Set("quantization.llm_int8_threshold", float(threshold)),), "safe"),
        )
    dtype = written(ctx, "quantization.compute_dtype")
    if dtype is not None and (name := _DTYPES.get(dtype.lower())) is not None:
        yield Finding(
            f"{ctx.key('quantization.compute_dtype')}: {dtype} is no torch dtype: BitsAndBytesConfig raises"
            " AttributeError",
            at="quantization.compute_dtype",
            remedy=f"write {name}",
            fix=Fix(f"write {name}", (Set("quantization.compute_dtype", name),), "safe"),
        )
