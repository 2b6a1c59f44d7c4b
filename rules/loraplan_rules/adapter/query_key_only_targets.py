"""Only the query and key projections are adapted.

## What it does
Flags targets that are q and k and nothing else.

## Why is this bad?
Query and key only move where attention looks; what it carries stays as it was. In the LoRA paper, at 18 million
parameters, q and k reach 71.4 on WikiSQL where q and v, or all four, reach 73.7.

## Example
```yaml
base_model: meta-llama/Llama-3.1-8B
datasets:
  - path: tatsu-lab/alpaca
    type: alpaca
adapter: lora
lora_r: 16
lora_alpha: 32
lora_target_modules:
  - q_proj
  - k_proj
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
```yaml
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

## Options
No options.

## Evidence
- LoRA paper (arXiv 2106.09685), table 5: WikiSQL 71.4 for query and key, 73.7 for query and value or for all four;
  MultiNLI 91.3, 91.3 and 91.7, so next to no difference on the second task.

## What it does not flag
- Fused projections, which hold the value as well; targets with v, o or any MLP layer; targets that are not known.

## Fix safety
Unsafe: it adapts all linear layers, which changes what is trained.
"""

from __future__ import annotations

from collections.abc import Iterator

from loraplan.derived import covered, is_lora, listed
from loraplan.formats.targets import adapted, takes_all_linear, trained, widen
from loraplan.plan import Plan
from loraplan.rule import Context, Evidence, Finding, Fix, Set, rule


@rule(
    code="TGT005",
    name="query-key-only-targets",
    severity="warning",
    why="query and key move where attention looks, not what it carries: the weakest of the common choices",
    reads=("adapter.target_modules", "model.name"),
    evidence=(Evidence("q and k 71.4, q and v 73.7", "https://arxiv.org/abs/2106.09685", "paper, table 5"),),
    suppresses=("TGT004",),
)
def check(plan: Plan, ctx: Context) -> Iterator[Finding]:
    if not is_lora(plan) or covered(plan, ctx) != "qk":
        return
    done = trained(ctx.reading)
    yield Finding(
        f"only query and key are adapted ({listed(adapted(plan, ctx))}): the weakest common choice",
        at="adapter.target_modules",
        severity="info" if done else None,
        remedy="" if done else f"{widen(ctx.reading)}, or adapt query and value",
        fix=Fix(widen(ctx.reading), (Set("adapter.target_modules", "all-linear"),), "unsafe")
        if takes_all_linear(ctx.reading) and not done
        else None,
    )
