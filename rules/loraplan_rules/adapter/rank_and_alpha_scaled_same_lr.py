"""Rank and alpha were raised together while the learning rate stayed.

## What it does
Compares with the config's earlier version: r grew at least twofold, alpha grew about as much, and the learning rate is
the same. A preview rule: an info, from fourfold a warning.

## Why is this bad?
It is easily thought that alpha = 2r keeps the strength of the adaptation. It keeps the factor; the update still grows
with the rank. In a run of a small random Llama (peft 0.21.2, 30 Adam steps) the norm of the update went 0.80, 1.49,
2.64, 5.26 for r = 4, 16, 64, 256 with alpha = 2r, while with alpha 16 the loss did not depend on r.

## Example
```yaml baseline
base_model: meta-llama/Llama-3.1-8B
datasets:
  - path: tatsu-lab/alpaca
    type: alpaca
adapter: lora
lora_r: 16
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
and now
```yaml config.yml preview
base_model: meta-llama/Llama-3.1-8B
datasets:
  - path: tatsu-lab/alpaca
    type: alpaca
adapter: lora
lora_r: 64
lora_alpha: 128
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

## Use instead
```yaml baseline
base_model: meta-llama/Llama-3.1-8B
datasets:
  - path: tatsu-lab/alpaca
    type: alpaca
adapter: lora
lora_r: 16
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
and now
```yaml config.yml preview
base_model: meta-llama/Llama-3.1-8B
datasets:
  - path: tatsu-lab/alpaca
    type: alpaca
adapter: lora
lora_r: 64
lora_alpha: 128
lora_target_linear: true
sequence_len: 2048
micro_batch_size: 2
gradient_accumulation_steps: 8
num_epochs: 2
optimizer: adamw_torch
lr_scheduler: cosine
learning_rate: 0.0001
bf16: true
```

## Options
- `growth` (2): the least growth of r that is mentioned.
- `warn-growth` (4): the growth from which it is a warning.

## Evidence
- At a fixed alpha the learning curve's beginning does not depend on the rank, and the best rate changes by less than
  two between ranks 4 and 512: Thinking Machines, LoRA Without Regret.
- With alpha = 2r, r = 256 was unstable at the rate of r = 16 and 64 and got half of it (2e-4 and 1e-4 for code, 1e-4
  and 5e-5 for mathematics, with Lion): Biderman et al., appendix A.
- A 1.5B model at rank 256 and 2e-4 diverged; near 2e-5 it was stable: paiml/aprender pull request 2258.
- Against: Biderman et al. find alpha = 2r best at r = 256 all the same (appendix B.2), hence a preview rule.

## What it does not flag
- rsLoRA; ranks below 8; a changed learning rate; a first version, which has nothing to be compared with.

## Fix safety
Unsafe: keeping the earlier alpha changes the size of every step.
"""

from __future__ import annotations

from collections.abc import Iterator

from loraplan.derived import finite, is_lora, number, short
from loraplan.plan import Plan
from loraplan.rule import Context, Evidence, Finding, Fix, Set, rule


@rule(
    code="ALP005",
    name="rank-and-alpha-scaled-same-lr",
    severity="info",
    why="with alpha/r fixed the early update grows with the rank; only a fixed alpha keeps it the same",
    reads=("adapter.r", "adapter.alpha", "adapter.use_rslora", "optimizer.learning_rate"),
    needs=("baseline",),
    evidence=(
        Evidence(
            "one early curve for all ranks at fixed alpha", "https://thinkingmachines.ai/blog/lora/", "article read"
        ),
        Evidence("half the rate at r = 256 with alpha = 2r", "https://arxiv.org/abs/2405.09673", "paper read"),
        Evidence("rank 256 at 2e-4 diverged", "https://github.com/paiml/aprender/pull/2258", "pull request read"),
    ),
    preview=True,
    options={"growth": 2.0, "warn-growth": 4.0},
)
def check(plan: Plan, ctx: Context) -> Iterator[Finding]:
    r, alpha, rate = finite(plan.adapter.r), finite(plan.adapter.alpha), finite(plan.optimizer.learning_rate)
    if (
        not is_lora(plan)
        or plan.adapter.use_rslora
        or r is None
        or r < 8
        or alpha is None
        or alpha <= 0
        or rate is None
    ):
        return
    before = ctx.baseline.plan
    old_r, old_alpha = finite(before.adapter.r), finite(before.adapter.alpha)
    if old_r is None or old_r <= 0 or old_alpha is None or old_alpha <= 0 or before.adapter.use_rslora:
        return
    growth = r / old_r
    if growth < ctx.options.growth or alpha / old_alpha < growth / 1.5:
        return
    if finite(before.optimizer.learning_rate) != rate:
        return
    key = ctx.key("adapter.alpha")
    yield Finding(
        f"r went from {number(old_r)} to {number(r)} and alpha from {number(old_alpha)} to {number(alpha)}"
        f" at the same learning rate: the early update grows about {short(growth)}-fold",
        at="adapter.alpha" if ctx.explicit("adapter.alpha") else "adapter.r",
        severity="warning" if growth >= ctx.options.warn_growth else None,
        remedy=f"keep {key} at {number(old_alpha)}, or lower the learning rate",
        fix=Fix(f"set {key} back to {number(old_alpha)}", (Set("adapter.alpha", before.adapter.alpha),), "unsafe"),
    )
