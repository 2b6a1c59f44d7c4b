"""The run repeats its data very often.

## What it does
Reports more than ten epochs, or more than five over 1,000 examples or more. In preview also more than three, as a
note.

## Why is this bad?
The adapter learns the examples by heart: the training loss falls at every border between epochs, that on other data
rises. Unsloth advises one to three passes; Raschka found one pass over Alpaca better than two. On 1,000 chosen
examples LIMA used 15.

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
num_train_epochs: 20
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
num_train_epochs: 2
max_length: 2048
bf16: true
output_dir: out
```

## Options
- `max` (10): more epochs than this are a warning.
- `many` (5): more than this are a warning over many examples.
- `examples` (1000): this many examples are many.
- `note` (3): more than this are a note, in preview.

## Evidence
- <https://docs.unsloth.ai/get-started/fine-tuning-llms-guide/lora-hyperparameters-guide>: one to three epochs.
- Biderman et al. (arXiv 2405.09673v2, tables S5 and S7): with LoRA code peaks at 4 epochs of 110,000 examples and
  mathematics at 4 to 8 of 395,000; at 16 both are worse.
- <https://arxiv.org/abs/2305.11206>: LIMA: 15 epochs over 1,000 examples (read in quotation), hence the limit by size.
- <https://magazine.sebastianraschka.com/p/practical-tips-for-finetuning-llms>: two passes over Alpaca
  (50,000 examples) worse than one, over LIMA's 1,000 too (read in quotation).

## What it does not flag
Runs with `max_steps`, which overrides the epochs, reinforcement learning, and defaults.

## Fix safety
There is none.
"""

from __future__ import annotations

from loraplan.derived import family, finite, number
from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, rule


@rule(
    code="BAT003",
    name="too-many-epochs",
    severity="warning",
    why="repeated data are learned by heart",
    reads=("schedule.epochs", "schedule.max_steps", "method"),
    evidence=(
        Evidence(
            "one to three epochs",
            "https://docs.unsloth.ai/get-started/fine-tuning-llms-guide/lora-hyperparameters-guide",
            "docs",
        ),
        Evidence(
            "LIMA: 15 epochs over 1,000 examples",
            "https://arxiv.org/abs/2305.11206",
            "paper, read in quotation",
        ),
        Evidence(
            "LoRA peaks at 4 to 8 epochs and is worse at 16",
            "https://arxiv.org/abs/2405.09673",
            "paper read",
        ),
    ),
    options={"max": 10, "many": 5, "examples": 1000, "note": 3},
    without_adapter=True,
)
def check(plan: Plan, ctx: Context) -> Checked:
    epochs = finite(plan.schedule.epochs)
    if epochs is None or epochs <= ctx.options.note or not ctx.explicit("schedule.epochs"):
        return
    if plan.schedule.max_steps is not None or family(plan) == "rl":
        return
    examples = ctx.dataset_size_or_none
    repeated = examples is not None and examples >= ctx.options.examples and epochs > ctx.options.many
    loud = repeated or (epochs > ctx.options.max and (examples is None or examples >= ctx.options.examples))
    yield Finding(
        f"{ctx.said('schedule.epochs')}" + (f" over {number(examples)} examples" if examples is not None else ""),
        at="schedule.epochs",
        remedy="train for one to three epochs, and watch the evaluation loss",
        severity=None if loud else "info",
        preview=not loud,
    )
