"""The learning rate is that of a full fine-tune.

## What it does
Reports supervised fine-tuning of an adapter with an Adam-like optimizer where the learning rate is a framework's
default below 1e-4, because the key is absent, or is written below 5e-5. A written rate is a warning where rate x
alpha is below 3.2e-4, a tenth of QLoRA's 7B recipe (2e-4 x 16); above that, and where the method is not known, it is
a note.

## Why is this bad?
LoRA's best learning rate is about ten times that of full fine-tuning: Thinking Machines fitted a factor of 9.8 over
14 models, TRL's guide says 10, and Biderman et al. found the best rates at 2e-4 (mathematics) and 5e-4 (code) in
sweeps from 1e-5. At 2e-5 the run takes the time and money of a good one, and the adapter barely moves. The defaults
are those of full fine-tuning: 5e-5 in transformers, 2e-5 in trl's SFTConfig, 3e-5 in autotrain.

## Example
```yaml llama3_lora_sft.yaml
model_name_or_path: meta-llama/Meta-Llama-3-8B-Instruct
stage: sft
do_train: true
finetuning_type: lora
lora_rank: 16
lora_alpha: 16
lora_target: all
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
```

## Options
- `default` (1e-4): a default below this is a warning.
- `note` (5e-5): a written rate below this is a note.
- `step` (3.2e-4): from this rate x alpha downwards (exclusive), a written rate below `note` is a warning.
- `compensated` (1.6e-3): from this rate x alpha, a large alpha makes up for a small written rate.

## Evidence
- LoRA Without Regret, <https://thinkingmachines.ai/blog/lora/>: the factor, about 15 for runs under 100 steps.
- TRL, `docs/source/peft_integration.md`@067322f8: 2e-4 for SFT, ten times the rate of full fine-tuning;
  `lora_without_regret.md`@01892a27 trains with 2e-4 in Python (its command lines, of the same run, say 2e-5).
- LoRA Learns Less and Forgets Less, <https://arxiv.org/abs/2405.09673>: best rates of 5e-4 for code and 2e-4 for
  mathematics, one order above full fine-tuning (appendix B, figure S1; alpha 32, with Lion).
- Launch scripts that kept the rate of full fine-tuning: LLaVA's first LoRA script has 2e-5 with alpha 16, its 1.5 has
  2e-4 with alpha 256 (haotian-liu/LLaVA `scripts/finetune_lora.sh` @ 0927d6f8, `scripts/v1_5/finetune_lora.sh` @
  200398e2); Qwen's QLoRA script has 1e-5, its LoRA script beside it 3e-4 (QwenLM/Qwen `finetune/finetune_qlora_ds.sh`
  @ 3876edc4, `finetune/finetune_lora_ds.sh` @ 14e6e69f). The lower of each pair is reported.
- With Adam the first steps are proportional to rate x alpha: held constant over a sixteenfold range of alpha, the
  first update (norm 0.01361) and the loss after 30 steps (within 0.4 %) are the same (a small random Llama, peft
  0.21.2).
- Against a sharper threshold: of 316 public supervised LoRA configs in frameworks' own repositories 41 have a rate
  below 5e-5, among them recipes of autotrain and NeMo-Automodel with 1e-5 and an alpha of 32. A rule that warned
  about each would speak against one example in eight; therefore those are notes.

## What it does not flag
Preference tuning and reinforcement learning, whose rates are lower (LRS003), pretraining, full fine-tuning, LoRA+
(its ratio raises B's rate), runs that continue a trained adapter, files that only predict or tokenize, optimizers on
another scale (Adafactor, Lion, Prodigy, SGD, Muon), and an explicit rate with a large alpha: with Adam the first steps
are proportional to rate x alpha.

## Fix safety
Unsafe: training changes.
"""

from __future__ import annotations

import math

from loraplan.derived import family, finite, number
from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, Fix, Set, rule
from loraplan_rules.optimizers import adam_like, resumes

_LARGE = 30_000_000_000


