"""The learning rate starts at its peak, without warm-up.

## What it does
Reports a run that resolves to no warm-up, the framework's own default counted: a warning at a peak rate of 2e-4 or
more, a note from 1e-4, nothing below.

## Why is this bad?
Adam's first steps divide by a variance that was estimated from one or two batches, so they are as large as the rate
allows, whatever the gradient. Three to five per cent of the steps as warm-up are a cheap insurance, and customary:
axolotl fills in 3 %, QLoRA used 3 %, Unsloth's notebooks use 5 to 10 %. It is not required; see the evidence against.

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
per_device_train_batch_size: 2
gradient_accumulation_steps: 4
num_train_epochs: 1
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
per_device_train_batch_size: 2
gradient_accumulation_steps: 4
num_train_epochs: 1
bf16: true
output_dir: out
```

## Options
- `warning` (2e-4): from this peak rate, a warning.
- `note` (1e-4): from this peak rate, a note.

## Evidence
- For: axolotl 0.19.0, `core/builders/base.py` (3 %, at most 100 steps); artidoro/qlora, `qlora.py`@00e5ad2a (3 %);
  Biderman et al., arXiv 2405.09673v2, appendix A (10 %); Analyzing & Reducing the Need for Learning Rate Warmup in GPT
  Training, <https://arxiv.org/abs/2410.23922> (abstract): it keeps the large first updates small; Why Warmup the
  Learning Rate?, <https://arxiv.org/abs/2406.09405> (abstract): it lets a network bear a larger rate.
- Against: LoRA Without Regret, <https://thinkingmachines.ai/blog/lora/>, trained with a constant rate and no warm-up,
  and points out that B = 0 at the start works as a warm-up of its own; a study of SFT recipes (arXiv 2412.13337, read
  in quotation) found no warm-up no worse in full fine-tuning. Hence no word below 1e-4.
- In frameworks' own repositories 2 of 352 LoRA configs have no warm-up at 2e-4 or more; elsewhere 6 of 91.

## What it does not flag
An explicit 0 with a constant schedule, which is a choice (and Thinking Machines' recipe); schedules and optimizers
that warm up by themselves (one-cycle, warm-up-stable-decay, schedule-free, RAdam, Prodigy, Adafactor with
`warmup_init`); runs that continue a trained adapter; frameworks whose default is not known; PEFT's
`adapter_config.json`, which has no training keys. Hand-rolled files get a note at most, because their script may have
a default.

## Fix safety
Unsafe: the first steps change.
"""

from __future__ import annotations

from loraplan.derived import finite
from loraplan.formats.table import version_in
from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, Fix, Set, rule
from loraplan_rules.optimizers import TRAINING_ARGUMENTS, resumes, warms_up_itself

_CONSTANT = ("constant", "none", "fixed")


@rule(
    code="WRM001",
    name="no-warmup",
    severity="warning",
    why="Adam's first steps rest on a variance estimated from a batch or two; a short warm-up is cheap and customary",
    reads=(
        "optimizer.learning_rate",
        "optimizer.name",
        "optimizer.args",
        "schedule.name",
        "schedule.warmup_ratio",
        "schedule.warmup_steps",
        "adapter.resume_from",
        "run.resume_from_checkpoint",
    ),
    evidence=(
        Evidence(
            "axolotl's default is 3 % of the steps, at most 100",
            "https://github.com/axolotl-ai-cloud/axolotl/blob/main/src/axolotl/core/builders/base.py",
            "source read at 0.19.0",
        ),
        Evidence("warm-up limits early updates", "https://arxiv.org/abs/2410.23922", "paper, abstract read"),
        Evidence("against: no warm-up was needed", "https://thinkingmachines.ai/blog/lora/", "article read"),
    ),
    options={"warning": 2e-4, "note": 1e-4},
)
def check(plan: Plan, ctx: Context) -> Checked:
    rate = finite(plan.optimizer.learning_rate)
    schedule = plan.schedule
    options = ctx.options
    if rate is None or rate < options.note * (1 - 1e-9):
        return
    if schedule.warmup_ratio or schedule.warmup_steps or warms_up_itself(plan) or resumes(plan):
        return
    hand_rolled = ctx.reading.hand_rolled
    known = schedule.warmup_ratio is not None or schedule.warmup_steps is not None
    if not known and not hand_rolled:
        return
    stated = ctx.explicit("schedule.warmup_ratio") or ctx.explicit("schedule.warmup_steps")
    if stated and _constant(plan):
        return
    field, remedy, fix = _remedy(ctx)
    if stated:
        said = ctx.said(field)
    elif hand_rolled:
        said = "no warm-up is written"
    else:
        default = ctx.reading.default("schedule.warmup_steps") or ctx.reading.default("schedule.warmup_ratio")
        said = f"no warm-up ({default.framework if default else ctx.reading.framework} default)"
    yield Finding(
        f"{said}: the first steps run at the peak rate, {ctx.said('optimizer.learning_rate')}",
        at="optimizer.learning_rate" if hand_rolled and not stated else field,
        remedy=f"{remedy}, as is customary",
        severity="info" if hand_rolled or rate < options.warning * (1 - 1e-9) else None,
        fix=fix,
    )


def _constant(plan: Plan) -> bool:
    name = (plan.schedule.name or "").lower()
    return name in _CONSTANT or "constant" in name


def _remedy(ctx: Context) -> tuple[str, str, Fix | None]:
    """The field to point at, what to write, and the change where the key to write is certain."""
    ratio, steps = "schedule.warmup_ratio", "schedule.warmup_steps"
    if ctx.reading.format in TRAINING_ARGUMENTS and not ctx.explicit(ratio):
        version = ctx.version("transformers")
        if version is None:
            return steps, f"set {ctx.key(steps)} to 0.03 (before transformers 5: warmup_ratio)", None
        if version_in(version, ">=5"):
            change = Set(steps, 0.03)
            return steps, f"set {ctx.key(steps)} to 0.03", Fix("warm up for 3 % of the steps", (change,), "unsafe")
    if ctx.explicit(ratio) or (ratio in ctx.reading.keys and not ctx.explicit(steps)):
        fix = Fix("warm up for 3 % of the steps", (Set(ratio, 0.03),), "unsafe")
        return ratio, f"set {ctx.key(ratio)} to 0.03", fix
    return steps, f"set {ctx.key(steps)} to 3 to 5 % of the steps", None
