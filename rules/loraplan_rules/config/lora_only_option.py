"""LLaMA-Factory refuses a LoRA option without LoRA.

## What it does
Reports `use_rslora`, `use_dora`, `pissa_init` or `loraplus_lr_ratio` in a LLaMA-Factory config whose
`finetuning_type` is not lora.

## Why is this bad?
Most LoRA settings have no effect then (CFG004); these four raise ValueError while the arguments are read.

## Example
```yaml llama3_lora_sft.yaml
model_name_or_path: meta-llama/Meta-Llama-3-8B-Instruct
stage: sft
do_train: true
finetuning_type: full
dataset: alpaca_en_demo
template: llama3
cutoff_len: 2048
output_dir: saves/llama3-8b
per_device_train_batch_size: 1
gradient_accumulation_steps: 8
learning_rate: 1.0e-5
num_train_epochs: 1
lr_scheduler_type: cosine
warmup_steps: 20
bf16: true
use_rslora: true
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
use_rslora: true
```

## Options
None.

## Evidence
- LLaMA-Factory 0.9.5, `hparams/finetuning_args.py`: "is only valid for LoRA training".

## What it does not flag
The same options set to false, and other settings, which are CFG004's.

## Fix safety
There is none.
"""

from __future__ import annotations

from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, rule
from loraplan_rules.nodes import node, on, text

_SWITCHES = ("use_rslora", "use_dora", "pissa_init")


@rule(
    code="CFG006",
    name="lora-only-option",
    severity="error",
    why="LLaMA-Factory accepts these options for LoRA only and stops otherwise",
    reads=("adapter.method", "adapter.use_rslora", "adapter.use_dora", "adapter.loraplus_lr_ratio"),
    evidence=(
        Evidence(
            '"is only valid for LoRA training"',
            "https://github.com/hiyouga/LLaMA-Factory/blob/main/src/llamafactory/hparams/finetuning_args.py",
            "source read at 0.9.5",
        ),
    ),
    suppresses=("CFG004",),
    hand_rolled=False,
    without_adapter=True,
)
def check(plan: Plan, ctx: Context) -> Checked:
    if ctx.reading.format != "llamafactory" or plan.adapter.method in ("lora", None):
        return
    for key in (*_SWITCHES, "loraplus_lr_ratio"):
        place = node(ctx, key)
        if place is None or not (on(ctx, key) if key in _SWITCHES else text(ctx, key)):
            continue
        yield Finding(
            f"{key} without LoRA: LLaMA-Factory stops, it is valid for LoRA only",
            at=place.span,
            remedy=f"remove {key}, or write finetuning_type: lora",
        )
