"""The learning rate times alpha is high.

## What it does
Reports a peak learning rate x alpha (x the square root of the rank with rsLoRA) above 0.1, for Adam-like
optimizers.

## Why is this bad?
With Adam this product, not the rate or alpha alone, sets the size of the first steps: the same product gives the
same first update and the same loss after 30 steps over a sixteenfold range of alpha. QLoRA's 7B recipe has 2e-4 x
16 = 0.0032, Biderman et al. went up to 1e-4 x 512 = 0.051.

## Example
```yaml sft.yaml preview
model_name_or_path: meta-llama/Llama-3.2-1B
dataset_name: tatsu-lab/alpaca
dtype: bfloat16
use_peft: true
lora_r: 256
lora_alpha: 512
lora_target_modules: all-linear
learning_rate: 5.0e-4
lr_scheduler_type: cosine
warmup_steps: 20
per_device_train_batch_size: 2
gradient_accumulation_steps: 4
num_train_epochs: 1
max_length: 2048
bf16: true
output_dir: out
```

## Use instead
```yaml sft.yaml preview
model_name_or_path: meta-llama/Llama-3.2-1B
dataset_name: tatsu-lab/alpaca
dtype: bfloat16
use_peft: true
lora_r: 256
lora_alpha: 512
lora_target_modules: all-linear
learning_rate: 1.0e-4
lr_scheduler_type: cosine
warmup_steps: 20
per_device_train_batch_size: 2
gradient_accumulation_steps: 4
num_train_epochs: 1
max_length: 2048
bf16: true
output_dir: out
```

## Options
- `max` (0.1): products above this are reported.

## Evidence
- <https://thinkingmachines.ai/blog/lora/>: LoRA Without Regret: alpha and the rate together set the early step.
- <https://arxiv.org/abs/2405.09673>: LoRA Learns Less and Forgets Less: rates up to 5e-4, and lower ones for r = 256
  with alpha 512, which were unstable (appendix A).

## What it does not flag
Optimizers on another scale, and formats that give the multiplier instead of alpha. The threshold is a judgement
between recipes known to work and runs reported to diverge; torchtune's own recipe for Qwen2 0.5B has 0.128. Hence
preview.

## Fix safety
There is none.
"""

from __future__ import annotations

import math

from loraplan.derived import finite, is_lora, short
from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, rule
from loraplan_rules.optimizers import adam_like


@rule(
    code="LRS004",
    name="lr-alpha-product-high",
    severity="warning",
    why="with Adam the first steps are proportional to learning rate x alpha",
    reads=(
        "optimizer.learning_rate",
        "optimizer.name",
        "adapter.alpha",
        "adapter.r",
        "adapter.use_rslora",
        "adapter.scaling",
    ),
    evidence=(
        Evidence(
            "LoRA Without Regret: alpha and the rate together set the early step",
            "https://thinkingmachines.ai/blog/lora/",
            "article read",
        ),
        Evidence(
            "LoRA Learns Less and Forgets Less: rates up to 5e-4",
            "https://arxiv.org/abs/2405.09673",
            "paper",
        ),
    ),
    options={"max": 0.1},
    preview=True,
)
def check(plan: Plan, ctx: Context) -> Checked:
    adapter = plan.adapter
    rate, alpha, rank = finite(plan.optimizer.learning_rate), finite(adapter.alpha), finite(adapter.r)
    if adapter.scaling is not None or not is_lora(plan) or not adam_like(plan) or not rate or not alpha:
        return
    product = finite(rate * alpha * (math.sqrt(rank) if adapter.use_rslora and rank and rank > 0 else 1.0))
    if product is None or product <= ctx.options.max or not ctx.explicit("adapter.alpha"):
        return
    root = " x sqrt(r)" if adapter.use_rslora else ""
    yield Finding(
        f"learning rate x alpha{root} is {short(product)}: QLoRA's 7B recipe has 0.0032",
        at="optimizer.learning_rate" if ctx.explicit("optimizer.learning_rate") else "adapter.alpha",
        remedy="lower the learning rate, or alpha",
    )
