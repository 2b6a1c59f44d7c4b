"""Warm-up takes the whole run, or much of it.

## What it does
Compares the warm-up steps with the optimizer steps of the run, from the explicit number of steps or from the number
of examples, which is counted in local files, looked up for a well-known public dataset or given with `--dataset-size`:
an error where the run ends before the warm-up, a warning where warm-up takes more than half of it, a note above 30 %.

## Why is this bad?
The learning rate never reaches the value that was written. Frameworks with a fixed default are the usual cause:
litgpt and torchtune's recipes warm up for 100 steps; with 1,000 examples and 16 examples a step an epoch has 63.

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
max_steps: 60
warmup_steps: 100
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
max_steps: 60
warmup_steps: 3
```

## Options
- `share` (0.3): above this share of the steps, a note; `most` (0.5): above this one, a warning.

## Evidence
- transformers 5.23.0, `optimization.py`: the rate is `peak * step / warmup_steps` during warm-up.
- litgpt 0.5.13, `finetune/lora.py`; torchtune 0.6.1, `recipes/configs/llama3_1/8B_qlora_single_device.yaml`: 100
  steps.

## What it does not flag
As more than a note: warm-up of 30 to 50 %, which litgpt's own Gemma recipe has (200 of 642 steps). Not at all:
warm-up as a ratio, which scales with the run (WRM005 judges the ratio), runs whose number of steps is not known, and
packed data, whose number of examples is not known before packing.

## Fix safety
Unsafe: the schedule changes.
"""

from __future__ import annotations

from loraplan.derived import finite, number, total_steps
from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, Fix, Set, rule
from loraplan_rules.optimizers import TRANSFORMERS_SCHEDULES


@rule(
    code="WRM002",
    name="warmup-exceeds-training",
    severity="error",
    why="the run ends before, or soon after, the learning rate reaches the value that was written",
    reads=(
        "schedule.warmup_steps",
        "schedule.max_steps",
        "schedule.epochs",
        "schedule.name",
        "batch.micro_batch_size",
        "batch.gradient_accumulation_steps",
        "batch.global_batch_size",
        "data.packing",
        "distributed.devices",
    ),
    evidence=(
        Evidence(
            "the rate grows linearly to the peak over warmup_steps",
            "https://github.com/huggingface/transformers/blob/main/src/transformers/optimization.py",
            "source read at 5.23.0",
        ),
        Evidence(
            "litgpt warms up for 100 steps by default",
            "https://github.com/Lightning-AI/litgpt/blob/main/litgpt/finetune/lora.py",
            "source read at 0.5.13",
        ),
    ),
    options={"share": 0.3, "most": 0.5},
)
def check(plan: Plan, ctx: Context) -> Checked:
    warmup = finite(plan.schedule.warmup_steps)
    if warmup is None or warmup < 1:
        return
    if (plan.schedule.name or "").lower() == "constant" and ctx.reading.format in TRANSFORMERS_SCHEDULES:
        return  # ignored there, which WRM003 says
    steps = finite(total_steps(plan))
    if steps is None and not plan.data.packing:
        steps = finite(total_steps(plan, ctx.dataset_size))
    if steps is None or steps <= 0 or warmup <= ctx.options.share * steps:
        return
    key = ctx.key("schedule.warmup_steps")
    at = "schedule.warmup_steps"
    if not ctx.explicit(at) and ctx.explicit("schedule.max_steps"):
        at = "schedule.max_steps"
    whole = warmup >= steps
    few = max(1, round(0.03 * steps))
    yield Finding(
        f"{ctx.said('schedule.warmup_steps')} of {number(steps)} steps: the learning rate "
        + ("never reaches its peak" if whole else f"is below its peak for {warmup / steps:.0%} of the run"),
        at=at,
        remedy=f"set {key} to {few} (3 %)",
        severity=None if whole else "warning" if warmup > ctx.options.most * steps else "info",
        fix=Fix(f"set {key} to {few}", (Set("schedule.warmup_steps", few),), "unsafe"),
    )
