"""With rsLoRA, alpha is raised with the rank as well.

## What it does
Flags `use_rslora` with `alpha/sqrt(r)` above 8, and mentions it, at info, above 4.

## Why is this bad?
rsLoRA divides by the square root of the rank so that a fixed alpha serves every rank. With alpha = 2r on top, the
factor grows with the rank again: 16 at r = 64, eight times that of plain LoRA. In a run of a small random Llama (peft
0.21.2) r = 64 with alpha 128 had a first gradient norm of 11.9, where alpha 16 had 1.45 at every rank.

## Example
```yaml
model_name_or_path: Qwen/Qwen3-8B
stage: sft
do_train: true
finetuning_type: lora
lora_rank: 64
lora_alpha: 128
lora_target: all
use_rslora: true
dataset: alpaca_en_demo
template: qwen3
cutoff_len: 2048
output_dir: out
per_device_train_batch_size: 1
gradient_accumulation_steps: 8
learning_rate: 1.0e-4
num_train_epochs: 3.0
lr_scheduler_type: cosine
warmup_ratio: 0.1
bf16: true
```

## Use instead
```yaml
model_name_or_path: Qwen/Qwen3-8B
stage: sft
do_train: true
finetuning_type: lora
lora_rank: 64
lora_alpha: 16
lora_target: all
use_rslora: true
dataset: alpaca_en_demo
template: qwen3
cutoff_len: 2048
output_dir: out
per_device_train_batch_size: 1
gradient_accumulation_steps: 8
learning_rate: 1.0e-4
num_train_epochs: 3.0
lr_scheduler_type: cosine
warmup_ratio: 0.1
bf16: true
```

## Options
- `note` (4): the largest factor that is not mentioned; r = 16 with alpha 16 has exactly 4.
- `max` (8): the largest factor that is no warning.
- `max-step` (4e-4): the learning rate times the factor that is never more than an info: 2e-4 with alpha = 2r.

## Evidence
- The factor: peft 0.21.2 `tuners/lora/layer.py`; the reason for the square root: Kalajdzievski 2023, arXiv 2312.03732
  (abstract; its theorem 3.2 in quotation).
- Gradient norms that spike with rsLoRA only: unsloth issue 577.
- Against: two official examples have a factor of 8, PEFT's method comparison (r = 64, alpha 64) and ludwig's
  `pissa_lora.yaml` (r = 16, alpha 32), so only more than that is a warning. Both limits are a judgement, which is why
  they are options.

## What it does not flag
- A factor that a lower learning rate makes up for, and an `adapter_config.json`, which names no learning rate: an info.

## Fix safety
Unsafe: alpha = 2 * sqrt(r), rounded, changes the size of every step.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from loraplan.derived import finite, is_lora, number, scaling, short
from loraplan.formats.targets import trained
from loraplan.plan import Plan
from loraplan.rule import Context, Evidence, Finding, Fix, Set, rule


@rule(
    code="ALP003",
    name="rslora-alpha-double-counted",
    severity="warning",
    why="rsLoRA replaces the habit of raising alpha with the rank; doing both multiplies the step by sqrt(r) again",
    reads=("adapter.r", "adapter.alpha", "adapter.use_rslora", "optimizer.learning_rate"),
    evidence=(
        Evidence(
            "scaling = lora_alpha / math.sqrt(r)",
            "https://github.com/huggingface/peft/blob/main/src/peft/tuners/lora/layer.py",
            "peft 0.21.2",
        ),
        Evidence("why the square root", "https://arxiv.org/abs/2312.03732", "paper, abstract read"),
        Evidence(
            "gradient norm spikes with rsLoRA only", "https://github.com/unslothai/unsloth/issues/577", "issue thread"
        ),
    ),
    options={"note": 4.0, "max": 8.0, "max-step": 4e-4},
    suppresses=("ALP001",),
)
def check(plan: Plan, ctx: Context) -> Iterator[Finding]:
    adapter = plan.adapter
    if not is_lora(plan) or not adapter.use_rslora or adapter.scaling is not None:
        return
    factor, r = scaling(plan), finite(adapter.r)
    if factor is None or r is None or factor <= ctx.options.note * (1 + 1e-9):
        return
    rate = finite(plan.optimizer.learning_rate)
    mild = factor <= ctx.options.max * (1 + 1e-9) or rate is None or rate * factor <= ctx.options.max_step * (1 + 1e-9)
    key, wanted = ctx.key("adapter.alpha"), round(2 * math.sqrt(r))
    done = trained(ctx.reading)
    yield Finding(
        f"with rsLoRA the update is multiplied by alpha/sqrt(r) = {short(factor)}"
        f" ({ctx.said('adapter.r')}, {ctx.said('adapter.alpha')})",
        at="adapter.alpha" if ctx.explicit("adapter.alpha") else "adapter.r",
        severity="info" if mild or done else None,
        remedy="" if done else f"set {key} to {number(wanted)}, or lower the learning rate",
        fix=None if done else Fix(f"set {key} to {number(wanted)}", (Set("adapter.alpha", wanted),), "unsafe"),
    )
