"""The way of sharding is not supported by this LoRA run.

## What it does
Reports LLaMA-Factory's Unsloth or KTransformers backend with DeepSpeed ZeRO-3, GaLore or APOLLO with DeepSpeed, and
tensor parallelism in torchtune's LoRA recipes.

## Why is this bad?
LLaMA-Factory stops with "Unsloth is incompatible with DeepSpeed ZeRO-3."; torchtune's distributed LoRA recipe has
no tensor parallelism (0.6.1 has no such key, later versions raise).

## Example
```yaml llama3_lora_sft.yaml
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
use_unsloth: true
deepspeed: examples/deepspeed/ds_z3_config.json
```

## Use instead
```yaml llama3_lora_sft.yaml
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
use_unsloth: true
deepspeed: examples/deepspeed/ds_z2_config.json
```

## Options
None.

## Evidence
- LLaMA-Factory 0.9.5, `hparams/parser.py`: Unsloth and KTransformers are refused with ZeRO-3.
- torchtune: tensor parallelism is in the full fine-tuning recipe only (pull request 2501; 2204, for LoRA, is open).
  bd2a0fc, `recipes/lora_finetune_distributed.py`, refuses it (not re-read; 0.6.1 has no such key).

## What it does not flag
DeepSpeed configs whose stage cannot be told from their name.

## Fix safety
There is none.
"""

from __future__ import annotations

from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, rule
from loraplan_rules.nodes import node, on

_WITHOUT_ZERO3 = ("use_unsloth", "use_kt")
_WITHOUT_DEEPSPEED = ("use_galore", "use_apollo")


@rule(
    code="DST002",
    name="sharding-unsupported",
    severity="error",
    why="the framework refuses this combination, after every node has started",
    reads=("distributed.strategy", "distributed.deepspeed", "distributed.tensor_parallel", "adapter.method"),
    evidence=(
        Evidence(
            "Unsloth and KTransformers are refused with ZeRO-3",
            "https://github.com/hiyouga/LLaMA-Factory/blob/main/src/llamafactory/hparams/parser.py",
            "source read at 0.9.5",
        ),
        Evidence(
            "tensor parallelism is not in the LoRA recipe",
            "https://github.com/meta-pytorch/torchtune/pull/2501",
            "pull request read",
        ),
    ),
    hand_rolled=False,
    without_adapter=True,
)
def check(plan: Plan, ctx: Context) -> Checked:
    distributed = plan.distributed
    if ctx.reading.format == "llamafactory" and distributed.deepspeed:
        keys = _WITHOUT_ZERO3 if distributed.strategy == "zero3" else ()
        for key in (*keys, *_WITHOUT_DEEPSPEED):
            place = node(ctx, key)
            if place is not None and on(ctx, key) and (key in keys or plan.adapter.method != "lora"):
                yield Finding(
                    f"{key} with DeepSpeed{' ZeRO-3' if key in keys else ''}: LLaMA-Factory refuses it",
                    at=place.span,
                    remedy=f"remove {key}" + (", or use ZeRO-2" if key in keys else ""),
                )
    many = (distributed.tensor_parallel or 1) > 1
    if ctx.reading.framework == "torchtune" and plan.adapter.method == "lora" and many:
        yield Finding(
            f"{ctx.said('distributed.tensor_parallel')}: torchtune's LoRA recipes have no tensor parallelism",
            at="distributed.tensor_parallel",
            remedy=f"set {ctx.key('distributed.tensor_parallel')} to 1",
        )
