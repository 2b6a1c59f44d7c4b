"""The 4-bit type is FP4 instead of NF4.

## What it does
Reports a model loaded in 4 bits by bitsandbytes whose quantization type is `fp4`: written, or left at the default of
a plain `BitsAndBytesConfig`.

## Why is this bad?
NF4's levels follow the normal distribution that weights have, FP4's do not. QLoRA measured a mean perplexity of 27.41
for NF4 with double quantization, and 29.48 and 31.07 for the two FP4 layouts, over models of 125M to 13B (table 2);
fine-tuned on FP4, LLaMA falls about one point behind 16-bit LoRA on MMLU, on NF4 it does not (table 4). transformers'
own default is FP4.

## Example
```python train.py
import torch
from peft import LoraConfig
from transformers import AutoModelForCausalLM, BitsAndBytesConfig
from trl import SFTConfig, SFTTrainer

quantization = BitsAndBytesConfig(
    load_in_4bit=True,
    bnb_4bit_quant_type="fp4",
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
- transformers 5.23.0, `utils/quantization_config.py`: `bnb_4bit_quant_type="fp4"` by default (run).
- QLoRA, <https://arxiv.org/abs/2305.14314>: mean perplexity 27.41 against 29.48 and 31.07 (table 2), zero-shot accuracy
  (figure 3), and MMLU after fine-tuning, where FP4 is one point behind bfloat16 and NF4 is not (table 4).
- Against: on GLUE and Super-NaturalInstructions both match 16 bits (table 3).

## What it does not flag
Frameworks that ask for NF4 themselves: TRL's command line, LLaMA-Factory, axolotl, ms-swift, ludwig. In hand-rolled
files an absent type is judged only in a section with bitsandbytes' own key names, and is a note unless the training
dtype is written too.

## Fix safety
Unsafe: the base weights are rounded differently.
"""

from __future__ import annotations

from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, Fix, Set, rule


@rule(
    code="QNT001",
    name="fp4-quant-type",
    severity="warning",
    why="FP4 loses more than NF4 at the same memory, because weights are distributed normally",
    reads=("quantization.load_in_4bit", "quantization.bits", "quantization.quant_type", "quantization.method"),
    evidence=(
        Evidence(
            "BitsAndBytesConfig defaults to fp4",
            "https://github.com/huggingface/transformers/blob/main/src/transformers/utils/quantization_config.py",
            "run with transformers 5.23.0",
        ),
        Evidence("NF4 beats FP4 in perplexity and on MMLU", "https://arxiv.org/abs/2305.14314", "paper read"),
    ),
)
def check(plan: Plan, ctx: Context) -> Checked:
    quantization = plan.quantization
    if not (quantization.load_in_4bit or quantization.bits == 4) or quantization.method not in (None, "bnb"):
        return
    if (quantization.quant_type or "").lower() != "fp4":
        return
    certain = ctx.explicit("quantization.quant_type") or not ctx.reading.hand_rolled
    dtype = ctx.explicit("precision.bf16") or ctx.explicit("precision.fp16") or ctx.explicit("model.dtype")
    yield Finding(
        f"{ctx.said('quantization.quant_type')}: FP4 rounds weights more coarsely than NF4 in the same memory",
        at="quantization.quant_type",
        remedy=f"set {ctx.key('quantization.quant_type')} to nf4",
        severity=None if certain or dtype else "info",
        fix=Fix("set the quantization type to nf4", (Set("quantization.quant_type", "nf4"),), "unsafe"),
    )
