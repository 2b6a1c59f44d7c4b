"""A high rank with a small scaling and a low learning rate.

## What it does
Mentions a rank of 128 or more with alpha/r of 0.25 or less and a learning rate below 1e-4, without rsLoRA.

## Why is this bad?
At this rank a fixed alpha keeps the early update as small as at rank 16, and the low rate keeps it small later: the
rank is not used. A higher learning rate helps, or rsLoRA, which divides by the root of the rank.

## Example
```yaml config.yml preview
base_model: meta-llama/Llama-3.1-8B
datasets:
  - path: tatsu-lab/alpaca
    type: alpaca
adapter: lora
lora_r: 128
lora_alpha: 32
lora_target_linear: true
sequence_len: 2048
micro_batch_size: 2
gradient_accumulation_steps: 8
num_epochs: 2
optimizer: adamw_torch
lr_scheduler: cosine
learning_rate: 0.00006
bf16: true
```

## Use instead
```yaml config.yml preview
base_model: meta-llama/Llama-3.1-8B
datasets:
  - path: tatsu-lab/alpaca
    type: alpaca
adapter: lora
lora_r: 128
lora_alpha: 32
lora_target_linear: true
sequence_len: 2048
micro_batch_size: 2
gradient_accumulation_steps: 8
num_epochs: 2
optimizer: adamw_torch
lr_scheduler: cosine
learning_rate: 0.0002
bf16: true
```

## Options
- `rank` (128), `scaling` (0.25), `learning-rate` (1e-4): flagged from this rank on, up to this factor, below this rate.

## Evidence
- For rsLoRA: Kalajdzievski 2023 (arXiv 2312.03732, abstract): alpha/r slows learning at high ranks; it trained
  all ranks at one learning rate, 5e-5 (read in quotation).
- Against: Thinking Machines, LoRA Without Regret, swept the rate for each rank: with alpha 32 up to rank 512 high ranks
  follow full fine-tuning. They disagree, hence an info of the preview set.

## What it does not flag
- A learning rate of 1e-4 and above; preference training and reinforcement learning, whose rates are lower; an adapter
  that is trained already.

## Fix safety
No fix: either remedy changes the size of every step.
"""

from __future__ import annotations

from collections.abc import Iterator

from loraplan.derived import family, finite, is_lora, number, scaling, short
from loraplan.formats.targets import trained
from loraplan.plan import Plan
from loraplan.rule import Context, Evidence, Finding, rule


@rule(
    code="VAR001",
    name="high-rank-without-rslora",
    severity="info",
    why="with alpha/r this small and this learning rate a high rank learns no faster than a low one",
    reads=(
        "adapter.r",
        "adapter.alpha",
        "adapter.use_rslora",
        "optimizer.learning_rate",
        "method",
    ),
    preview=True,
    options={"rank": 128, "scaling": 0.25, "learning-rate": 0.0001},
    evidence=(
        Evidence(
            "alpha/r starves high ranks",
            "https://arxiv.org/abs/2312.03732",
            "paper, abstract read",
        ),
        Evidence(
            "against: one alpha for all ranks",
            "https://thinkingmachines.ai/blog/lora/",
            "article read",
        ),
    ),
)
def check(plan: Plan, ctx: Context) -> Iterator[Finding]:
    r, rate, scale, options = finite(plan.adapter.r), finite(plan.optimizer.learning_rate), scaling(plan), ctx.options
    if r is None or rate is None or scale is None or not is_lora(plan) or trained(ctx.reading):
        return
    if plan.adapter.use_rslora or plan.adapter.scaling is not None or family(plan) in ("rl", "preference", "reward"):
        return
    if r >= options.rank and 0 < scale <= options.scaling and 0 < rate < options.learning_rate:
        yield Finding(
            f"{ctx.said('adapter.r')} with alpha/r = {short(scale)} and {ctx.said('optimizer.learning_rate')}"
            " learns no faster than rank 16",
            at="adapter.r",
            remedy=f"raise {ctx.key('optimizer.learning_rate')} to {number(2e-4)}, or try rsLoRA",
        )
