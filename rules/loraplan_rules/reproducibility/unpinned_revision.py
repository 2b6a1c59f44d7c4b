"""The model's revision is not pinned.

## What it does
Reports a model named as on the Hub without a revision: a note, and a warning with `trust_remote_code` where the
model is not known to be transformers' own.

## Why is this bad?
The name stands for whatever is newest: weights, tokenizer and chat template may change between two runs. With
remote code, other code runs.

## Example
```yaml sft.yaml preview
model_name_or_path: internlm/internlm2-7b
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

## Use instead
```yaml sft.yaml preview
model_name_or_path: internlm/internlm2-7b
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
model_revision: 0123456789abcdef0123456789abcdef01234567
```

## Options
None.

## Evidence
- transformers 5.23.0, `modeling_utils.py`, `from_pretrained`: `revision` is "main" by default, and may be a branch, a
  tag or a commit.

## What it does not flag
Local paths, formats without a key for the revision, and hand-rolled files. More than half of the frameworks' own
examples pin nothing, therefore the rule is in preview.

## Fix safety
There is none.
"""

from __future__ import annotations

from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, rule
from loraplan_rules.remote import REMOTE_CODE

_WITH_KEY = frozenset(("trl", "axolotl", "llamafactory", "ms-swift", "oumi", "open-instruct"))


@rule(
    code="REP002",
    name="unpinned-revision",
    severity="info",
    why="a name on the Hub stands for whatever is newest there",
    reads=("model.name", "model.revision", "model.trust_remote_code"),
    evidence=(
        Evidence(
            "revision: pinning a version of a model",
            "https://github.com/huggingface/transformers/blob/main/src/transformers/modeling_utils.py",
            "source read at transformers 5.23.0",
        ),
    ),
    preview=True,
    hand_rolled=False,
    without_adapter=True,
)
def check(plan: Plan, ctx: Context) -> Checked:
    model = plan.model
    name = model.name or ""
    if ctx.reading.format not in _WITH_KEY or model.revision not in (None, "main") or not ctx.explicit("model.name"):
        return
    if name.count("/") != 1 or name.startswith((".", "/", "~")) or name.endswith("/") or "\\" in name or " " in name:
        return
    arch = ctx.arch_or_none if model.trust_remote_code else None
    code = bool(model.trust_remote_code) and (arch is None or arch.model_type in REMOTE_CODE)
    yield Finding(
        f"{name} without a revision: the newest is loaded" + (", its code too" if code else ""),
        at="model.name",
        remedy="name a commit",
        severity="warning" if code else None,
    )
