"""fp16 and bf16 are both on.

## What it does
Reports a config that writes true for both.

## Why is this bad?
They are two answers to one question. transformers stops with "At most one of fp16 and bf16 can be True"; a script of
one's own takes whichever it asks for first.

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
lr_scheduler_type: cosine
warmup_steps: 20
bf16: true
fp16: true
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
lr_scheduler_type: cosine
warmup_steps: 20
bf16: true
```

## Options
None.

## Evidence
- transformers 5.23.0, `training_args.py`: "At most one of fp16 and bf16 can be True" (run).

## What it does not flag
`bf16: auto` beside `fp16: true` (axolotl decides at run time), and defaults: TRL turns bf16 on by itself only where
fp16 is not written. Hand-rolled files get a warning, since their script may choose.

## Fix safety
Unsafe: it keeps bf16.
"""

from __future__ import annotations

from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, Fix, Set, rule
from loraplan_rules.written import written


@rule(
    code="PRC001",
    name="fp16-and-bf16",
    severity="error",
    why="training runs in one 16-bit type; transformers refuses to start with both",
    reads=("precision.fp16", "precision.bf16"),
    evidence=(
        Evidence(
            "at most one of fp16 and bf16 can be True",
            "https://github.com/huggingface/transformers/blob/main/src/transformers/training_args.py",
            "run with transformers 5.23.0",
        ),
    ),
    without_adapter=True,
)
def check(plan: Plan, ctx: Context) -> Checked:
    names = ("precision.fp16", "precision.bf16")
    if not (plan.precision.fp16 and plan.precision.bf16 and ctx.explicit(*names)):
        return
    if "auto" in ((written(ctx, names[0]) or "").lower(), (written(ctx, names[1]) or "").lower()):
        return
    one, other = ctx.reading.explicit(names[0]), ctx.reading.explicit(names[1])
    if one is not None and other is not None and one.span == other.span:
        return  # one key that a reader maps to both
    fp16, bf16 = ctx.key(names[0]), ctx.key(names[1])
    yield Finding(
        f"{fp16} and {bf16} are both true: "
        + ("a run has one of them" if ctx.reading.hand_rolled else f"{ctx.reading.framework} refuses to start"),
        at=names[0],
        remedy=f"keep {bf16} on Ampere and newer cards, {fp16} on older ones",
        severity="warning" if ctx.reading.hand_rolled else None,
        fix=Fix(f"set {fp16} to false", (Set(names[0], False),), "unsafe"),
    )
