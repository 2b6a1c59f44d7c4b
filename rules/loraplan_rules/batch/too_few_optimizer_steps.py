"""The run has very few optimizer steps.

## What it does
Reports fewer than 30 optimizer steps where the size of the data is known (a file, or `--dataset-size`), and mlx-lm
with fewer examples than a batch, which is an error.

## Why is this bad?
A warm-up of a few steps is a large part of such a run, and the adapter starts at zero: Thinking Machines found that
runs under about 100 steps want 15 times the learning rate of full fine-tuning instead of 10. mlx-lm stops where a
batch cannot be filled.

## Example
```yaml sft.yaml dataset_size=150
model_name_or_path: meta-llama/Llama-3.2-1B
dataset_name: tatsu-lab/alpaca
dtype: bfloat16
use_peft: true
lora_r: 16
lora_alpha: 32
lora_target_modules: all-linear
learning_rate: 2.0e-4
lr_scheduler_type: cosine
warmup_steps: 2
per_device_train_batch_size: 2
gradient_accumulation_steps: 4
num_train_epochs: 1
max_length: 2048
bf16: true
output_dir: out
```

## Use instead
```yaml sft.yaml dataset_size=10000
model_name_or_path: meta-llama/Llama-3.2-1B
dataset_name: tatsu-lab/alpaca
dtype: bfloat16
use_peft: true
lora_r: 16
lora_alpha: 32
lora_target_modules: all-linear
learning_rate: 2.0e-4
lr_scheduler_type: cosine
warmup_steps: 2
per_device_train_batch_size: 2
gradient_accumulation_steps: 4
num_train_epochs: 1
max_length: 2048
bf16: true
output_dir: out
```

## Options
- `min` (30): fewer steps than this are reported.

## Evidence
- <https://thinkingmachines.ai/blog/lora/>: short runs want a higher rate.
- mlx-lm 0.32.2, `tuner/trainer.py`: Dataset must have at least batch_size examples.

## What it does not flag
A written `max_steps`, which is a stated choice, and data whose size is not known.

## Fix safety
There is none.
"""

from __future__ import annotations

from dataclasses import replace

from loraplan.derived import number, total_steps
from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, rule

_FIELDS = ("batch.gradient_accumulation_steps", "batch.global_batch_size", "batch.micro_batch_size")


@rule(
    code="BAT004",
    name="too-few-optimizer-steps",
    severity="warning",
    why="an adapter starts at zero and needs steps to move",
    reads=(
        "schedule.epochs",
        "schedule.max_steps",
        "batch.micro_batch_size",
        "batch.gradient_accumulation_steps",
        "batch.global_batch_size",
        "data.packing",
    ),
    evidence=(
        Evidence(
            "short runs want a higher rate",
            "https://thinkingmachines.ai/blog/lora/",
            "article read",
        ),
        Evidence(
            "Dataset must have at least batch_size examples",
            "https://github.com/ml-explore/mlx-lm/blob/main/mlx_lm/tuner/trainer.py",
            "source read at 0.32.2",
        ),
    ),
    options={"min": 30},
    needs=("dataset",),
    without_adapter=True,
)
def check(plan: Plan, ctx: Context) -> Checked:
    examples, micro = ctx.dataset_size, plan.batch.micro_batch_size
    if ctx.reading.format == "mlx-lm":
        if micro is not None and examples < micro:
            yield Finding(
                f"{number(examples)} examples do not fill one batch of {micro}: mlx-lm stops",
                at="batch.micro_batch_size",
                remedy=f"set {ctx.key('batch.micro_batch_size')} to {examples} or less",
                severity="error",
            )
        return
    if plan.schedule.max_steps is not None or (micro is None and plan.batch.global_batch_size is None):
        return
    packed = bool(
        plan.data.packing
    )  # makes fewer sequences of the examples, so that there are no more steps than these
    steps = total_steps(replace(plan, data=replace(plan.data, packing=False)) if packed else plan, examples)
    if steps is None or steps >= ctx.options.min:
        return
    at = next((name for name in _FIELDS if ctx.explicit(name)), "schedule.epochs")
    few = f"{'at most ' if packed else ''}{steps} optimizer step{'' if steps == 1 else 's'}"
    yield Finding(
        f"{number(examples)} examples make {few}" + (", and fewer with packing" if packed else ""),
        at=at,
        remedy="accumulate less, or train longer",
    )
