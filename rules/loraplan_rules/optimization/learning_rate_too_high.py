"""The learning rate is above every published LoRA recipe, or no rate at all.

## What it does
Reports a learning rate above 2e-3 (above 5e-4 for models of 30B and more), as an error above 0.1, and one that is
zero, negative or not a number. Above 1e-3 it is a note.

## Why is this bad?
Published sweeps for LoRA end at 5e-4; users report NaN at 5e-3, and divergence that was cured by a rate of 1e-4 or a
tenth. Above 0.1 it is a slip of the exponent: one AdamW step moves every weight by about the rate, and the factors of
an adapter are themselves of the order of 0.01. A rate of 0 trains nothing, a negative one raises `ValueError: Invalid
learning rate`.

## Example
```yaml qlora.yml
base_model: NousResearch/Llama-3.2-1B
adapter: lora
lora_r: 16
lora_alpha: 32
lora_target_linear: true
datasets:
  - path: tatsu-lab/alpaca
    type: alpaca
sequence_len: 2048
micro_batch_size: 2
gradient_accumulation_steps: 4
num_epochs: 1
optimizer: adamw_torch_fused
lr_scheduler: cosine
learning_rate: 0.005
bf16: true
```

## Use instead
```yaml qlora.yml
base_model: NousResearch/Llama-3.2-1B
adapter: lora
lora_r: 16
lora_alpha: 32
lora_target_linear: true
datasets:
  - path: tatsu-lab/alpaca
    type: alpaca
sequence_len: 2048
micro_batch_size: 2
gradient_accumulation_steps: 4
num_epochs: 1
optimizer: adamw_torch_fused
lr_scheduler: cosine
learning_rate: 0.0002
bf16: true
```

## Options
- `note` (1e-3): above this, a note.
- `warning` (2e-3): above this, a warning.
- `large` (5e-4): the same for models of 30B parameters and more.
- `error` (0.1): above this, an error.

## Evidence
- LoRA Learns Less and Forgets Less, <https://arxiv.org/abs/2405.09673>, section 4.7: sweep from 1e-5 to 5e-4, and
  take the highest rate that is stable.
- ssbuild/chatglm_finetuning issue 28: 5e-3 gives NaN. haotian-liu/LLaVA issues 1301 and 1375: losses that rose
  were cured by a tenth of the rate (2e-5 instead of 2e-4 in 1375).
- Against a lower warning: TRL's page on reward models advises about 1e-3 for adapters
  (`docs/source/reward_trainer.md`@067322f8).
- Of 316 public supervised LoRA configs in frameworks' own repositories one is above 1e-3.
- Against a lower warning: torchtune's recipes for Qwen2 and Qwen2.5 of 0.5B and 1.5B use 2e-3
  (`recipes/configs/qwen2_5/0.5B_lora_single_device.yaml`@0.6.1), hence a note there.

## What it does not flag
Optimizers whose rate is on another scale: Prodigy and D-Adaptation (1.0 is their setting), Adafactor, SGD, Muon,
Lion.

## Fix safety
Unsafe: training changes.
"""

from __future__ import annotations

import math

from loraplan.derived import finite, number
from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, Fix, Set, rule
from loraplan_rules.optimizers import adam_like

_LARGE = 30_000_000_000


@rule(
    code="LRS002",
    name="learning-rate-too-high",
    severity="warning",
    why="published LoRA sweeps end at 5e-4; runs well above that diverge",
    reads=("optimizer.learning_rate", "optimizer.name"),
    evidence=(
        Evidence("sweep from 1e-5 to 5e-4", "https://arxiv.org/abs/2405.09673", "paper read"),
        Evidence("NaN at 5e-3", "https://github.com/ssbuild/chatglm_finetuning/issues/28", "thread read"),
        Evidence("cured by a lower rate", "https://github.com/haotian-liu/LLaVA/issues/1301", "thread read"),
    ),
    options={"note": 1e-3, "warning": 2e-3, "large": 5e-4, "error": 0.1},
)
def check(plan: Plan, ctx: Context) -> Checked:
    rate = plan.optimizer.learning_rate
    if rate is None or isinstance(rate, bool):
        return
    key = ctx.key("optimizer.learning_rate")
    value = finite(rate)
    if value is None or value <= 0:
        zero = value == 0
        yield Finding(
            f"{ctx.said('optimizer.learning_rate')}: "
            + ("nothing is trained" if zero else "no optimizer accepts it" if value is not None else "not a number"),
            at="optimizer.learning_rate",
            remedy=f"set {key} to 2e-4",
            why="AdamW moves every weight by about the learning rate in a step",
            severity="error",
        )
        return
    if not adam_like(plan):
        return
    options = ctx.options
    arch = ctx.arch_or_none
    large = arch is not None and not arch.num_experts and arch.parameters >= _LARGE
    warning = options.large if large else options.warning
    limit = min(options.note, warning)
    if not value > limit or math.isclose(value, limit):
        return
    note = not value > warning or math.isclose(value, warning)
    size = " for a model of this size" if large else ""
    effect = "few published LoRA runs go so high" if note else "LoRA runs diverge there"
    yield Finding(
        f"{ctx.said('optimizer.learning_rate')} is above {number(limit if note else warning)}{size}: {effect}",
        at="optimizer.learning_rate",
        remedy=f"set {key} to 2e-4, at most 5e-4",
        severity="error" if value > options.error else "info" if note else None,
        fix=Fix(f"set {key} to 2e-4", (Set("optimizer.learning_rate", 2e-4),), "unsafe"),
    )
