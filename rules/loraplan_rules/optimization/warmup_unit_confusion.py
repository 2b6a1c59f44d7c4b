"""Warm-up is a step count where a ratio is meant, or a ratio where steps are meant.

## What it does
Reports a warm-up ratio above 1 and a number of steps below 1 where the framework counts steps (errors), a ratio of
0.3 and more, and a number of steps that is not whole (warnings).

## Why is this bad?
`warmup_ratio: 100` is refused, or warms up for a hundred times the run, so that the rate stays at 1 % of its peak;
`warmup_steps: 0.03` where steps are whole numbers is refused, or no warm-up at all. transformers 5 has one key for
both: below 1 it is a ratio, from 1 a number of steps cut to a whole one, so that 1.5 means 1.

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
warmup_ratio: 10
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
warmup_steps: 10
```

## Options
- `ratio` (0.3): from this ratio, a warning.

## Evidence
- transformers 5.23.0, `training_args.py` L2154: `int(warmup_steps) if warmup_steps >= 1 else ceil(steps *
  warmup_steps)`.
- transformers 4.57.1, `training_args.py`: `warmup_ratio must lie in range [0,1]`.

## What it does not flag
`warmup_steps` below 1 under transformers 5, which is a ratio there.

## Fix safety
Unsafe: the schedule changes.
"""

from __future__ import annotations

from loraplan.derived import finite, number
from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, Fix, Remove, Set, rule


@rule(
    code="WRM005",
    name="warmup-unit-confusion",
    severity="error",
    why="a ratio is a share of the run from 0 to 1, steps are whole optimizer steps",
    reads=("schedule.warmup_ratio", "schedule.warmup_steps"),
    evidence=(
        Evidence(
            "below 1 a ratio, from 1 whole steps",
            "https://github.com/huggingface/transformers/blob/main/src/transformers/training_args.py",
            "run with transformers 5.23.0",
        ),
        Evidence(
            "warmup_ratio must lie in [0, 1]",
            "https://github.com/huggingface/transformers/blob/v4.57.1/src/transformers/training_args.py",
            "source read at 4.57.1",
        ),
    ),
    options={"ratio": 0.3},
    without_adapter=True,
)
def check(plan: Plan, ctx: Context) -> Checked:
    ratio, steps = finite(plan.schedule.warmup_ratio), finite(plan.schedule.warmup_steps)
    if ratio is not None and ctx.explicit("schedule.warmup_ratio"):
        yield from _ratio(ratio, ctx)
    if steps is not None and ctx.explicit("schedule.warmup_steps"):
        yield from _steps(steps, ctx)


def _ratio(ratio: float, ctx: Context) -> Checked:
    name = "schedule.warmup_ratio"
    if ratio > 1:
        whole = ratio == int(ratio) and "schedule.warmup_steps" in ctx.reading.keys
        steps = (Remove(name), Set("schedule.warmup_steps", int(ratio)))
        yield Finding(
            f"{ctx.said(name)}: a ratio is a share of the run, at most 1",
            at=name,
            remedy=f"write it as {ctx.key('schedule.warmup_steps')}" if whole else "write a share such as 0.03",
            severity="warning" if ctx.reading.hand_rolled else None,
            fix=Fix(f"make it {int(ratio)} steps", steps, "unsafe")
            if whole
            else Fix(f"set {ctx.key(name)} to 0.03", (Set(name, 0.03),), "unsafe"),
        )
    elif ratio >= ctx.options.ratio:
        yield Finding(
            f"{ctx.said(name)}: the learning rate is below its peak for {ratio:.0%} of the run",
            at=name,
            remedy="3 to 10 % is usual",
            severity="warning",
            why="a long warm-up spends the run below the rate that was written",
        )


def _steps(steps: float, ctx: Context) -> Checked:
    name = "schedule.warmup_steps"
    if 0 < steps < 1:
        has_ratio = "schedule.warmup_ratio" in ctx.reading.keys
        key = ctx.key("schedule.warmup_ratio")
        yield Finding(
            f"{ctx.said(name)}: steps are counted in whole numbers here, so this is no warm-up, or refused",
            at=name,
            remedy=f"write it as {key}" if has_ratio else "write a number of steps",
            severity="warning" if ctx.reading.hand_rolled else None,
            fix=Fix(f"write it as {key}", (Remove(name), Set("schedule.warmup_ratio", steps)), "unsafe")
            if has_ratio
            else None,
        )
    elif steps >= 1 and steps != int(steps):
        yield Finding(
            f"{ctx.said(name)} counts as {int(steps)} steps: only a value below 1 is a ratio",
            at=name,
            remedy=f"write {int(steps)}, or a ratio such as {number(steps / 100)}",
            severity="warning",
        )
