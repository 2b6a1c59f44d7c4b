"""The rank is set but alpha is left at a default that does not follow it.

## What it does
Flags a written rank beside an alpha that is the framework's constant: PEFT's and oumi's 8 from r = 16 up; 32 (TRL,
ms-swift, NeMo-Automodel, autotrain) at r of 128 or more and of 4 or less; 16 (Unsloth, litgpt, torchtune, h2o) at r of
128 or more and of 2 or less. In axolotl, which has no default, an absent `lora_alpha` is an error.

## Why is this bad?
The update is scaled by `alpha/r`, so raising r alone shrinks it: PEFT's default alpha of 8 at r = 64 leaves 0.125, an
eighth of what the same learning rate gives at r = 8. axolotl passes None on, and PEFT stops with a TypeError when it
divides.

## Example
```python
from peft import LoraConfig
from trl import SFTConfig, SFTTrainer

peft_config = LoraConfig(r=64, target_modules="all-linear", task_type="CAUSAL_LM")
args = SFTConfig(output_dir="out", learning_rate=2e-4, warmup_steps=50, num_train_epochs=2, bf16=True)
trainer = SFTTrainer("Qwen/Qwen3-8B", args=args, train_dataset=dataset, peft_config=peft_config)
```

## Use instead
```python
from peft import LoraConfig
from trl import SFTConfig, SFTTrainer

peft_config = LoraConfig(r=64, lora_alpha=128, target_modules="all-linear", task_type="CAUSAL_LM")
args = SFTConfig(output_dir="out", learning_rate=2e-4, warmup_steps=50, num_train_epochs=2, bf16=True)
trainer = SFTTrainer("Qwen/Qwen3-8B", args=args, train_dataset=dataset, peft_config=peft_config)
```

## Options
No options.

## Evidence
- PEFT's defaults, r = 8 and alpha = 8: `tuners/lora/config.py`, peft 0.21.2.
- The other defaults: each format's table names its source; `loraplan show FILE` prints it.
- What the factor does: see ALP001, where both sides are quoted. Contested is the right factor, not that a constant
  alpha left alone changes it.

## What it does not flag
- LLaMA-Factory and ludwig, whose default is 2r.
- Reinforcement learning with r of 8 or below and the constant-alpha recipe (see ALP001): an info.
- Hand-rolled files, where an absent key means nothing.

## Fix safety
Unsafe: writing alpha = 2r changes the size of every step.
"""

from __future__ import annotations

from collections.abc import Iterator

from loraplan.derived import constant_alpha, covered, finite, is_lora, low_rank_rl, number, short
from loraplan.plan import Plan
from loraplan.rule import Context, Evidence, Finding, Fix, Set, rule

# default alpha -> the rank from which it is too small, and the rank up to which it is too large
_LIMITS: dict[float, tuple[float, float]] = {8: (16, 0), 16: (128, 2), 32: (128, 4)}


@rule(
    code="ALP002",
    name="alpha-left-at-default",
    severity="warning",
    why="alpha/r multiplies the update, and this default does not follow the rank",
    reads=("adapter.r", "adapter.alpha", "adapter.use_rslora", "optimizer.learning_rate", "adapter.resume_from"),
    evidence=(
        Evidence(
            "r = 8 and lora_alpha = 8",
            "https://github.com/huggingface/peft/blob/main/src/peft/tuners/lora/config.py",
            "peft 0.21.2",
        ),
        Evidence(
            "lora_alpha: int | None = None",
            "https://github.com/axolotl-ai-cloud/axolotl/blob/main/src/axolotl/utils/schemas/peft.py",
            "axolotl 0.19.0",
        ),
    ),
    suppresses=("ALP001",),
    hand_rolled=False,
)
def check(plan: Plan, ctx: Context) -> Iterator[Finding]:
    adapter, reading = plan.adapter, ctx.reading
    r = finite(adapter.r)
    if not is_lora(plan) or r is None or r <= 0 or not ctx.explicit("adapter.r") or adapter.scaling is not None:
        return
    key, wanted = ctx.key("adapter.alpha"), number(2 * r)
    fix = Fix(f"set {key} to {wanted}", (Set("adapter.alpha", 2 * r),), "unsafe") if r.is_integer() else None
    if adapter.alpha is None:
        misread = any(issue.field == "adapter.alpha" for issue in reading.value_issues)
        if reading.format == "axolotl" and adapter.method == "lora" and not adapter.resume_from and not misread:
            yield Finding(
                f"{ctx.said('adapter.r')} without {key}: axolotl has no default, and peft stops when it divides None",
                at="adapter.r",
                severity="error",
                why="axolotl hands an absent lora_alpha to peft as None",
                remedy=f"set {key} to {wanted}",
                fix=fix,
            )
        return
    default, alpha = reading.default("adapter.alpha"), finite(adapter.alpha)
    if default is None or alpha is None or adapter.use_rslora:
        return
    small, large = _LIMITS.get(alpha, (4 * alpha, alpha / 4))
    if large < r < small:
        return
    exempt = low_rank_rl(plan) or constant_alpha(plan, covered(plan, ctx))
    yield Finding(
        f"{ctx.said('adapter.r')} with {ctx.said('adapter.alpha')}: the update is multiplied by {short(alpha / r)}",
        at="adapter.r",
        severity="info" if exempt else None,
        remedy=f"set {key} to {wanted}",
        fix=fix,
    )
