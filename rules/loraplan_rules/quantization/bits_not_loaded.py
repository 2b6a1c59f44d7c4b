"""Four or eight bits are asked for, but the framework loads the model unquantized.

## What it does
Reports axolotl configs with `load_in_4bit: true` beside `adapter: lora`, and ms-swift commands with `--quant_bits` but
no `--quant_method`.

## Why is this bad?
axolotl builds its 4-bit settings for `adapter: qlora` alone and accepts the pair without a word; ms-swift's
`get_quantization_config` returns nothing without a method. The base model is loaded in 16 bits: about four times the
memory that was planned for, often more than the card has, and another run than the file describes.

## Example
```yaml qlora.yml
base_model: NousResearch/Llama-3.2-1B
adapter: lora
load_in_4bit: true
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

## Use instead
```yaml qlora.yml
base_model: NousResearch/Llama-3.2-1B
adapter: qlora
load_in_4bit: true
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
None.

## Evidence
- axolotl 0.19.0, `loaders/model.py` `_set_quantization_config`: `adapter == "qlora" and load_in_4bit`, and
  `adapter == "lora" and load_in_8bit`; `utils/schemas/peft.py` `validate_qlora` refuses the opposite mistake only.
- ms-swift 4.6.0, `arguments/base_args/quant_args.py` `get_quantization_config`: None where `quant_method` is None.

## What it does not flag
- Checkpoints that are quantized already, known or so named: axolotl and ms-swift take their own settings.
- axolotl's `quantize_moe_experts`, which quantizes the experts with either adapter; ms-swift's unsloth backend, which
  reads `quant_bits` alone.

## Fix safety
There is none: whether 4 bits or 16 were meant, the file does not say.
"""

from __future__ import annotations

import re

from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, rule
from loraplan_rules.nodes import node, on, text

_QUANTIZED = re.compile(r"(?i)(?:[48][-_]?bit|int[48]|gptq|awq|aqlm|hqq|nf4|fp[48]|mxfp4|nvfp4|bnb|quantized)")


@rule(
    code="QNT012",
    name="bits-not-loaded",
    severity="warning",
    why="the base model is loaded in 16 bits, with about four times the memory of 4 bits",
    reads=("quantization.load_in_4bit", "adapter.method", "model.name"),
    evidence=(
        Evidence(
            "4 bits for adapter: qlora alone",
            "https://github.com/axolotl-ai-cloud/axolotl/blob/main/src/axolotl/loaders/model.py",
            "source read at 0.19.0",
        ),
        Evidence(
            "no method, no quantization",
            "https://github.com/modelscope/ms-swift/blob/main/swift/arguments/base_args/quant_args.py",
            "source read at 4.6.0",
        ),
    ),
    hand_rolled=False,
)
def check(plan: Plan, ctx: Context) -> Checked:
    reading = ctx.reading
    if _stored_quantized(plan, ctx):
        return
    if reading.facts.get("load_in_4bit_ignored") and not on(ctx, "quantize_moe_experts"):
        yield Finding(
            "load_in_4bit beside adapter: lora: axolotl loads the model unquantized",
            at="quantization.load_in_4bit",
            remedy="set adapter: qlora, or remove load_in_4bit",
        )
    elif reading.format == "ms-swift" and text(ctx, "quant_method") is None and text(ctx, "tuner_backend") != "unsloth":
        place, bits = node(ctx, "quant_bits"), text(ctx, "quant_bits")
        if place is not None and bits is not None and bits != "0":
            yield Finding(
                f"quant_bits {bits} without quant_method: ms-swift loads the model unquantized",
                at=place.span,
                remedy="add quant_method bnb, or remove quant_bits",
            )


def _stored_quantized(plan: Plan, ctx: Context) -> bool:
    """Whether the checkpoint is quantized already, as the catalogue or its name says."""
    arch = ctx.arch_or_none
    if arch is not None and arch.prequantized:
        return True
    return bool(plan.model.name and _QUANTIZED.search(plan.model.name))