@rule(
    code="LRS001",
    name="full-finetune-learning-rate",
    severity="warning",
    why="LoRA's best learning rate is about ten times that of full fine-tuning",
    reads=(
        "method",
        "optimizer.learning_rate",
        "optimizer.name",
        "adapter.alpha",
        "adapter.scaling",
        "adapter.r",
        "adapter.use_rslora",
        "adapter.method",
        "adapter.target_modules",
        "adapter.loraplus_lr_ratio",
        "adapter.resume_from",
        "run.resume_from_checkpoint",
        "schedule.warmup_ratio",
        "schedule.warmup_steps",
    ),
    evidence=(
        Evidence("a factor of 9.8 over full fine-tuning", "https://thinkingmachines.ai/blog/lora/", "article read"),
        Evidence(
            "2e-4, ten times the rate of full fine-tuning",
            "https://huggingface.co/docs/trl/peft_integration",
            "docs",
        ),
        Evidence("best LoRA rates 2e-4 and 5e-4", "https://arxiv.org/abs/2405.09673", "paper read"),
        Evidence(
            "SFTConfig's default of 2e-5",
            "https://github.com/huggingface/trl/blob/main/trl/trainer/sft_config.py",
            "run with trl 1.16.0",
        ),
    ),
    options={"default": 1e-4, "note": 5e-5, "step": 3.2e-4, "compensated": 1.6e-3},
    suppresses=("WRM001",),
    hand_rolled=True,
)
def check(plan: Plan, ctx: Context) -> Checked:
    rate = finite(plan.optimizer.learning_rate)
    kind = family(plan)
    if rate is None or rate <= 0 or kind not in ("sft", "classification", "unknown") or not adam_like(plan):
        return
    adapter = plan.adapter
    if adapter.loraplus_lr_ratio or resumes(plan) or ctx.reading.facts.get("no_training"):
        return
    if adapter.method is None and adapter.r is None and adapter.alpha is None and adapter.target_modules is None:
        return  # nothing says that this run has an adapter
    options = ctx.options
    explicit = ctx.explicit("optimizer.learning_rate")
    if rate >= (options.note if explicit else options.default):
        return
    alpha = _alpha(plan)
    step = rate * alpha if alpha is not None else None
    if explicit and step is not None and step >= options.compensated * (1 - 1e-9):
        return
    usual = explicit and step is not None and step >= options.step * (1 - 1e-9)
    note = kind == "unknown" or usual
    arch = ctx.arch_or_none
    large = arch is not None and arch.parameters >= _LARGE
    target = 1e-4 if large or rate <= 1e-5 else 2e-4
    key = ctx.key("optimizer.learning_rate")
    said = ctx.said("optimizer.learning_rate")
    message = f"{said}: a rate for full fine-tuning; LoRA usually needs about ten times as much"
    if not explicit and _no_warmup_by_default(plan, ctx):
        message += "; warm-up is left at its default too, which is none"
    yield Finding(
        message,
        at="optimizer.learning_rate",
        remedy=f"set {key} to {number(target)}",
        severity="info" if note else None,
        fix=Fix(f"set {key} to {number(target)}", (Set("optimizer.learning_rate", target),), "unsafe"),
    )


def _alpha(plan: Plan) -> float | None:
    """What the first step is proportional to besides the rate: alpha, with rsLoRA times sqrt(r)."""
    scaling, r, alpha = finite(plan.adapter.scaling), finite(plan.adapter.r), finite(plan.adapter.alpha)
    if scaling is not None:
        return scaling * r if r is not None else None
    if plan.adapter.use_rslora and alpha is not None and r is not None and r > 0:
        return alpha * math.sqrt(r)
    return alpha


def _no_warmup_by_default(plan: Plan, ctx: Context) -> bool:
    schedule = plan.schedule
    written = ctx.explicit("schedule.warmup_ratio") or ctx.explicit("schedule.warmup_steps")
    known = schedule.warmup_ratio is not None or schedule.warmup_steps is not None
    return known and not written and not schedule.warmup_ratio and not schedule.warmup_steps
