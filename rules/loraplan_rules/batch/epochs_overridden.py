"""The number of epochs is overridden by max_steps.

## What it does
Reports `max_steps` and a number of epochs, both written, in frameworks built on transformers' Trainer.

## Why is this bad?
`max_steps` wins: the run may end in the middle of the first epoch, or pass over the data more often than the epochs
say. transformers notes it in its log.

## Example
```yaml sft.yaml preview
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
max_steps: 500
```

## Use instead
```yaml sft.yaml preview
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
max_length: 2048
bf16: true
output_dir: out
max_steps: 500
```

## Options
None.

## Evidence
- transformers 5.23.0, `trainer.py`: max_steps is given, it will override any value given in num_train_epochs.

## What it does not flag
`max_steps: -1`, which means no limit. In preview, because many examples write both.

## Fix safety
There is none.
"""

from __future__ import annotations

from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, rule
from loraplan_rules.optimizers import TRANSFORMERS_SCHEDULES


@rule(
    code="BAT006",
    name="epochs-overridden",
    severity="info",
    why="max_steps overrides the epochs",
    reads=("schedule.epochs", "schedule.max_steps"),
    evidence=(
        Evidence(
            "max_steps is given, it will override any value given in num_train_epochs",
            "https://github.com/huggingface/transformers/blob/main/src/transformers/trainer.py",
            "source read at transformers 5.23.0",
        ),
    ),
    preview=True,
    hand_rolled=False,
    without_adapter=True,
)
def check(plan: Plan, ctx: Context) -> Checked:
    if ctx.reading.format not in TRANSFORMERS_SCHEDULES or plan.schedule.max_steps is None:
        return
    if not ctx.explicit("schedule.epochs", "schedule.max_steps"):
        return
    yield Finding(
        f"{ctx.said('schedule.epochs')} has no effect: {ctx.said('schedule.max_steps')} overrides it",
        at="schedule.epochs",
        remedy=f"remove {ctx.key('schedule.epochs')}, or {ctx.key('schedule.max_steps')}",
    )
