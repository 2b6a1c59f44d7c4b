"""The rank was raised where more layers would have helped.

## What it does
Compares with the config's earlier version (`--baseline`, or its last committed one): r grew to 16 or more, the adapted
modules are the same, and none of them is in the MLP.

## Why is this bad?
Rank cannot make up for layers that are left out. At equal size, attention-only LoRA with r = 256 (0.25 billion
parameters) did worse than MLP-only LoRA with r = 128 (0.24 billion). QLoRA found the number of adapted layers decisive
and r without effect once all linear layers are adapted.

## Example
```yaml baseline
base_model: meta-llama/Llama-3.1-8B
datasets:
  - path: tatsu-lab/alpaca
    type: alpaca
adapter: lora
lora_r: 16
lora_alpha: 32
lora_target_modules:
  - q_proj
  - v_proj
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
```yaml
base_model: meta-llama/Llama-3.1-8B
datasets:
  - path: tatsu-lab/alpaca
    type: alpaca
adapter: lora
lora_r: 64
lora_alpha: 128
lora_target_modules:
  - q_proj
  - v_proj
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
lora_target_modules:
  - q_proj
  - v_proj
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
- `rank` (16): the least new rank that is mentioned.

## Evidence
- Thinking Machines, LoRA Without Regret: attention-only against MLP-only, also on mixtures of experts and in RL.
- QLoRA section 4: adapters on all linear layers are needed to match full fine-tuning; r makes no difference there.
- LoRA section 7.1: more matrices at a smaller rank are better than one kind at a larger; section 7.2: a rank of 1 is
  competitive for query and value together.
- Against: where attention-only is a constraint (a server that loads no other adapters), more rank is all that is left.

## What it does not flag
- A baseline that covers the MLP already, another base model, changed targets, a lowered rank.
- Classification, where attention-only LoRA is customary.
- Targets given as a regular expression, unless the architecture is known.

## Fix safety
Unsafe: it adapts all linear layers and takes the rank back, which changes what is trained.
"""

from __future__ import annotations

from collections.abc import Iterator

from loraplan.derived import covered, family, finite, is_lora, listed, number
from loraplan.formats.targets import adapted, parameters, takes_all_linear, trained, widen
from loraplan.plan import Plan
from loraplan.rule import Change, Context, Evidence, Finding, Fix, Set, rule

_SAME = ("target_modules", "target_parameters", "exclude_modules", "layers_to_transform", "layers_pattern")


@rule(
    code="RNK004",
    name="rank-raised-without-modules",
    severity="warning",
    why="rank cannot make up for layers that are left out: the MLP layers gain more than rank does",
    reads=("adapter.r", "adapter.target_modules", "model.name"),
    needs=("baseline",),
    evidence=(
        Evidence(
            "attention-only r = 256 below MLP-only r = 128 at equal size",
            "https://thinkingmachines.ai/blog/lora/",
            "article read",
        ),
        Evidence("all linear layers needed, r without effect", "https://arxiv.org/abs/2305.14314", "paper, section 4"),
        Evidence("small ranks suffice with more matrices", "https://arxiv.org/abs/2106.09685", "paper, section 7.1"),
    ),
    options={"rank": 16},
    suppresses=("RNK005", "TGT004"),
)
def check(plan: Plan, ctx: Context) -> Iterator[Finding]:
    adapter, r = plan.adapter, finite(plan.adapter.r)
    if not is_lora(plan) or r is None or r < ctx.options.rank or not ctx.explicit("adapter.r"):
        return
    if family(plan) == "classification" or covered(plan, ctx) not in ("qk", "attention"):
        return
    if trained(ctx.reading):
        return
    before = ctx.baseline.plan
    old = finite(before.adapter.r)
    if old is None or not 0 < old < r or before.model.name != plan.model.name or not is_lora(before):
        return
    if any(_set(getattr(adapter, name)) != _set(getattr(before.adapter, name)) for name in _SAME):
        return
    names = adapted(plan, ctx)
    message = f"r went from {number(old)} to {number(r)}, but LoRA still covers only {_covers(names)}"
    now, instead = parameters(plan, ctx, r, everywhere=False), parameters(plan, ctx, old, everywhere=True)
    if now and instead:
        message += f": {now:,} parameters, where all linear layers at r {number(old)} have {instead:,}"
    key = ctx.key("adapter.r")
    changes: tuple[Change, ...] = (Set("adapter.target_modules", "all-linear"), Set("adapter.r", before.adapter.r))
    alpha, old_alpha = finite(adapter.alpha), before.adapter.alpha
    if ctx.explicit("adapter.alpha") and old_alpha is not None and alpha != finite(old_alpha):
        changes += (Set("adapter.alpha", old_alpha),)
    yield Finding(
        message,
        at="adapter.r",
        remedy=f"{widen(ctx.reading)}, and set {key} back to {number(old)}",
        fix=Fix(f"adapt all linear layers at {key} {number(old)}", changes, "unsafe")
        if takes_all_linear(ctx.reading)
        else None,
    )


def _covers(names: tuple[str, ...]) -> str:
    return listed(names) if names else "attention"


def _set(value: object) -> object:
    return frozenset(value) if isinstance(value, tuple) else value
