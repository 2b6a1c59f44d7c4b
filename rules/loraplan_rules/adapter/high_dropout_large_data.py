"""LoRA dropout is high for the amount of data.

## What it does
Flags a dropout of 0.1 or more with 50,000 examples or more, and notes one of 0.05 or more with 200,000 or more. For
models of 30 billion parameters and more the limits are 10,000 and 50,000. Above 0.2 it is flagged at any size. The
number of examples is counted in local files or looked up for a well-known public dataset (`loraplan show` says which);
`--dataset-size` or the settings override it.

## Why is this bad?
Dropout guards against overfitting, and a pass or two over much data has little to overfit: it only slows learning.
QLoRA found 0.05 useful for 7B and 13B models and not for 33B and 65B.

## Example
```yaml config.yml dataset_size=120000
base_model: meta-llama/Llama-3.1-8B
datasets:
  - path: Open-Orca/SlimOrca
    type: sharegpt
adapter: lora
lora_r: 16
lora_alpha: 32
lora_dropout: 0.1
lora_target_linear: true
sequence_len: 2048
micro_batch_size: 2
gradient_accumulation_steps: 8
num_epochs: 1
optimizer: adamw_torch
lr_scheduler: cosine
learning_rate: 0.0002
bf16: true
```

## Use instead
```yaml config.yml dataset_size=120000
base_model: meta-llama/Llama-3.1-8B
datasets:
  - path: Open-Orca/SlimOrca
    type: sharegpt
adapter: lora
lora_r: 16
lora_alpha: 32
lora_dropout: 0.0
lora_target_linear: true
sequence_len: 2048
micro_batch_size: 2
gradient_accumulation_steps: 8
num_epochs: 1
optimizer: adamw_torch
lr_scheduler: cosine
learning_rate: 0.0002
bf16: true
```

## Options
- `high` (0.1) with `high-examples` (50000), `low` (0.05) with `low-examples` (200000): the two limits.
- `large-high-examples` (10000) and `large-low-examples` (50000): the same for models of 30 billion parameters and more.
- `always` (0.2): flagged above this at any size.

## Evidence
- QLoRA (arXiv 2305.14314, appendix A.1, read in quotation): 0.05 is useful at 7B and 13B, not at 33B and 65B; its own
  models contradict that, with 0.1 up to 13B and 0.05 above (their cards).
- Biderman et al. (arXiv 2405.09673v2, section 4.5): LoRA itself prevents forgetting better than dropout does.
- Unsloth, PEFT, axolotl and LLaMA-Factory default to 0; Thinking Machines and TRL's reproduction train with 0.
- For dropout: LoRA Dropout (arXiv 2404.09610, abstract), whose dropout is on the two matrices themselves, reports gains
  in accuracy and calibration. The numbers of examples are a judgement, which is why they are options.

## What it does not flag
- As more than a note: 0.05 to 0.1, which TRL's command line, ms-swift and litgpt have as their default.
- Runs that end by `max_steps` before they have seen as many examples.
- Less than 0.05; a data set of unknown size up to 0.2 (the rule is skipped, and says so); a dropout that DRP002
  rejects; an adapter that is trained already.

## Fix safety
Unsafe: dropout 0 changes training.
"""

from __future__ import annotations

from collections.abc import Iterator

from loraplan.derived import effective_batch, finite, is_lora, number
from loraplan.formats.targets import trained
from loraplan.plan import Plan
from loraplan.rule import Context, Evidence, Finding, Fix, Set, rule


@rule(
    code="DRP001",
    name="high-dropout-large-data",
    severity="warning",
    why="a pass or two over much data has little to overfit, so dropout only slows learning",
    reads=(
        "adapter.dropout", "model.name", "schedule.max_steps", "batch.micro_batch_size",
        "batch.gradient_accumulation_steps", "batch.global_batch_size", "distributed.devices",
    ),
    needs=("dataset",),
    evidence=(
        Evidence("dropout useful at 7B and 13B, not at 33B and 65B", "https://arxiv.org/abs/2305.14314", "quotation"),
        Evidence("for dropout: less overfitting", "https://arxiv.org/abs/2404.09610", "paper, abstract read"),
    ),
    options={
        "high": 0.1, "high-examples": 50_000, "low": 0.05, "low-examples": 200_000,
        "large-high-examples": 10_000, "large-low-examples": 50_000, "always": 0.2,
    },
)  # fmt: skip
def check(plan: Plan, ctx: Context) -> Iterator[Finding]:
    dropout, options = finite(plan.adapter.dropout), ctx.options
    if not is_lora(plan) or dropout is None or not 0 < dropout < 1 or trained(ctx.reading):
        return
    if dropout < options.low and dropout <= options.always:
        return
    key = ctx.key("adapter.dropout")
    message, why, note = "", None, False
    if dropout > options.always:
        why = "every step then sees the input through more noise than any published run uses"
        message = f"{ctx.said('adapter.dropout')} drops {dropout:.0%} of the adapter's input"
        message += ": published runs use 0 to 0.1"
    else:
        examples = _seen(plan, ctx.dataset_size)
        large = _is_large(plan, ctx)
        enough = options.large_high_examples if large else options.high_examples
        note = dropout < options.high
        if note:
            enough = options.large_low_examples if large else options.low_examples
        if examples >= enough:
            message = f"{ctx.said('adapter.dropout')} with {examples:,} examples: there is little to overfit"
    if message:
        yield Finding(
            message,
            at="adapter.dropout",
            why=why,
            severity="info" if note else None,
            remedy=f"set {key} to {number(0)}",
            fix=Fix(f"set {key} to 0", (Set("adapter.dropout", 0.0),), "unsafe"),
        )


def _seen(plan: Plan, examples: int) -> int:
    """Of the examples those that the run comes to, where it ends after a number of steps."""
    steps, batch = plan.schedule.max_steps, effective_batch(plan)
    if steps is None or steps <= 0 or batch is None or batch <= 0:
        return examples
    return min(examples, steps * batch)


def _is_large(plan: Plan, ctx: Context) -> bool:
    """30 billion parameters and more, by the architecture or by the size in the model's name."""
    arch = ctx.arch_or_none
    if arch is not None and arch.parameters:
        return arch.parameters >= 30e9
    import re

    sizes = re.findall(r"(?<![\w.])(\d{1,4}(?:\.\d{1,2})?)b(?![a-z0-9])", (plan.model.name or "").lower())
    return any(float(size) >= 30 for size in sizes)
