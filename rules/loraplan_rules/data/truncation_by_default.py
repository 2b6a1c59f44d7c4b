"""Long examples are cut or dropped at a length that was not chosen.

## What it does
Reports a maximum length that nobody wrote and whose default is 1,024 tokens or less.

## Why is this bad?
TRL cuts examples after 1,024 tokens, axolotl drops rows beyond `sequence_len`, 512 by default: the ends of long
answers, or the long examples themselves, are missing from training, without a word.

## Example
```yaml qlora.yml
base_model: NousResearch/Llama-3.2-1B
adapter: lora
lora_r: 16
lora_alpha: 32
lora_target_linear: true
datasets:
  - path: tatsu-lab/alpaca
    type: alpaca
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
adapter: lora
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
- `max` (1024): defaults up to this are reported.

## Evidence
- trl 1.16.0, `trainer/sft_config.py`: max_length is 1024.
- axolotl 0.19.0, `utils/schemas/config.py`: sequence_len is 512, longer rows are dropped.

## What it does not flag
Written lengths, defaults above 1,024, reinforcement learning, and hand-rolled files. Whether examples are really
longer is not known without their tokens, hence a note.

## Fix safety
There is none.
"""

from __future__ import annotations

from loraplan.derived import family
from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, rule


@rule(
    code="DAT004",
    name="truncation-by-default",
    severity="info",
    why="the framework's default cuts or drops long examples",
    reads=("data.max_length", "method"),
    evidence=(
        Evidence(
            "max_length is 1024",
            "https://github.com/huggingface/trl/blob/main/trl/trainer/sft_config.py",
            "source read at trl 1.16.0",
        ),
        Evidence(
            "sequence_len is 512, longer rows are dropped",
            "https://github.com/axolotl-ai-cloud/axolotl/blob/main/src/axolotl/utils/schemas/config.py",
            "source read at 0.19.0",
        ),
    ),
    options={"max": 1024},
    hand_rolled=False,
    without_adapter=True,
)
def check(plan: Plan, ctx: Context) -> Checked:
    length = plan.data.max_length
    if length is None or not 0 < length <= ctx.options.max or ctx.reading.default("data.max_length") is None:
        return
    if family(plan) in ("rl", "reward") or ctx.reading.facts.get("no_training"):
        return
    drops = ctx.reading.format == "axolotl"
    yield Finding(
        f"{ctx.said('data.max_length')}: longer examples are {'dropped' if drops else 'cut'}",
        at="data.max_length",
        remedy=f"set {ctx.key('data.max_length')} to the length of your examples",
    )
