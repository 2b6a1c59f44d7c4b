"""axolotl's fused MLP is switched on beside LoRA.

## What it does
Flags axolotl's `flash_attn_fuse_mlp: true` with a LoRA or QLoRA adapter.

## Why is this bad?
axolotl stops with "Fused modules are not supported with LoRA/QLoRA": the fused layer has no `gate_proj` and `up_proj`
to adapt.

## Example
```yaml
base_model: meta-llama/Llama-3.1-8B
datasets:
  - path: tatsu-lab/alpaca
    type: alpaca
adapter: lora
lora_r: 16
lora_alpha: 32
flash_attn_fuse_mlp: true
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
```yaml
base_model: meta-llama/Llama-3.1-8B
datasets:
  - path: tatsu-lab/alpaca
    type: alpaca
adapter: lora
lora_r: 16
lora_alpha: 32
flash_attn_fuse_mlp: false
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
No options.

## Evidence
- axolotl 0.19.0 `utils/schemas/validation.py` `check_fused_lora`.

## What it does not flag
- Full fine-tuning; `lora_mlp_kernel`, which is made for LoRA.

## Fix safety
No fix; remove the key.
"""

from __future__ import annotations

from collections.abc import Iterator

from loraplan.derived import is_lora
from loraplan.plan import Plan
from loraplan.rule import Context, Evidence, Finding, rule
from loraplan_rules.keys import entry


@rule(
    code="ARC007",
    name="fused-mlp-with-lora",
    severity="error",
    why="a fused MLP has no projections for LoRA to adapt",
    reads=("adapter.method",),
    evidence=(
        Evidence(
            "Fused modules are not supported with LoRA/QLoRA",
            "https://github.com/axolotl-ai-cloud/axolotl/blob/main/src/axolotl/utils/schemas/validation.py",
            "axolotl 0.19.0",
        ),
    ),
)
def check(plan: Plan, ctx: Context) -> Iterator[Finding]:
    if ctx.reading.format != "axolotl" or plan.adapter.method != "lora" or not is_lora(plan):
        return
    place = entry(ctx.reading, "flash_attn_fuse_mlp")
    if place is not None:
        yield Finding(
            "flash_attn_fuse_mlp with a LoRA adapter: axolotl stops",
            at=place.value.span,
            remedy="remove flash_attn_fuse_mlp",
        )
