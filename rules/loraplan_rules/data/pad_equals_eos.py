"""Padding with the end token hides it from the loss.

## What it does
Reports a Python script that sets `pad_token` to the tokenizer's `eos_token` and collates with transformers'
`DataCollatorForLanguageModeling`.

## Why is this bad?
That collator sets the label of every padding token to -100. Where padding is the end token, the real end of each
answer is masked too: the model never learns to stop.

## Example
```python train.py
import torch
from peft import LoraConfig
from transformers import AutoModelForCausalLM, DataCollatorForLanguageModeling, Trainer

model = AutoModelForCausalLM.from_pretrained("meta-llama/Llama-3.2-1B", dtype=torch.bfloat16)
peft_config = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
tokenizer.pad_token = tokenizer.eos_token
args = TrainingArguments(
    output_dir="out",
    learning_rate=2e-4,
    warmup_steps=20,
    per_device_train_batch_size=2,
    gradient_accumulation_steps=4,
    num_train_epochs=1,
    bf16=True,
)
trainer = Trainer(
    model=model,
    args=args,
    train_dataset=dataset,
    data_collator=DataCollatorForLanguageModeling(tokenizer, mlm=False),
)
```

## Use instead
```python train.py
import torch
from peft import LoraConfig
from transformers import AutoModelForCausalLM, DataCollatorForLanguageModeling, Trainer

model = AutoModelForCausalLM.from_pretrained("meta-llama/Llama-3.2-1B", dtype=torch.bfloat16)
peft_config = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
tokenizer.pad_token = tokenizer.unk_token
args = TrainingArguments(
    output_dir="out",
    learning_rate=2e-4,
    warmup_steps=20,
    per_device_train_batch_size=2,
    gradient_accumulation_steps=4,
    num_train_epochs=1,
    bf16=True,
)
trainer = Trainer(
    model=model,
    args=args,
    train_dataset=dataset,
    data_collator=DataCollatorForLanguageModeling(tokenizer, mlm=False),
)
```

## Options
None.

## Evidence
- transformers 5.23.0, `data/data_collator.py`: labels[labels == pad_token_id] = -100.
- unsloth issue 416 (solved by another padding token) and trl pull request 3091: models that do not stop.

## What it does not flag
TRL's own collators, which build labels before they pad, and scripts without that collator.

## Fix safety
There is none.
"""

from __future__ import annotations

import re

from loraplan.document import Span
from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, rule

_COLLATOR = "DataCollatorForLanguageModeling("


@rule(
    code="DAT003",
    name="pad-equals-eos",
    severity="warning",
    why="the collator masks every padding token, and with it the end of each answer",
    reads=("data.datasets",),
    evidence=(
        Evidence(
            "labels[labels == pad_token_id] = -100",
            "https://github.com/huggingface/transformers/blob/main/src/transformers/data/data_collator.py",
            "source read at transformers 5.23.0",
        ),
        Evidence(
            "models that do not stop",
            "https://github.com/unslothai/unsloth/issues/416",
            "issue read",
        ),
    ),
    without_adapter=True,
)
def check(_plan: Plan, ctx: Context) -> Checked:
    document = ctx.reading.document
    if document.syntax != "python" or _COLLATOR not in document.text or "mlm=True" in document.text:
        return
    if "from trl.trainer.sft_trainer import DataCollatorForLanguageModeling" in document.text:
        return
    found = re.search(
        r"^[ \t]*\w+\.pad_token(?:_id)?[ \t]*=[ \t]*\w+\.eos_token(?:_id)?[ \t]*$", document.text, re.MULTILINE
    )
    if found is None:
        return
    start = found.start() + len(found[0]) - len(found[0].lstrip())
    yield Finding(
        "the padding token is the end token, and the collator hides padding from the loss: the model may never stop",
        at=Span(start, found.end()),
        remedy="add a padding token of its own, or build the labels before padding",
    )
