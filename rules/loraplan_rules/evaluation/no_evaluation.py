"""Several epochs without any evaluation.

## What it does
Reports three epochs or more, written in the file, without an evaluation set and with evaluation off.

## Why is this bad?
The training loss alone does not tell learning from memorizing: which epoch was the last good one cannot be said
afterwards. transformers does not evaluate by default.

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
num_train_epochs: 3
max_length: 2048
bf16: true
output_dir: out
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
num_train_epochs: 3
max_length: 2048
bf16: true
output_dir: out
eval_strategy: epoch
```

## Options
- `epochs` (3): fewer epochs than this are not judged.

## Evidence
- transformers 5.23.0, `training_args.py`: eval_strategy is no by default.

## What it does not flag
One or two epochs, `max_steps`, reinforcement learning, hand-rolled files, and formats whose evaluation the tables
do not know. Many official examples leave evaluation out on purpose, hence a note, and only from three epochs.

## Fix safety
There is none.
"""

from __future__ import annotations

from loraplan.derived import family, finite
from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, rule


@rule(
    code="EVL001",
    name="no-evaluation",
    severity="info",
    why="without evaluation, overfitting cannot be seen",
    reads=("run.eval_strategy", "data.val_size", "data.eval_datasets", "schedule.epochs", "schedule.max_steps"),
    evidence=(
        Evidence(
            "eval_strategy is no by default",
            "https://github.com/huggingface/transformers/blob/main/src/transformers/training_args.py",
            "source read at transformers 5.23.0",
        ),
    ),
    options={"epochs": 3},
    hand_rolled=False,
    without_adapter=True,
)
def check(plan: Plan, ctx: Context) -> Checked:
    epochs = finite(plan.schedule.epochs)
    if epochs is None or epochs < ctx.options.epochs or not ctx.explicit("schedule.epochs"):
        return
    if plan.schedule.max_steps is not None or family(plan) == "rl" or ctx.reading.facts.get("no_training"):
        return
    size = finite(plan.data.val_size)
    off = (plan.run.eval_strategy or "").lower() == "no" or (ctx.reading.format == "axolotl" and size == 0)
    if not off or plan.data.eval_datasets or (size or 0) > 0:
        return
    yield Finding(
        f"{ctx.said('schedule.epochs')} and no evaluation: overfitting cannot be seen",
        at="schedule.epochs",
        remedy="hold out a few hundred examples and evaluate every epoch",
    )
