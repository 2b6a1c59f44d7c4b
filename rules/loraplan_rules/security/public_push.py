"""The result is published.

## What it does
Reports `push_to_hub: true` without `hub_private_repo`.

## Why is this bad?
A new repository on the Hub is public unless the account or organization says otherwise: adapter, config and
training arguments can be read by anyone, and what the model learned by heart can be read out.

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
push_to_hub: true
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
num_train_epochs: 1
max_length: 2048
bf16: true
output_dir: out
push_to_hub: true
hub_private_repo: true
```

## Options
None.

## Evidence
- transformers 5.23.0, `training_args.py`: hub_private_repo: None makes the repo public unless the organization's
  default is private.

## What it does not flag
A written `hub_private_repo`, whatever its value.

## Fix safety
There is none.
"""

from __future__ import annotations

from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, rule


@rule(
    code="SEC003",
    name="public-push",
    severity="info",
    why="repositories on the Hub are public by default",
    reads=("run.push_to_hub", "run.hub_private_repo"),
    evidence=(
        Evidence(
            "hub_private_repo: None makes the repo public unless the organization's default is private",
            "https://github.com/huggingface/transformers/blob/main/src/transformers/training_args.py",
            "source read at transformers 5.23.0",
        ),
    ),
    preview=True,
    hand_rolled=False,
    without_adapter=True,
)
def check(plan: Plan, ctx: Context) -> Checked:
    if not plan.run.push_to_hub or not ctx.explicit("run.push_to_hub") or plan.run.hub_private_repo is not None:
        return
    yield Finding(
        f"{ctx.said('run.push_to_hub')}: the repository is public by default",
        at="run.push_to_hub",
        remedy=f"write {ctx.key('run.hub_private_repo')}",
    )
