"""The weight decay is high for LoRA.

## What it does
Reports a written weight decay above 0.1. In preview also one above 0.01, as a note.

## Why is this bad?
AdamW's decay pulls A and B towards zero, and with them their product: the adapter is drawn back to the base model,
the stronger the longer the run. QLoRA's script has 0.0 and leaves regularization to dropout; Unsloth's guide names
0.01 to 0.1.

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
weight_decay: 0.5
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
weight_decay: 0.0
```

## Options
- `max` (0.1): above this a warning.
- `note` (0.01): above this a note, in preview.

## Evidence
- artidoro/qlora, `qlora.py`@00e5ad2a: weight_decay 0.0, "use lora dropout instead".
- Biderman et al., arXiv 2405.09673v2, appendix A: 0 in instruction fine-tuning.
- Unsloth, <https://docs.unsloth.ai/get-started/fine-tuning-llms-guide/lora-hyperparameters-guide>: 0.01, up to 0.1
  (its table, read in a copy).

## What it does not flag
Full fine-tuning, optimizers that are not on Adam's scale, and defaults.

## Fix safety
Unsafe: training changes.
"""

from __future__ import annotations

from loraplan.derived import finite
from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, Fix, Set, rule
from loraplan_rules.optimizers import adam_like


@rule(
    code="OPT002",
    name="weight-decay-high",
    severity="warning",
    why="weight decay pulls the adapter, and with it the learned change, towards zero",
    reads=("optimizer.weight_decay", "optimizer.name"),
    evidence=(
        Evidence(
            'weight_decay 0.0, "use lora dropout instead"',
            "https://github.com/artidoro/qlora/blob/main/qlora.py",
            "source read at 00e5ad2a",
        ),
        Evidence(
            "0.01, up to 0.1",
            "https://docs.unsloth.ai/get-started/fine-tuning-llms-guide/lora-hyperparameters-guide",
            "docs, table read in a copy",
        ),
    ),
    options={"max": 0.1, "note": 0.01},
)
def check(plan: Plan, ctx: Context) -> Checked:
    decay = finite(plan.optimizer.weight_decay)
    if decay is None or not ctx.explicit("optimizer.weight_decay") or not adam_like(plan):
        return
    if decay <= ctx.options.note:
        return
    high = decay > ctx.options.max
    key = ctx.key("optimizer.weight_decay")
    yield Finding(
        f"{ctx.said('optimizer.weight_decay')} draws the adapter back to the base model"
        + ("" if high else ": usual are 0 to 0.01"),
        at="optimizer.weight_decay",
        remedy=f"set {key} to 0.0 or 0.01",
        severity=None if high else "info",
        fix=Fix(f"set {key} to 0.0", (Set("optimizer.weight_decay", 0.0),), "unsafe"),
        preview=not high,
    )
