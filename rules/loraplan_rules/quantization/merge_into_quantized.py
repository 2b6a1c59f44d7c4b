"""The adapter is merged into quantized weights.

## What it does
Reports axolotl's `merge_lora` with `adapter: qlora` and a base in 4 or 8 bits (an error), and a Python script that
loads its only model in 4 bits and calls `merge_and_unload`.

## Why is this bad?
The merged weights are rounded to 4 bits again, and the result differs from what was trained; PEFT warns "Merge lora
module to 4-bit linear may get different generations due to rounding errors". axolotl refuses.

## Example
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
    max_length=2048,
    bf16=True,
)
trainer = SFTTrainer(model=model, args=args, peft_config=peft_config, train_dataset=dataset)
trainer.train()
merged = trainer.model.merge_and_unload()
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
    max_length=2048,
    bf16=True,
)
trainer = SFTTrainer(model=model, args=args, peft_config=peft_config, train_dataset=dataset)
trainer.train()
trainer.save_model()
base = AutoModelForCausalLM.from_pretrained("meta-llama/Llama-3.2-1B", dtype=torch.bfloat16)
merged = PeftModel.from_pretrained(base, "out").merge_and_unload()
```

## Options
None.

## Evidence
- peft 0.21.2, `tuners/lora/bnb.py`: the warning on merging into a 4-bit layer.
- axolotl 0.19.0, `utils/schemas/peft.py`: validate_qlora.

## What it does not flag
Scripts that load a second model, since that is how the base is reloaded in 16 bits.

## Fix safety
There is none.
"""

from __future__ import annotations

from loraplan.document import Span
from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, rule
from loraplan_rules.nodes import node, on, text

_MERGE = ".merge_and_unload("


@rule(
    code="QNT008",
    name="merge-into-quantized",
    severity="warning",
    why="merging rounds the learned change to the base's few bits",
    reads=("quantization.load_in_4bit", "quantization.load_in_8bit", "adapter.method"),
    evidence=(
        Evidence(
            "the warning on merging into a 4-bit layer",
            "https://github.com/huggingface/peft/blob/main/src/peft/tuners/lora/bnb.py",
            "source read at peft 0.21.2",
        ),
        Evidence(
            "validate_qlora",
            "https://github.com/axolotl-ai-cloud/axolotl/blob/main/src/axolotl/utils/schemas/peft.py",
            "source read at 0.19.0",
        ),
    ),
)
def check(plan: Plan, ctx: Context) -> Checked:
    quantization, document = plan.quantization, ctx.reading.document
    four, eight = quantization.load_in_4bit, quantization.load_in_8bit
    if not (four or eight):
        return
    if ctx.reading.format == "axolotl":
        place = node(ctx, "merge_lora")
        if place is not None and on(ctx, "merge_lora") and text(ctx, "adapter") == "qlora":
            yield Finding(
                f"merge_lora with a base in {4 if four else 8} bits: axolotl refuses it",
                at=place.span,
                remedy="merge with the base in 16 bits",
                severity="error",
            )
        return
    if document.syntax != "python" or not ctx.explicit("quantization.load_in_4bit") or not four:
        return
    found = document.text.find(_MERGE)
    loads = sum(
        line.count(".from_pretrained(")
        for line in document.text.splitlines()
        if not line.lstrip().startswith("#") and ("Model" in line or "AutoPeft" in line)
    )
    line = document.text[document.text.rfind("\n", 0, found) + 1 : found]
    if found < 0 or loads != 1 or "#" in line:
        return
    yield Finding(
        "merge_and_unload on a model loaded in 4 bits: the merged weights are rounded to 4 bits again",
        at=Span(found + 1, found + len(_MERGE) - 1),
        remedy="reload the base in 16 bits, attach the saved adapter and merge there",
    )
