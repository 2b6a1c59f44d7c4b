"""Double quantization is off where memory is short.

## What it does
Notes 4-bit weights without double quantization, where the run takes more than 85 % of the card.

## Why is this bad?
The scales of the 4-bit blocks cost half a bit a parameter; quantized in turn they cost an eighth of a bit. The saving
of 0.37 bits a parameter is about 0.3 GiB for a 7B model, with no loss that QLoRA could measure.

## Example
```yaml sft.yaml gpu=rtx-3060
model_name_or_path: meta-llama/Llama-3.1-8B
dataset_name: tatsu-lab/alpaca
dtype: bfloat16
attn_implementation: flash_attention_2
use_peft: true
lora_r: 16
lora_alpha: 32
lora_target_modules: all-linear
load_in_4bit: true
bnb_4bit_quant_type: nf4
use_bnb_nested_quant: false
learning_rate: 2.0e-4
lr_scheduler_type: cosine
warmup_steps: 20
per_device_train_batch_size: 4
gradient_accumulation_steps: 2
num_train_epochs: 1
max_length: 1792
packing: true
bf16: true
output_dir: out
```

## Use instead
```yaml sft.yaml gpu=rtx-3060
model_name_or_path: meta-llama/Llama-3.1-8B
dataset_name: tatsu-lab/alpaca
dtype: bfloat16
attn_implementation: flash_attention_2
use_peft: true
lora_r: 16
lora_alpha: 32
lora_target_modules: all-linear
load_in_4bit: true
bnb_4bit_quant_type: nf4
use_bnb_nested_quant: true
learning_rate: 2.0e-4
lr_scheduler_type: cosine
warmup_steps: 20
per_device_train_batch_size: 4
gradient_accumulation_steps: 2
num_train_epochs: 1
max_length: 1792
packing: true
bf16: true
output_dir: out
```

## Options
- `full` (0.85): the share of the card from which it is worth it.

## Evidence
- QLoRA, arXiv 2305.14314, section 3: 0.37 bits a parameter, from 0.5 to 0.127.
- `loraplan estimate` (docs/accuracy.md: its error against published measurements, by group).

## What it does not flag
Runs with room to spare, runs without a named card or known model, and GPTQ, AWQ and torchao weights.

## Fix safety
Unsafe: weights are stored otherwise, though no difference was measured.
"""

from __future__ import annotations

from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, Fix, Set, rule


@rule(
    code="QNT004",
    name="double-quantization-off",
    severity="info",
    why="the scales of the 4-bit blocks can be quantized in turn",
    reads=("quantization.double_quant", "quantization.load_in_4bit"),
    evidence=(Evidence("0.37 bits a parameter", "https://arxiv.org/abs/2305.14314", "paper"),),
    needs=("gpu", "arch"),
    options={"full": 0.85},
)
def check(plan: Plan, ctx: Context) -> Checked:
    quantization = plan.quantization
    if (
        not quantization.load_in_4bit
        or quantization.double_quant is not False
        or quantization.method not in (None, "bnb")
    ):
        return
    device, found = ctx.gpu, ctx.estimate
    from loraplan.memory.observed import CONTEXT
    from loraplan_rules.planned import size

    if found.allocated.expected + CONTEXT <= ctx.options.full * device.usable_bytes:
        return
    statistics = sum(term.bytes for term in found.phases[0].terms if term.name == "quantization statistics")
    saved = int(statistics * (1 - (1 + 4 / 256) / 4))
    key = ctx.key("quantization.double_quant")
    yield Finding(
        f"{ctx.said('quantization.double_quant')}: double quantization would save {size(saved)} of the"
        f" {size(found.allocated.expected + CONTEXT)} predicted on {device.name}",
        at="quantization.double_quant",
        remedy=f"set {key} to true",
        fix=Fix(f"set {key} to true", (Set("quantization.double_quant", True),), "unsafe"),
    )
