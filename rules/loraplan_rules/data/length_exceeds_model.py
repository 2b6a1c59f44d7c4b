"""The sequences may be longer than the model's positions.

## What it does
Reports a maximum length above the model's `max_position_embeddings`: an error for learned positions (GPT-2, OPT,
GPT-Neo), a warning for rotary ones without scaling, a note where packed examples each start at position 0 again.

## Why is this bad?
Learned positions are a table: an index beyond it stops the run, on CUDA with an assertion that names no cause.
Rotary positions beyond the trained range give attention that the model has never seen, and the loss rises.

## Example
```yaml sft.yaml
model_name_or_path: huggyllama/llama-7b
dataset_name: tatsu-lab/alpaca
dtype: bfloat16
use_peft: true
lora_r: 16
lora_alpha: 32
lora_target_modules: all-linear
learning_rate: 2.0e-4
lr_scheduler_type: cosine
warmup_steps: 20
per_device_train_batch_size: 2
gradient_accumulation_steps: 4
num_train_epochs: 1
max_length: 8192
bf16: true
output_dir: out
```

## Use instead
```yaml sft.yaml
model_name_or_path: huggyllama/llama-7b
dataset_name: tatsu-lab/alpaca
dtype: bfloat16
use_peft: true
lora_r: 16
lora_alpha: 32
lora_target_modules: all-linear
learning_rate: 2.0e-4
lr_scheduler_type: cosine
warmup_steps: 20
per_device_train_batch_size: 2
gradient_accumulation_steps: 4
num_train_epochs: 1
max_length: 2048
bf16: true
output_dir: out
```

## Options
None.

## Evidence
- <https://huggingface.co/docs/transformers/model_doc/llama>: max_position_embeddings in the models' configurations.
- Packing with positions that start again: axolotl 0.19.0 `utils/trainer.py` (add_position_ids), torchtune 0.6.1
  `datasets/_packed.py`, LLaMA-Factory 0.9.5 `data/processor/supervised.py`. There only an example that is longer
  alone leaves the range; axolotl's TinyLlama examples pack short ones to twice the model's positions.

## What it does not flag
Lengths up to the limit; up to 32 times the limit (a judgement), models whose configuration scales the rotary positions
and configs that set a scaling themselves.

## Fix safety
Unsafe: longer examples are cut.
"""

from __future__ import annotations

from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, Fix, Set, Skip, rule

_LEARNED = frozenset(("gpt2", "gpt_neo", "opt", "gpt_bigcode"))
_FACTOR = 32
_RESTARTING = frozenset(("axolotl", "torchtune", "llamafactory"))
"""Formats whose packing numbers the positions of every example from 0."""
_SCALED = ("rope_scaling", "rope_theta", "rope_parameters", "overrides_of_model_config", "long_context", "shift_attn")


@rule(
    code="DAT001",
    name="length-exceeds-model",
    severity="warning",
    why="the model has no trained positions beyond its limit",
    reads=("data.max_length", "data.packing", "model.name"),
    evidence=(
        Evidence(
            "max_position_embeddings in the models' configurations",
            "https://huggingface.co/docs/transformers/model_doc/llama",
            "docs",
        ),
    ),
    needs=("arch",),
    without_adapter=True,
)
def check(plan: Plan, ctx: Context) -> Checked:
    length = plan.data.max_length
    if length is None or length <= 0 or not ctx.explicit("data.max_length"):
        return
    arch = ctx.arch
    limit, learned = arch.max_positions, arch.model_type in _LEARNED
    if limit is None:
        raise Skip("arch", f"the number of positions of {arch.name} is unknown")
    if length <= limit or (arch.rope_scaling and not learned and length <= _FACTOR * limit):
        return
    if not learned and length <= _FACTOR * limit and any(word in ctx.reading.document.text for word in _SCALED):
        return
    packed = bool(plan.data.packing) and ctx.reading.format in _RESTARTING and not learned
    yield Finding(
        f"{ctx.said('data.max_length')}: {arch.name} has {limit} positions"
        + (", which an example may pass that is longer alone" if packed else ""),
        at="data.max_length",
        remedy=f"set {ctx.key('data.max_length')} to {limit} or less" + ("" if learned else ", or scale the positions"),
        severity="error" if learned else "info" if packed else None,
        fix=Fix(f"set {ctx.key('data.max_length')} to {limit}", (Set("data.max_length", limit),), "unsafe"),
    )
