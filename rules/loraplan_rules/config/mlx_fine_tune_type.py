"""mlx-lm does not know this kind of fine-tuning.

## What it does
Reports a `fine_tune_type` in an mlx-lm config that is not `lora`, `dora` or `full`.

## Why is this bad?
mlx-lm loads the model and the data and then stops with "Received unknown fine-tune-type". `qlora` is not a kind
there: a quantized model is trained with `lora`.

## Example
```yaml lora_config.yaml
model: mlx-community/Llama-3.2-1B-Instruct-bf16
train: true
fine_tune_type: qlora
optimizer: adamw
data: mlx-community/WikiSQL
num_layers: 16
batch_size: 4
iters: 1000
learning_rate: 1e-4
adapter_path: adapters
max_seq_length: 2048
lr_schedule:
  name: cosine_decay
  warmup: 100
  arguments: [1e-4, 1000]
lora_parameters:
  rank: 16
  scale: 2.0
  dropout: 0.0
```

## Use instead
```yaml lora_config.yaml
model: mlx-community/Llama-3.2-1B-Instruct-bf16
train: true
fine_tune_type: lora
optimizer: adamw
data: mlx-community/WikiSQL
num_layers: 16
batch_size: 4
iters: 1000
learning_rate: 1e-4
adapter_path: adapters
max_seq_length: 2048
lr_schedule:
  name: cosine_decay
  warmup: 100
  arguments: [1e-4, 1000]
lora_parameters:
  rank: 16
  scale: 2.0
  dropout: 0.0
```

## Options
None.

## Evidence
- mlx-lm 0.32.2, `lora.py`: Received unknown fine-tune-type.

## What it does not flag
Configs of other programs.

## Fix safety
There is none.
"""

from __future__ import annotations

from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, rule
from loraplan_rules.nodes import node, text
from loraplan_rules.written import one_line

_KINDS = ("lora", "dora", "full")


@rule(
    code="CFG008",
    name="mlx-fine-tune-type",
    severity="error",
    why="mlx-lm knows lora, dora and full, and stops at anything else",
    reads=("adapter.method",),
    evidence=(
        Evidence(
            "Received unknown fine-tune-type",
            "https://github.com/ml-explore/mlx-lm/blob/main/mlx_lm/lora.py",
            "source read at 0.32.2",
        ),
    ),
    hand_rolled=False,
    without_adapter=True,
)
def check(_plan: Plan, ctx: Context) -> Checked:
    kind, place = text(ctx, "fine_tune_type"), node(ctx, "fine_tune_type")
    if ctx.reading.format != "mlx-lm" or place is None or kind is None or not kind.isidentifier():
        return
    if one_line(kind) in _KINDS:
        return
    yield Finding(
        f"fine_tune_type: {one_line(kind)} is none of lora, dora and full: mlx-lm stops",
        at=place.span,
        remedy="write lora",
    )
