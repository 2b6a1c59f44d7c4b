"""Activations are offloaded, but not checkpointed.

## What it does
Reports activation offloading without gradient checkpointing in axolotl and torchtune.

## Why is this bad?
Offloading moves the checkpoints of activations to the host; without checkpointing there are none. axolotl and
torchtune's recipes stop with an error.

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
dtype: bf16
enable_activation_checkpointing: false
enable_activation_offloading: true
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
enable_activation_checkpointing: true
enable_activation_offloading: true
```

## Options
None.

## Evidence
- axolotl 0.19.0, `utils/schemas/validation.py`: activation_offloading requires gradient_checkpointing.
- torchtune 0.6.1, `recipes/lora_finetune_single_device.py`: enable_activation_offloading should only be True when
  enable_activation_checkpointing is True.

## What it does not flag
Frameworks that offload without checkpointing (TRL).

## Fix safety
There is none.
"""

from __future__ import annotations

from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, rule
from loraplan_rules.nodes import node, text


@rule(
    code="PRC007",
    name="offloading-without-checkpointing",
    severity="error",
    why="both frameworks refuse to offload activations without checkpointing",
    reads=("precision.activation_offloading", "precision.gradient_checkpointing"),
    evidence=(
        Evidence(
            "activation_offloading requires gradient_checkpointing",
            "https://github.com/axolotl-ai-cloud/axolotl/blob/main/src/axolotl/utils/schemas/validation.py",
            "source read at 0.19.0",
        ),
        Evidence(
            "enable_activation_offloading should only be True when enable_activation_checkpointing is True",
            "https://github.com/pytorch/torchtune/blob/v0.6.1/recipes/lora_finetune_single_device.py",
            "source read at 0.6.1",
        ),
    ),
    hand_rolled=False,
    without_adapter=True,
)
def check(plan: Plan, ctx: Context) -> Checked:
    if ctx.reading.framework not in ("axolotl", "torchtune") or plan.precision.gradient_checkpointing:
        return
    axolotl = ctx.reading.framework == "axolotl"
    key = "activation_offloading" if axolotl else "enable_activation_offloading"
    place, value = node(ctx, key), text(ctx, key)
    if place is None or value in (None, "false"):
        return
    switch = "gradient_checkpointing" if axolotl else "enable_activation_checkpointing"
    yield Finding(
        f"{key} without {switch}: {ctx.reading.framework} refuses it",
        at=place.span,
        remedy=f"set {switch} to true",
    )
