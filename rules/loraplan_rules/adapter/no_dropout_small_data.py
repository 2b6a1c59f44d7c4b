"""Few examples are seen several times, without dropout and without evaluation.

## What it does
Mentions a dropout of 0 with fewer than 1,000 examples, 3 epochs or more and no evaluation data.

## Why is this bad?
This is where an adapter memorises: nothing holds it back, and nothing would show it. A dropout of 0.05 to 0.1 helps
somewhat; fewer epochs and an evaluation set help more.

## Example
```yaml config.yml dataset_size=400 preview
base_model: meta-llama/Llama-3.1-8B
datasets:
  - path: tatsu-lab/alpaca
    type: alpaca
adapter: lora
lora_r: 16
lora_alpha: 32
lora_dropout: 0.0
lora_target_linear: true
sequence_len: 2048
micro_batch_size: 2
gradient_accumulation_steps: 8
num_epochs: 4
optimizer: adamw_torch
lr_scheduler: cosine
learning_rate: 0.0002
bf16: true
```

## Use instead
```yaml config.yml dataset_size=400 preview
base_model: meta-llama/Llama-3.1-8B
datasets:
  - path: tatsu-lab/alpaca
    type: alpaca
adapter: lora
lora_r: 16
lora_alpha: 32
lora_dropout: 0.05
lora_target_linear: true
sequence_len: 2048
micro_batch_size: 2
gradient_accumulation_steps: 8
num_epochs: 4
optimizer: adamw_torch
lr_scheduler: cosine
learning_rate: 0.0002
bf16: true
```

## Options
- `examples` (1000): flagged below this many.
- `epochs` (3): flagged from this many epochs on.

## Evidence
- For: QLoRA's models have 0.1 and 0.05 (their cards); LoRA Dropout (arXiv 2404.09610, abstract), whose dropout is on
  the two matrices themselves, narrows the gap between training and test.
- Against: LIMA trained 15 epochs on 1,000 examples, in full and with dropout on the residual (read in quotation); the
  evidence is thin, hence an info of the preview set.

## What it does not flag
- A data set of unknown size (the rule is skipped, and says so), reinforcement learning, runs with evaluation data, an
  adapter that is trained already.

## Fix safety
No fix: dropout, fewer epochs and evaluation are all remedies.
"""

from __future__ import annotations

from collections.abc import Iterator

from loraplan.derived import family, finite, is_lora, number
from loraplan.formats.targets import trained
from loraplan.plan import Plan
from loraplan.rule import Context, Evidence, Finding, rule


@rule(
    code="DRP003",
    name="no-dropout-small-data",
    severity="info",
    why="few examples repeated often are memorised, and without evaluation nobody sees it",
    reads=(
        "adapter.dropout",
        "schedule.epochs",
        "data.val_size",
        "data.eval_datasets",
        "run.eval_strategy",
    ),
    preview=True,
    needs=("dataset",),
    options={"examples": 1000, "epochs": 3},
    hand_rolled=False,
    evidence=(
        Evidence(
            "less overfitting",
            "https://arxiv.org/abs/2404.09610",
            "paper, abstract read",
        ),
    ),
)
def check(plan: Plan, ctx: Context) -> Iterator[Finding]:
    dropout, epochs = finite(plan.adapter.dropout), finite(plan.schedule.epochs)
    if not is_lora(plan) or dropout != 0 or epochs is None or epochs < ctx.options.epochs or trained(ctx.reading):
        return
    if plan.data.val_size or plan.data.eval_datasets or plan.run.eval_strategy not in (None, "no"):
        return
    if family(plan) == "rl" or (plan.schedule.max_steps or 0) > 0 or ctx.dataset_size >= ctx.options.examples:
        return
    yield Finding(
        f"{ctx.said('adapter.dropout')} with {ctx.dataset_size:,} examples, {number(epochs)} epochs and no evaluation",
        at="adapter.dropout",
        remedy=f"set {ctx.key('adapter.dropout')} to 0.05, or train fewer epochs and evaluate",
    )
