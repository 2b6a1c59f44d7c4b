"""axolotl's LoRA kernels do not fit this run.

## What it does
Reports `lora_mlp_kernel`, `lora_qkv_kernel` or `lora_o_kernel` with LoRA in 8 bits, with `trust_remote_code` or
FSDP1.

## Why is this bad?
axolotl stops when it validates the config.

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
learning_rate: 0.0002
bf16: true
load_in_8bit: true
lora_mlp_kernel: true
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
lora_mlp_kernel: true
```

## Options
None.

## Evidence
- axolotl 0.19.0, `utils/schemas/validation.py`: check_lora_kernels_8bit, check_lora_kernels_trust_remote_code.
- axolotl 0.19.0, `utils/schemas/config.py`: kernels with FSDP1.

## What it does not flag
The kernels that axolotl turns on by itself, which it leaves off where they do not fit.

## Fix safety
There is none.
"""

from __future__ import annotations

from loraplan.document import Mapping
from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, rule
from loraplan_rules.nodes import node, on, text

_KERNELS = ("lora_mlp_kernel", "lora_qkv_kernel", "lora_o_kernel")


@rule(
    code="OPT006",
    name="kernels-incompatible",
    severity="error",
    why="axolotl refuses its fused kernels in this combination",
    reads=("quantization.load_in_8bit", "model.trust_remote_code", "distributed.strategy", "adapter.method"),
    evidence=(
        Evidence(
            "check_lora_kernels_8bit, check_lora_kernels_trust_remote_code",
            "https://github.com/axolotl-ai-cloud/axolotl/blob/main/src/axolotl/utils/schemas/validation.py",
            "source read at 0.19.0",
        ),
        Evidence(
            "kernels with FSDP1",
            "https://github.com/axolotl-ai-cloud/axolotl/blob/main/src/axolotl/utils/schemas/config.py",
            "source read at 0.19.0",
        ),
    ),
    hand_rolled=False,
)
def check(plan: Plan, ctx: Context) -> Checked:
    if ctx.reading.format != "axolotl" or plan.adapter.method != "lora":
        return
    for key in _KERNELS:
        place = node(ctx, key)
        if place is None or not on(ctx, key):
            continue
        if on(ctx, "load_in_8bit") and text(ctx, "adapter") == "lora":
            cause = "load_in_8bit"
        elif on(ctx, "trust_remote_code"):
            cause = "trust_remote_code"
        elif plan.distributed.strategy == "fsdp" and isinstance(node(ctx, "fsdp_config"), Mapping):
            cause = "FSDP1"
        else:
            return
        yield Finding(f"{key} with {cause}: axolotl refuses it", at=place.span, remedy=f"set {key} to false")
        return
