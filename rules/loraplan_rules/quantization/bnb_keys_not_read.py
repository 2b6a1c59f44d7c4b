"""axolotl does not read these bitsandbytes settings.

## What it does
Reports top-level `bnb_4bit_*` keys in an axolotl QLoRA config whose value differs from what axolotl sets itself.

## Why is this bad?
axolotl loads QLoRA's base in NF4 with double quantization and bfloat16 storage, whatever stands there; only
`bnb_config_kwargs` changes that. The run uses other settings than the file says.

## Example
```yaml qlora.yml
base_model: NousResearch/Llama-3.2-1B
adapter: qlora
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
load_in_4bit: true
bnb_4bit_quant_type: fp4
```

## Use instead
```yaml qlora.yml
base_model: NousResearch/Llama-3.2-1B
adapter: qlora
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
load_in_4bit: true
bnb_config_kwargs:
  bnb_4bit_use_double_quant: false
```

## Options
None.

## Evidence
- axolotl 0.19.0, `loaders/model.py`: the dict of 4-bit settings.

## What it does not flag
Keys that say what axolotl does anyway; CFG001 names them as unread, in a note.

## Fix safety
There is none.
"""

from __future__ import annotations

from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, rule
from loraplan_rules.nodes import node, text
from loraplan_rules.written import one_line

_FIXED = {"bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": "true", "bnb_4bit_quant_storage": "bfloat16"}


@rule(
    code="QNT010",
    name="bnb-keys-not-read",
    severity="warning",
    why="axolotl fixes the 4-bit settings itself; only bnb_config_kwargs is merged into them",
    reads=("quantization.load_in_4bit", "adapter.method"),
    evidence=(
        Evidence(
            "the dict of 4-bit settings",
            "https://github.com/axolotl-ai-cloud/axolotl/blob/main/src/axolotl/loaders/model.py",
            "source read at 0.19.0",
        ),
    ),
    hand_rolled=False,
)
def check(plan: Plan, ctx: Context) -> Checked:
    if ctx.reading.format != "axolotl" or text(ctx, "adapter") != "qlora" or not plan.quantization.load_in_4bit:
        return
    for key, value in _FIXED.items():
        place, stated = node(ctx, key), text(ctx, key)
        if place is None or stated is None or stated.removeprefix("torch.") == value:
            continue
        yield Finding(
            f"{key}: {one_line(stated)} is not read: axolotl sets {value}",
            at=place.span,
            remedy=f"write it below bnb_config_kwargs, or remove {key}",
        )
