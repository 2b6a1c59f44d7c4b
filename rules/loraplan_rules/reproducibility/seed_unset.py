"""The run draws a random seed.

## What it does
Reports torchtune configs without a seed, or with `seed: null`.

## Why is this bad?
torchtune draws a random one then: the adapter's start and the order of the data differ from run to run, and two
runs cannot be compared.

## Example
```yaml lora.yaml preview
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
seed: null
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

## Use instead
```yaml lora.yaml preview
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
- torchtune 0.6.1, `torchtune/training/seed.py`: set_seed with None draws one.

## What it does not flag
Frameworks with a fixed default: 42 in transformers and axolotl, 1337 in litgpt, 0 in mlx-lm.

## Fix safety
There is none.
"""

from __future__ import annotations

from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, rule
from loraplan_rules.nodes import node, text


@rule(
    code="REP001",
    name="seed-unset",
    severity="info",
    why="without a seed two runs of one config differ",
    reads=("run.seed",),
    evidence=(
        Evidence(
            "set_seed with None draws one",
            "https://github.com/pytorch/torchtune/blob/v0.6.1/torchtune/training/seed.py",
            "source read at 0.6.1",
        ),
    ),
    preview=True,
    hand_rolled=False,
    without_adapter=True,
)
def check(plan: Plan, ctx: Context) -> Checked:
    if ctx.reading.framework != "torchtune" or plan.run.seed is not None:
        return
    place = node(ctx, "seed")
    if place is not None and text(ctx, "seed") is not None:
        return
    yield Finding(
        "no seed: torchtune draws a random one",
        at=place.span if place is not None else "run.seed",
        remedy="write a seed",
    )
