"""Adam's settings are written, but the optimizer is not Adam.

## What it does
Reports `adam_beta1`, `adam_beta2` or `adam_epsilon` beside an optimizer that has none of them (SGD, Adafactor,
Lion, RMSprop, Adagrad).

## Why is this bad?
They are dropped without a word (axolotl prints a warning), and the run is not the one that was meant.

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
num_train_epochs: 1
max_length: 2048
bf16: true
output_dir: out
optim: adafactor
adam_beta2: 0.95
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
num_train_epochs: 1
max_length: 2048
bf16: true
output_dir: out
optim: adamw_torch_fused
adam_beta2: 0.95
```

## Options
None.

## Evidence
- axolotl 0.19.0, `utils/schemas/validation.py`: check_adamw_optimizer_params.
- transformers 5.23.0, `trainer.py`: get_optimizer_cls_and_kwargs.

## What it does not flag
Defaults, optimizers of Adam's family, and Lion's betas, which transformers passes on.

## Fix safety
There is none.
"""

from __future__ import annotations

from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, rule
from loraplan_rules.optimizers import TRANSFORMERS_SCHEDULES

_WITHOUT = ("adafactor", "sgd", "rmsprop", "adagrad")


@rule(
    code="OPT005",
    name="adam-settings-ignored",
    severity="warning",
    why="the optimizer has no such setting",
    reads=("optimizer.name", "optimizer.beta1", "optimizer.beta2", "optimizer.epsilon"),
    evidence=(
        Evidence(
            "check_adamw_optimizer_params",
            "https://github.com/axolotl-ai-cloud/axolotl/blob/main/src/axolotl/utils/schemas/validation.py",
            "source read at 0.19.0",
        ),
        Evidence(
            "get_optimizer_cls_and_kwargs",
            "https://github.com/huggingface/transformers/blob/main/src/transformers/trainer.py",
            "source read at transformers 5.23.0",
        ),
    ),
    hand_rolled=False,
    without_adapter=True,
)
def check(plan: Plan, ctx: Context) -> Checked:
    name = (plan.optimizer.name or "").lower()
    if ctx.reading.format not in TRANSFORMERS_SCHEDULES or not name.startswith(_WITHOUT):
        return
    for field in ("optimizer.beta1", "optimizer.beta2", "optimizer.epsilon"):
        if ctx.explicit(field):
            yield Finding(
                f"{ctx.said(field)} has no effect with {ctx.said('optimizer.name')}",
                at=field,
                remedy=f"remove {ctx.key(field)}, or use an AdamW",
            )
            return
