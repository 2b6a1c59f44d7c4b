"""Warm-up is written, but the constant schedule ignores it.

## What it does
Reports the schedule `constant` with an explicit warm-up, in frameworks that hand the name to transformers.

## Why is this bad?
transformers' `get_constant_schedule` has no warm-up argument: the run starts at the full rate although the config
says otherwise. QLoRA's own script did so, with `lr_scheduler_type: constant` and `warmup_ratio: 0.03`, and its copies
still do.

## Example
```yaml llama3_lora_sft.yaml
model_name_or_path: meta-llama/Meta-Llama-3-8B-Instruct
stage: sft
do_train: true
finetuning_type: lora
lora_rank: 16
lora_alpha: 32
lora_target: all
dataset: alpaca_en_demo
template: llama3
cutoff_len: 2048
output_dir: saves/llama3-8b
per_device_train_batch_size: 1
gradient_accumulation_steps: 8
learning_rate: 1.0e-4
num_train_epochs: 1
lr_scheduler_type: constant
warmup_steps: 20
bf16: true
```

## Use instead
```yaml llama3_lora_sft.yaml
model_name_or_path: meta-llama/Meta-Llama-3-8B-Instruct
stage: sft
do_train: true
finetuning_type: lora
lora_rank: 16
lora_alpha: 32
lora_target: all
dataset: alpaca_en_demo
template: llama3
cutoff_len: 2048
output_dir: saves/llama3-8b
per_device_train_batch_size: 1
gradient_accumulation_steps: 8
learning_rate: 1.0e-4
num_train_epochs: 1
lr_scheduler_type: constant_with_warmup
warmup_steps: 20
bf16: true
```

## Options
None.

## Evidence
- transformers 5.23.0, `optimization.py` L1014: `get_scheduler("constant", ...)` returns before `num_warmup_steps` is
  looked at (run: the rate of step 0 is the peak).
- artidoro/qlora, `qlora.py`@00e5ad2a: `lr_scheduler_type` constant and `warmup_ratio` 0.03 in one class of arguments.

## What it does not flag
Frameworks with schedules of their own that warm up whatever follows (torchtune, litgpt, ludwig, NeMo-Automodel, h2o
LLM Studio, qlora-pipe, mlx-lm). Hand-rolled files, whose schedule is not known, get a note.

## Fix safety
Safe: the warm-up that was written takes effect.
"""

from __future__ import annotations

from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, Fix, Set, rule
from loraplan_rules.optimizers import TRANSFORMERS_SCHEDULES


@rule(
    code="WRM003",
    name="warmup-ignored-by-scheduler",
    severity="warning",
    why="transformers' constant schedule has no warm-up: training starts at the full rate",
    reads=("schedule.name", "schedule.warmup_ratio", "schedule.warmup_steps"),
    evidence=(
        Evidence(
            "get_scheduler returns the constant schedule without warm-up",
            "https://github.com/huggingface/transformers/blob/main/src/transformers/optimization.py",
            "run with transformers 5.23.0",
        ),
        Evidence(
            "QLoRA's script sets both",
            "https://github.com/artidoro/qlora/blob/main/qlora.py",
            "source read at 00e5ad2a",
        ),
    ),
    without_adapter=True,
)
def check(plan: Plan, ctx: Context) -> Checked:
    schedule = plan.schedule
    reading = ctx.reading
    if (schedule.name or "").lower() != "constant":
        return
    if reading.format not in TRANSFORMERS_SCHEDULES and not reading.hand_rolled:
        return
    pairs = (("schedule.warmup_steps", schedule.warmup_steps), ("schedule.warmup_ratio", schedule.warmup_ratio))
    name = next((name for name, value in pairs if value is not None and value > 0 and ctx.explicit(name)), None)
    if name is None:
        return
    key = ctx.key("schedule.name")
    yield Finding(
        f"{ctx.said(name)} has no effect: {key} constant is transformers' schedule without warm-up",
        at=name,
        remedy=f"set {key} to constant_with_warmup",
        severity="info" if reading.hand_rolled else None,
        fix=Fix(f"set {key} to constant_with_warmup", (Set("schedule.name", "constant_with_warmup"),), "safe"),
    )
