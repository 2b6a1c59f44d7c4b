"""Gradient checkpointing's kind does not fit this run.

## What it does
Reports `use_reentrant: false` with an adapter under DeepSpeed ZeRO-3, and `use_reentrant: true` in axolotl's
distributed preference tuning or reinforcement learning with QLoRA, and beside `unfrozen_parameters` (an error).

## Why is this bad?
ZeRO-3 gathers weights for each recomputation; the non-reentrant kind compares what it recomputes and stops with
CheckpointError. TRL therefore forces `use_reentrant` to true, axolotl only warns. In the other case axolotl refuses
on more than one card, since the reentrant kind is broken there in TRL.

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
gradient_checkpointing: true
gradient_checkpointing_kwargs:
  use_reentrant: false
deepspeed: deepspeed_configs/zero3.json
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
gradient_checkpointing: true
gradient_checkpointing_kwargs:
  use_reentrant: true
deepspeed: deepspeed_configs/zero3.json
```

## Options
None.

## Evidence
- axolotl 0.19.0, `utils/schemas/validation.py`: warn_qlora_zero3_w_use_reentrant, check_use_reentrant_mismatch,
  check_rl_config_gradient_checkpointing.
- trl 1.16.0, `trainer/sft_trainer.py`: use_reentrant is forced to True with PEFT and ZeRO-3.

## What it does not flag
Absent `use_reentrant`; LoRA without quantization in axolotl, which does not warn there; and frozen embeddings with
the reentrant kind, which stopped older versions and does not stop transformers 5.23.0. In TRL it is a note, since
TRL changes the value itself.

## Fix safety
Unsafe: memory and speed change.
"""

from __future__ import annotations

from loraplan.derived import family
from loraplan.document import Sequence
from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, Fix, Set, rule
from loraplan_rules.nodes import node


@rule(
    code="MEM003",
    name="reentrant-checkpointing",
    severity="warning",
    why="ZeRO-3 with adapters needs the reentrant kind of checkpointing",
    reads=(
        "precision.use_reentrant",
        "precision.gradient_checkpointing",
        "distributed.strategy",
        "quantization.load_in_4bit",
        "method",
    ),
    evidence=(
        Evidence(
            "warn_qlora_zero3_w_use_reentrant, check_use_reentrant_mismatch, check_rl_config_gradient_checkpointing",
            "https://github.com/axolotl-ai-cloud/axolotl/blob/main/src/axolotl/utils/schemas/validation.py",
            "source read at 0.19.0",
        ),
        Evidence(
            "use_reentrant is forced to True with PEFT and ZeRO-3",
            "https://github.com/huggingface/trl/blob/main/trl/trainer/sft_trainer.py",
            "source read at trl 1.16.0",
        ),
    ),
)
def check(plan: Plan, ctx: Context) -> Checked:
    precision, form = plan.precision, ctx.reading.format
    if not precision.gradient_checkpointing or not ctx.explicit("precision.use_reentrant"):
        return
    key, four = ctx.key("precision.use_reentrant"), plan.quantization.load_in_4bit
    if precision.use_reentrant is False and plan.distributed.strategy == "zero3":
        if form == "axolotl" and four:
            cause, forced = "may stop with CheckpointError", False
        elif form in ("trl", "python"):
            cause, forced = "trl sets it to true by itself", True
        else:
            return
        yield Finding(
            f"{key} is false under ZeRO-3: {cause}",
            at="precision.use_reentrant",
            remedy=f"set {key} to true",
            severity="info" if forced else None,
            fix=Fix(f"set {key} to true", (Set("precision.use_reentrant", True),), "unsafe"),
        )
    elif precision.use_reentrant and form == "axolotl" and isinstance(node(ctx, "unfrozen_parameters"), Sequence):
        yield Finding(
            f"{key} is true with unfrozen_parameters: axolotl refuses it",
            at="precision.use_reentrant",
            remedy=f"set {key} to false",
            severity="error",
            fix=Fix(f"set {key} to false", (Set("precision.use_reentrant", False),), "unsafe"),
        )
    elif (
        precision.use_reentrant
        and form == "axolotl"
        and four
        and family(plan) in ("preference", "rl")
        and (plan.distributed.deepspeed or plan.distributed.fsdp)
    ):
        yield Finding(
            f"{key} is true in distributed {plan.method} with QLoRA: axolotl refuses it on more than one card",
            at="precision.use_reentrant",
            remedy=f"set {key} to false",
            fix=Fix(f"set {key} to false", (Set("precision.use_reentrant", False),), "unsafe"),
        )
