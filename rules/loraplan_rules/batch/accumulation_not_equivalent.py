"""Gradient accumulation changes the loss in this version.

## What it does
Reports accumulation over more than one step with a transformers version, stated in the settings or in a
requirements file, in which the accumulated loss is not that of the whole batch: below 4.46, and 4.46 and 4.47.

## Why is this bad?
The loss was averaged in each micro batch and then over them, so that short answers weighed more than long ones, and
a run with accumulation trained something else than one without. The first corrected versions doubled the logged
loss in some models.

## Example
```yaml sft.yaml transformers=4.45.2 preview
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
```

## Use instead
```yaml sft.yaml transformers=4.57.1 preview
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
```

## Options
None.

## Evidence
- <https://github.com/huggingface/transformers/pull/34191>: the correction.
- <https://github.com/huggingface/transformers/pull/35438>: a regression after it.

## What it does not flag
Unknown versions: the newest is assumed. In preview, because examples of equal length are hardly touched.

## Fix safety
There is none.
"""

from __future__ import annotations

from loraplan.formats.table import version_in
from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, rule
from loraplan_rules.optimizers import TRANSFORMERS_SCHEDULES


@rule(
    code="BAT002",
    name="accumulation-not-equivalent",
    severity="warning",
    why="averaging the means of micro batches weighs short examples more",
    reads=("batch.gradient_accumulation_steps",),
    evidence=(
        Evidence(
            "the correction",
            "https://github.com/huggingface/transformers/pull/34191",
            "pull request read",
        ),
        Evidence(
            "a regression after it",
            "https://github.com/huggingface/transformers/pull/35438",
            "pull request read",
        ),
    ),
    preview=True,
    without_adapter=True,
    hand_rolled=False,
)
def check(plan: Plan, ctx: Context) -> Checked:
    steps, version = plan.batch.gradient_accumulation_steps, ctx.version("transformers")
    if steps is None or steps <= 1 or version is None or ctx.reading.format not in TRANSFORMERS_SCHEDULES:
        return
    if not version_in(version, "<4.48"):
        return
    old = version_in(version, "<4.46")
    yield Finding(
        f"{ctx.said('batch.gradient_accumulation_steps')} with transformers {version}: the loss is not that of the"
        f" whole batch{'' if old else ' in some models'}",
        at="batch.gradient_accumulation_steps",
        remedy="use transformers 4.48 or later",
    )
