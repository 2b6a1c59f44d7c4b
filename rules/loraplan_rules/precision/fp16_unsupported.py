"""The framework does not train in fp16.

## What it does
Reports float16 as training dtype in torchtune.

## Why is this bad?
torchtune's LoRA recipes raise "fp16 precision is not supported in this recipe. Please use fp32 or bf16." when they
start: they have no loss scaling, without which small float16 gradients become 0.

## Example
```yaml lora.yaml
tokenizer:
  _component_: torchtune.models.llama3.llama3_tokenizer
  path: /tmp/Meta-Llama-3.1-8B-Instruct/original/tokenizer.model
  max_seq_len: 2048
model:
  _component_: torchtune.models.llama3_1.lora_llama3_1_8b
  lora_attn_modules: ['q_proj', 'v_proj', 'output_proj']
  apply_lora_to_mlp: true
  lora_rank: 8
  lora_alpha: 16
  lora_dropout: 0.0
checkpointer:
  _component_: torchtune.training.FullModelHFCheckpointer
  checkpoint_dir: /tmp/Meta-Llama-3.1-8B-Instruct/
  model_type: LLAMA3
dataset:
  _component_: torchtune.datasets.alpaca_cleaned_dataset
seed: 42
batch_size: 2
gradient_accumulation_steps: 8
epochs: 1
optimizer:
  _component_: torch.optim.AdamW
  lr: 3e-4
lr_scheduler:
  _component_: torchtune.training.lr_schedulers.get_cosine_schedule_with_warmup
  num_warmup_steps: 100
loss:
  _component_: torchtune.modules.loss.LinearCrossEntropyLoss
dtype: fp16
```

## Use instead
```yaml lora.yaml
tokenizer:
  _component_: torchtune.models.llama3.llama3_tokenizer
  path: /tmp/Meta-Llama-3.1-8B-Instruct/original/tokenizer.model
  max_seq_len: 2048
model:
  _component_: torchtune.models.llama3_1.lora_llama3_1_8b
  lora_attn_modules: ['q_proj', 'v_proj', 'output_proj']
  apply_lora_to_mlp: true
  lora_rank: 8
  lora_alpha: 16
  lora_dropout: 0.0
checkpointer:
  _component_: torchtune.training.FullModelHFCheckpointer
  checkpoint_dir: /tmp/Meta-Llama-3.1-8B-Instruct/
  model_type: LLAMA3
dataset:
  _component_: torchtune.datasets.alpaca_cleaned_dataset
seed: 42
batch_size: 2
gradient_accumulation_steps: 8
epochs: 1
optimizer:
  _component_: torch.optim.AdamW
  lr: 3e-4
lr_scheduler:
  _component_: torchtune.training.lr_schedulers.get_cosine_schedule_with_warmup
  num_warmup_steps: 100
loss:
  _component_: torchtune.modules.loss.LinearCrossEntropyLoss
dtype: bf16
```

## Options
None.

## Evidence
- torchtune 0.6.1, `recipes/lora_finetune_single_device.py` L128-133; `recipes/lora_finetune_distributed.py`@00360f72
  has the same check.

## What it does not flag
Other frameworks, which scale the loss.

## Fix safety
Unsafe: training changes to bf16.
"""

from __future__ import annotations

from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, Fix, Set, rule

_HALF = ("float16", "fp16", "half")


@rule(
    code="PRC006",
    name="fp16-unsupported",
    severity="error",
    why="torchtune's recipes have no loss scaling and refuse fp16",
    reads=("precision.fp16", "model.dtype"),
    evidence=(
        Evidence(
            "fp16 precision is not supported in this recipe",
            "https://github.com/pytorch/torchtune/blob/v0.6.1/recipes/lora_finetune_single_device.py",
            "source read at 0.6.1",
        ),
    ),
    without_adapter=True,
)
def check(plan: Plan, ctx: Context) -> Checked:
    if ctx.reading.framework != "torchtune":
        return
    if ctx.explicit("precision.fp16") and plan.precision.fp16:
        at, change = "precision.fp16", Set("precision.bf16", True)
    elif ctx.explicit("model.dtype") and (plan.model.dtype or "").lower() in _HALF:
        at, change = "model.dtype", Set("model.dtype", "bfloat16")
    else:
        return
    yield Finding(
        "fp16 is not supported by torchtune's recipes: the run stops when it starts",
        at=at,
        remedy="write dtype: bf16",
        fix=Fix("train in bf16", (change,), "unsafe"),
    )
