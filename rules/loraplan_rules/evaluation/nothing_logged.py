"""The run ends before the first loss is logged.

## What it does
Reports a logging interval above the number of optimizer steps, where that number is known from `max_steps` or the
size of the data.

## Why is this bad?
transformers logs every 500 steps by default: a shorter run leaves one line at its end and no loss curve. Whether it
diverged, and when, cannot be seen.

## Example
```yaml qlora.yml
base_model: NousResearch/Llama-3.2-1B
adapter: lora
lora_r: 16
lora_alpha: 32
lora_target_linear: true
datasets:
  - path: tatsu-lab/alpaca
    type: alpaca
sequence_len: 2048
micro_batch_size: 2
gradient_accumulation_steps: 4
num_epochs: 1
optimizer: adamw_torch_fused
lr_scheduler: cosine
learning_rate: 0.0002
bf16: true
max_steps: 200
logging_steps: 500
```

## Use instead
```yaml qlora.yml
base_model: NousResearch/Llama-3.2-1B
adapter: lora
lora_r: 16
lora_alpha: 32
lora_target_linear: true
datasets:
  - path: tatsu-lab/alpaca
    type: alpaca
sequence_len: 2048
micro_batch_size: 2
gradient_accumulation_steps: 4
num_epochs: 1
optimizer: adamw_torch_fused
lr_scheduler: cosine
learning_rate: 0.0002
bf16: true
max_steps: 200
logging_steps: 10
```

## Options
None.

## Evidence
- transformers 5.23.0, `training_args.py`: logging_steps is 500 by default.

## What it does not flag
Intervals below 1, which are shares of the run, runs whose length is not known, files that set `logging_strategy`,
and hand-rolled files.

## Fix safety
There is none.
"""

from __future__ import annotations

from loraplan.derived import finite, number, total_steps
from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, rule
from loraplan_rules.optimizers import TRANSFORMERS_SCHEDULES


@rule(
    code="EVL003",
    name="nothing-logged",
    severity="info",
    why="a run shorter than the logging interval leaves no loss curve",
    reads=(
        "run.logging_steps",
        "schedule.max_steps",
        "schedule.epochs",
        "batch.micro_batch_size",
        "batch.gradient_accumulation_steps",
    ),
    evidence=(
        Evidence(
            "logging_steps is 500 by default",
            "https://github.com/huggingface/transformers/blob/main/src/transformers/training_args.py",
            "source read at transformers 5.23.0",
        ),
    ),
    hand_rolled=False,
    without_adapter=True,
)
def check(plan: Plan, ctx: Context) -> Checked:
    every = finite(plan.run.logging_steps)
    if every is None or every < 1 or ctx.reading.format not in TRANSFORMERS_SCHEDULES:
        return
    if "logging_strategy" in ctx.reading.document.text or ctx.reading.facts.get("no_training"):
        return
    steps = total_steps(plan, ctx.dataset_size_or_none)
    if steps is None or every <= steps:
        return
    yield Finding(
        f"{ctx.said('run.logging_steps')}, but the run has {number(steps)}: no loss is logged on the way",
        at="run.logging_steps",
        remedy=f"set {ctx.key('run.logging_steps')} to {max(1, min(10, steps // 20))}",
    )
