"""Warm-up is given both in steps and as a ratio.

## What it does
Reports explicit positive values for both.

## Why is this bad?
One of them is ignored: in transformers 4 the steps win without a word, so that changing the ratio changes nothing.
axolotl refuses the config.

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
warmup_steps: 10
warmup_ratio: 0.03
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
warmup_ratio: 0.03
```

## Options
None.

## Evidence
- transformers 4.57.1, `training_args.py`, `get_warmup_steps`: the steps where positive, else the ratio.
- axolotl 0.19.0, `utils/schemas/validation.py`: "warmup_steps and warmup_ratio are mutually exclusive".

## What it does not flag
A zero beside a positive value.

## Fix safety
Safe: the value that is ignored is removed; in axolotl, where neither is, there is no fix.
"""

from __future__ import annotations

from loraplan.derived import finite
from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, Fix, Remove, rule


@rule(
    code="WRM004",
    name="warmup-set-twice",
    severity="warning",
    why="only one of the two has an effect: the steps, in transformers",
    reads=("schedule.warmup_ratio", "schedule.warmup_steps"),
    evidence=(
        Evidence(
            "positive warmup_steps override warmup_ratio",
            "https://github.com/huggingface/transformers/blob/v4.57.1/src/transformers/training_args.py",
            "source read at 4.57.1",
        ),
        Evidence(
            "axolotl refuses both",
            "https://github.com/axolotl-ai-cloud/axolotl/blob/main/src/axolotl/utils/schemas/validation.py",
            "source read at 0.19.0",
        ),
    ),
    without_adapter=True,
)
def check(plan: Plan, ctx: Context) -> Checked:
    names = ("schedule.warmup_ratio", "schedule.warmup_steps")
    ratio, steps = finite(plan.schedule.warmup_ratio), finite(plan.schedule.warmup_steps)
    if not (ratio is not None and ratio > 0 and steps is not None and steps > 0 and ctx.explicit(*names)):
        return
    one, other = ctx.reading.explicit(names[0]), ctx.reading.explicit(names[1])
    if one is not None and other is not None and one.span == other.span:
        return
    refused = ctx.reading.format == "axolotl"
    effect = "axolotl refuses the two together" if refused else "the steps win and the ratio is ignored"
    key = ctx.key(names[0])
    yield Finding(
        f"{ctx.said(names[0])} and {ctx.said(names[1])}: {effect}",
        at=names[0],
        remedy=f"remove {key} or {ctx.key(names[1])}",
        severity="error" if refused else "info" if ctx.reading.hand_rolled else None,
        fix=None if refused else Fix(f"remove {key}", (Remove(names[0]),), "safe"),
    )
