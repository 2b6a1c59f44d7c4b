"""Code from the model's repository is run.

## What it does
Notes `trust_remote_code: true` without a pinned revision, and says where transformers has the architecture itself, so
that the switch is not needed.

## Why is this bad?
transformers downloads Python files from the model's repository and runs them, with the rights of the training job.
Whoever may write to that repository may run code on the machine.

## Example
```yaml sft.yaml
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
trust_remote_code: true
```

## Use instead
```yaml sft.yaml
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
trust_remote_code: true
model_revision: 0123456789abcdef0123456789abcdef01234567
```

## Options
None.

## Evidence
- transformers 5.23.0, `dynamic_module_utils.py`: where a file of code is new, "make sure to double-check they do not
  contain any added malicious code. To avoid downloading new versions of the code file, you can pin a revision."

## What it does not flag
Defaults, local paths, and models with a pinned revision. Frameworks' own examples set the switch: xtuner in every
recipe, where Baichuan, ChatGLM and InternLM2 cannot do without it, others for Qwen3 and Llama, which do not need it.
Therefore a note, not a warning.

## Fix safety
Unsafe: a model that changed on the Hub may need its own code.
"""

from __future__ import annotations

from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, Fix, Set, rule
from loraplan_rules.remote import REMOTE_CODE


@rule(
    code="SEC001",
    name="trust-remote-code",
    severity="info",
    why="whoever writes to the model's repository can run code in the training job",
    reads=("model.trust_remote_code", "model.name", "model.revision"),
    evidence=(
        Evidence(
            "you can pin a revision",
            "https://github.com/huggingface/transformers/blob/main/src/transformers/dynamic_module_utils.py",
            "source read at transformers 5.23.0",
        ),
    ),
    without_adapter=True,
)
def check(plan: Plan, ctx: Context) -> Checked:
    model = plan.model
    name = model.name or ""
    if not model.trust_remote_code or not ctx.explicit("model.trust_remote_code"):
        return
    if name.startswith((".", "/", "~")) or (model.revision or "main") != "main":
        return
    arch = ctx.arch_or_none
    key = ctx.key("model.trust_remote_code")
    if arch is not None and arch.model_type not in REMOTE_CODE:
        yield Finding(
            f"{key} is not needed: transformers has {arch.model_type} itself",
            at="model.trust_remote_code",
            remedy=f"set {key} to false",
            fix=Fix(f"set {key} to false", (Set("model.trust_remote_code", False),), "unsafe"),
        )
        return
    yield Finding(
        f"{key} lets code from {name or 'the model'} run, whatever is newest there",
        at="model.trust_remote_code",
        remedy="pin a revision whose code was read",
    )
