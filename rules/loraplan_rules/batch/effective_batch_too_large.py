"""The effective batch is large for LoRA.

## What it does
Reports supervised training with more than 256 examples per optimizer step, or with more than 32 where the data are
so few that fewer than 100 steps remain. In preview also more than 32 as a note.

## Why is this bad?
LoRA pays more for large batches than full fine-tuning does: in Thinking Machines' study on 10,000 examples the gap
to full fine-tuning grew with the batch at every rank, so that a higher rank does not help. QLoRA trained with 16
examples (7B, 13B), TRL's guide advises fewer than 32.

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
per_device_train_batch_size: 16
gradient_accumulation_steps: 32
num_train_epochs: 1
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
per_device_train_batch_size: 16
gradient_accumulation_steps: 1
num_train_epochs: 1
max_length: 2048
bf16: true
output_dir: out
```

## Options
- `max` (256): more examples than this are a warning.
- `note` (32): more than this are a note in preview, and a warning in a short run.
- `steps` (100): a run with fewer steps than this is short.

## Evidence
- <https://thinkingmachines.ai/blog/lora/>, "Batch size effects": on 10,000 examples the gap to full fine-tuning grows
  with the batch, at any rank, and is small at 32.
- TRL, `docs/source/lora_without_regret.md`@01892a27: an effective batch below 32.
- QLoRA's models of 7B and 13B were trained with 16 examples (their cards; table 9 of arXiv 2305.14314).
- Against: Biderman et al. (arXiv 2405.09673v2, appendix A) train LoRA with 192 and 768 examples a step, on 110,000 and
  395,000 examples; and both kinds of training do best with smaller batches, so the gap may not matter (the article).

## What it does not flag
Reinforcement learning, pretraining, preference tuning, and devices that the config does not name: one is assumed
then. The threshold is a judgement: 128 was the first, but NeMo-Automodel's own recipes train with 256 examples.

## Fix safety
There is none.
"""

from __future__ import annotations

from loraplan.derived import effective_batch, family, number, total_steps
from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, rule

_FIELDS = ("batch.gradient_accumulation_steps", "batch.micro_batch_size", "batch.global_batch_size")


@rule(
    code="BAT001",
    name="effective-batch-too-large",
    severity="warning",
    why="LoRA tolerates large batches less than full fine-tuning, at every rank",
    reads=(
        "method",
        "batch.micro_batch_size",
        "batch.gradient_accumulation_steps",
        "batch.global_batch_size",
        "distributed.devices",
        "schedule.epochs",
        "schedule.max_steps",
    ),
    evidence=(
        Evidence(
            "the batch study",
            "https://thinkingmachines.ai/blog/lora/",
            "article read",
        ),
        Evidence(
            "effective batch below 32",
            "https://huggingface.co/docs/trl/lora_without_regret",
            "docs",
        ),
        Evidence(
            "16 examples for 7B and 13B",
            "https://arxiv.org/abs/2305.14314",
            "paper and model cards",
        ),
    ),
    options={"max": 256, "note": 32, "steps": 100},
)
def check(plan: Plan, ctx: Context) -> Checked:
    size = effective_batch(plan)
    if size is None or size <= ctx.options.note or family(plan) not in ("sft", "classification", "unknown"):
        return
    written = [name for name in _FIELDS if ctx.explicit(name)]
    if not written:
        return
    steps = total_steps(plan, ctx.dataset_size_or_none) if plan.schedule.max_steps is None else None
    short_run = steps is not None and steps < ctx.options.steps
    loud = size > ctx.options.max or short_run
    if loud and family(plan) == "unknown" and not short_run:
        loud = False
    rest = f": only {steps} steps remain" if short_run else ""
    yield Finding(
        f"{number(size)} examples per optimizer step{rest}",
        at=written[-1] if written[-1] == "batch.global_batch_size" else written[0],
        remedy="use 8 to 32: lower the accumulation",
        severity=None if loud else "info",
        preview=not loud,
    )
