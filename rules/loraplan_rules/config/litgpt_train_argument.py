"""litgpt's LoRA recipe refuses this training argument.

## What it does
Reports `max_norm`, `max_tokens`, `tie_embeddings` or `lr_warmup_fraction` with a value in a litgpt LoRA config, and
`epochs` or `eval.max_new_tokens` written as null.

## Why is this bad?
litgpt shares one set of arguments between pretraining and fine-tuning; the LoRA recipe stops with "doesn't support
the 'max_norm' argument". Gradient clipping, for one, does not exist there.

## Example
```yaml lora.yaml
checkpoint_dir: checkpoints/meta-llama/Llama-3.2-1B
out_dir: out/finetune/lora
precision: bf16-true
devices: 1
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
  max_norm: 1.0
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
- litgpt 0.5.13, `finetune/lora.py`: validate_args.

## What it does not flag
The keys left empty, as in litgpt's own configs.

## Fix safety
There is none.
"""

from __future__ import annotations

from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, rule
from loraplan_rules.nodes import node, text

_REFUSED = ("max_tokens", "max_norm", "tie_embeddings", "lr_warmup_fraction")
_REQUIRED = ("train.epochs", "eval.max_new_tokens")


@rule(
    code="CFG007",
    name="litgpt-train-argument",
    severity="error",
    why="litgpt validates the arguments before it loads the model and stops",
    reads=("optimizer.max_grad_norm", "schedule.epochs"),
    evidence=(
        Evidence(
            "validate_args",
            "https://github.com/Lightning-AI/litgpt/blob/main/litgpt/finetune/lora.py",
            "source read at 0.5.13",
        ),
    ),
    hand_rolled=False,
)
def check(_plan: Plan, ctx: Context) -> Checked:
    if ctx.reading.format != "litgpt":
        return
    for key in _REFUSED:
        place = node(ctx, f"train.{key}")
        if place is not None and text(ctx, f"train.{key}") is not None:
            yield Finding(
                f"train.{key} is not supported by litgpt's LoRA recipe: it stops",
                at=place.span,
                remedy=f"remove {key}",
            )
    for key in _REQUIRED:
        place = node(ctx, key)
        if place is not None and place.span.end > place.span.start and text(ctx, key) is None:
            yield Finding(f"{key} is null: litgpt's LoRA recipe needs it", at=place.span, remedy=f"write {key}")
