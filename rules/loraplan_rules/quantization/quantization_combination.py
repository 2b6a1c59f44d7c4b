"""The quantization cannot be combined with the rest of the run.

## What it does
Reports litgpt with bitsandbytes and a mixed precision, another optimizer than AdamW, or more than one device;
LLaMA-Factory with bitsandbytes in 8 bits under FSDP or DeepSpeed ZeRO-3, its FP8 training on a quantized base, and
`quantization_device_map: auto` in training; axolotl with a quantized base under FSDP2 in DPO, IPO, KTO or ORPO, and
its `qat` with a quantized base.

## Why is this bad?
Each framework stops with an error when the model is set up.

## Example
```yaml lora.yaml
checkpoint_dir: checkpoints/meta-llama/Llama-3.2-1B
out_dir: out/finetune/lora
precision: bf16-true
devices: 2
quantize: bnb.nf4
lora_r: 16
lora_alpha: 32
lora_dropout: 0.0
lora_query: true
lora_key: true
lora_value: true
lora_projection: true
lora_mlp: true
data:
  class_path: litgpt.data.Alpaca2k
train:
  global_batch_size: 8
  micro_batch_size: 2
  lr_warmup_steps: 20
  epochs: 1
  max_seq_length: 2048
optimizer:
  class_path: torch.optim.AdamW
  init_args:
    lr: 0.0002
```

## Use instead
```yaml lora.yaml
checkpoint_dir: checkpoints/meta-llama/Llama-3.2-1B
out_dir: out/finetune/lora
precision: bf16-true
devices: 1
quantize: bnb.nf4
lora_r: 16
lora_alpha: 32
lora_dropout: 0.0
lora_query: true
lora_key: true
lora_value: true
lora_projection: true
lora_mlp: true
data:
  class_path: litgpt.data.Alpaca2k
train:
  global_batch_size: 8
  micro_batch_size: 2
  lr_warmup_steps: 20
  epochs: 1
  max_seq_length: 2048
optimizer:
  class_path: torch.optim.AdamW
  init_args:
    lr: 0.0002
```

## Options
None.

## Evidence
- litgpt 0.5.13, `finetune/lora.py`: Quantization and mixed precision is not supported; not for multi-GPU training.
- LLaMA-Factory 0.9.5, `model/model_utils/quantization.py`: Only 4-bit quantized model can use fsdp+qlora.
- LLaMA-Factory 0.9.5, `hparams/parser.py`: FP8 training is not compatible with quantization.
- axolotl 0.19.0, `utils/schemas/validation.py`: FSDP2 does not support load_in_8bit or load_in_4bit with these
  methods.

## What it does not flag
Combinations that are only slow, and other frameworks.

## Fix safety
There is none.
"""

from __future__ import annotations

from loraplan.derived import number
from loraplan.document import Mapping
from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, rule
from loraplan_rules.nodes import node, on, text


@rule(
    code="QNT009",
    name="quantization-combination",
    severity="error",
    why="the framework refuses this combination",
    reads=(
        "quantization.bits",
        "quantization.load_in_4bit",
        "quantization.load_in_8bit",
        "distributed.strategy",
        "distributed.devices",
        "method",
    ),
    evidence=(
        Evidence(
            "Quantization and mixed precision is not supported; not for multi-GPU training",
            "https://github.com/Lightning-AI/litgpt/blob/main/litgpt/finetune/lora.py",
            "source read at 0.5.13",
        ),
        Evidence(
            "Only 4-bit quantized model can use fsdp+qlora",
            "https://github.com/hiyouga/LLaMA-Factory/blob/main/src/llamafactory/model/model_utils/quantization.py",
            "source read at 0.9.5",
        ),
        Evidence(
            "FP8 training is not compatible with quantization",
            "https://github.com/hiyouga/LLaMA-Factory/blob/main/src/llamafactory/hparams/parser.py",
            "source read at 0.9.5",
        ),
        Evidence(
            "FSDP2 does not support load_in_8bit or load_in_4bit with these methods",
            "https://github.com/axolotl-ai-cloud/axolotl/blob/main/src/axolotl/utils/schemas/validation.py",
            "source read at 0.19.0",
        ),
    ),
    hand_rolled=False,
    without_adapter=True,
)
def check(plan: Plan, ctx: Context) -> Checked:
    form = ctx.reading.format
    if form == "litgpt":
        yield from _litgpt(plan, ctx)
    elif form == "llamafactory":
        yield from _llamafactory(plan, ctx)
    elif form == "axolotl":
        yield from _axolotl(plan, ctx)


def _litgpt(plan: Plan, ctx: Context) -> Checked:
    kind, place = text(ctx, "quantize") or "", node(ctx, "quantize")
    if place is None or not kind.startswith("bnb."):
        return
    if "mixed" in (text(ctx, "precision") or ""):
        yield Finding(
            f"quantize {kind} with precision {text(ctx, 'precision')}: litgpt refuses quantization in mixed precision",
            at=place.span,
            remedy="set precision to bf16-true",
        )
    chosen = text(ctx, "optimizer.class_path") or text(ctx, "optimizer")
    if chosen is not None and "adamw" not in chosen:
        yield Finding(
            f"quantize {kind} with {ctx.said('optimizer.name')}: litgpt's quantization knows AdamW only",
            at=place.span,
            remedy="set the optimizer to AdamW",
        )
    if (plan.distributed.devices or 1) > 1:
        yield Finding(
            f"quantize {kind} on {plan.distributed.devices} devices: litgpt quantizes on one only",
            at=place.span,
            remedy="set devices to 1, or remove quantize",
        )


def _llamafactory(plan: Plan, ctx: Context) -> Checked:
    bits, strategy = plan.quantization.bits, plan.distributed.strategy
    place = node(ctx, "quantization_bit")
    if place is None or text(ctx, "quantization_bit") is None:
        return
    bnb = plan.quantization.method in (None, "bnb")
    if bnb and bits not in (4, None) and strategy in ("zero3", "fsdp", "fsdp2"):
        yield Finding(
            f"quantization_bit {number(bits)} with {strategy}: LLaMA-Factory shards 4-bit weights only",
            at=place.span,
            remedy="set quantization_bit to 4",
        )
    mapped = node(ctx, "quantization_device_map")
    if mapped is not None and text(ctx, "quantization_device_map") == "auto" and on(ctx, "do_train"):
        yield Finding(
            "quantization_device_map auto in training: LLaMA-Factory refuses it",
            at=mapped.span,
            remedy="remove quantization_device_map",
        )
    if on(ctx, "fp8"):
        yield Finding(
            "quantization_bit with fp8: LLaMA-Factory refuses FP8 training on a quantized base",
            at=place.span,
            remedy="remove fp8, or quantization_bit",
        )


def _axolotl(plan: Plan, ctx: Context) -> Checked:
    for key in ("load_in_4bit", "load_in_8bit"):
        place = node(ctx, key)
        if place is None or not on(ctx, key):
            continue
        if plan.distributed.strategy == "fsdp2" and plan.method in ("dpo", "ipo", "kto", "orpo"):
            yield Finding(
                f"{key} with FSDP2 and {plan.method}: axolotl refuses it",
                at=place.span,
                remedy="use DeepSpeed, or set fsdp_version to 1",
            )
        if node(ctx, "qat") is not None and text(ctx, "qat") is None and isinstance(node(ctx, "qat"), Mapping):
            yield Finding(f"{key} with qat: axolotl refuses the two", at=place.span, remedy=f"remove {key}, or qat")
