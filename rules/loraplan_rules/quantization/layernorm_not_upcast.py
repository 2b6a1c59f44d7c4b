"""The norms stay in 16 bits in quantized training.

## What it does
Reports a quantized LLaMA-Factory run without `upcast_layernorm`.

## Why is this bad?
The norms of a quantized model keep the 16-bit type that it was loaded in; LLaMA-Factory advises to compute them in
float32 and warns "We recommend enable `upcast_layernorm` in quantized training."

## Example
```yaml llama3_lora_sft.yaml preview
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
quantization_bit: 4
```

## Use instead
```yaml llama3_lora_sft.yaml preview
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
quantization_bit: 4
upcast_layernorm: true
```

## Options
None.

## Evidence
- LLaMA-Factory 0.9.5, `hparams/parser.py`: "We recommend enable `upcast_layernorm` in quantized training.".

## What it does not flag
Other frameworks. In preview: LLaMA-Factory's own examples leave it off, and no figures are known.

## Fix safety
There is none.
"""

from __future__ import annotations

from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, rule
from loraplan_rules.nodes import node, on, text


@rule(
    code="QNT011",
    name="layernorm-not-upcast",
    severity="info",
    why="LLaMA-Factory advises float32 norms in quantized training",
    reads=("quantization.bits",),
    evidence=(
        Evidence(
            '"We recommend enable `upcast_layernorm` in quantized training."',
            "https://github.com/hiyouga/LLaMA-Factory/blob/main/src/llamafactory/hparams/parser.py",
            "source read at 0.9.5",
        ),
    ),
    preview=True,
    hand_rolled=False,
)
def check(_plan: Plan, ctx: Context) -> Checked:
    place = node(ctx, "quantization_bit")
    if ctx.reading.format != "llamafactory" or place is None or text(ctx, "quantization_bit") is None:
        return
    if on(ctx, "upcast_layernorm") or ctx.reading.facts.get("no_training"):
        return
    yield Finding(
        "quantized training without upcast_layernorm: the norms stay in 16 bits",
        at=place.span,
        remedy="set upcast_layernorm to true",
    )
