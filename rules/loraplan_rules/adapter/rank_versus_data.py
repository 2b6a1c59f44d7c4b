"""The rank is unusual for the amount of data or the kind of training.

## What it does
Mentions a rank above 32 in reinforcement learning; in other training a rank above 64 with more than 20 LoRA parameters
for every token of the data (examples times maximal length, so an upper bound); and, where the number of examples is
unknown, a rank outside 8 to 64.

## Why is this bad?
Capacity bounds the rank: about 2 bits a parameter against at most 1 bit that a token teaches. A reward teaches far less
a step, and ranks from 1 to 32 are enough for it. A rank beyond the need costs memory and time, not quality.

## Example
```yaml config.yml preview
base_model: meta-llama/Llama-3.1-8B
datasets:
  - path: my-team/tickets
    type: alpaca
adapter: lora
lora_r: 4
lora_alpha: 8
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
```yaml config.yml preview
base_model: meta-llama/Llama-3.1-8B
datasets:
  - path: my-team/tickets
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
- `low` (8) and `high` (64): the usual range.
- `rl` (32): the largest rank for reinforcement learning.
- `parameters-per-token` (20): flagged above this with a rank above `high`.

## Evidence
- Thinking Machines, LoRA Without Regret: ranks from 1 to 512 share the early curve and leave it where capacity is
  spent; reinforcement learning is as good at rank 1.
- TRL, `docs/source/lora_without_regret.md`@01892a27: rank 256 for SFT at post-training scale, 1 to 32 for RL.
- Against a bound: Biderman et al. 2024 needed 256 for code (section 4.1); QLoRA found the rank irrelevant with all
  linear layers (section 4), which Biderman et al. put down to an alpha that did not grow with it. The factor 20 and
  the range are judgements, hence an info of the preview set.

## What it does not flag
- The published recipe of a constant alpha at a high rank (see ALP001); an adapter that is trained already; hand-rolled
  files.

## Fix safety
No fix: the right rank is found by trying.
"""

from __future__ import annotations

from collections.abc import Iterator

from loraplan.derived import constant_alpha, covered, family, finite, is_lora, number
from loraplan.formats.targets import parameters, trained
from loraplan.plan import Plan
from loraplan.rule import Context, Evidence, Finding, rule


@rule(
    code="RNK003",
    name="rank-versus-data",
    severity="info",
    why="capacity beyond what the data can teach is memory and time spent for nothing",
    reads=(
        "adapter.r",
        "method",
        "data.max_length",
        "model.name",
    ),
    preview=True,
    options={"low": 8, "high": 64, "rl": 32, "parameters-per-token": 20},
    hand_rolled=False,
    evidence=(
        Evidence(
            "capacity and reinforcement learning",
            "https://thinkingmachines.ai/blog/lora/",
            "article read",
        ),
        Evidence(
            "ranks by kind of training",
            "https://huggingface.co/docs/trl/lora_without_regret",
            "documentation",
        ),
    ),
)
def check(plan: Plan, ctx: Context) -> Iterator[Finding]:
    r, options = finite(plan.adapter.r), ctx.options
    if r is None or r <= 0 or not is_lora(plan) or trained(ctx.reading):
        return
    kind = family(plan)
    message, remedy = "", ""
    if kind == "rl":
        if r > options.rl:
            message, remedy = ": reinforcement learning needs little capacity", f"try a rank from 1 to {options.rl}"
    elif kind in ("sft", "pretraining", "unknown"):
        examples, length = ctx.dataset_size_or_none, plan.data.max_length
        if examples is not None and length is not None and length > 0:
            tokens = examples * length
            size = parameters(plan, ctx, r, everywhere=False) if r > options.high else None
            if size is not None and size > options.parameters_per_token * tokens:
                message = f": {size:,} parameters for {tokens:,} tokens at most"
                remedy = f"try a rank of {number(options.high)} or less"
        elif not options.low <= r <= options.high and not constant_alpha(plan, covered(plan, ctx)):
            message = f" is outside the usual {number(options.low)} to {number(options.high)}"
            remedy = "give --dataset-size to have it weighed against the data"
    if message:
        yield Finding(f"{ctx.said('adapter.r')}{message}", at="adapter.r", remedy=remedy)
