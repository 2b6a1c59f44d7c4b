"""LoRA settings are written, but LoRA is switched off.

## What it does
Reports a file that sets LoRA's own fields (rank, alpha, targets, ...) while the framework's switch for LoRA is off or
absent.

## Why is this bad?
It is a full fine-tune by accident: 16 bytes a parameter of weights, gradients and Adam states instead of 2 (8B: about
120 GiB instead of 15), or, where it fits, a learning rate ten times too high for full fine-tuning.

## Example
```yaml sft.yaml
model_name_or_path: meta-llama/Llama-3.2-1B
dataset_name: tatsu-lab/alpaca
dtype: bfloat16
lora_r: 16
lora_alpha: 32
lora_target_modules: all-linear
learning_rate: 2.0e-4
lr_scheduler_type: cosine
warmup_steps: 20
per_device_train_batch_size: 2
gradient_accumulation_steps: 4
num_train_epochs: 1
bf16: true
output_dir: out
```

## Use instead
```yaml sft.yaml
model_name_or_path: meta-llama/Llama-3.2-1B
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
bf16: true
output_dir: out
```

## Options
None.

## Evidence
- trl 1.16.0, `trainer/model_config.py`: `use_peft` is False by default and `get_peft_config` then returns None (run).
- oumi 0.9, `core/configs/params/training_params.py`: `use_peft` is False by default; the `peft` section is not read
  without it.
- LLaMA-Factory 0.9.5, `hparams/finetuning_args.py`: LoRA options without `finetuning_type: lora` are refused in
  part.

## What it does not flag
Leftover keys that are null, empty or false. A file that says in so many words that LoRA is off (`use_peft: false`,
`finetuning_type: full`) and sets only one or two of LoRA's fields beside it gets a warning instead of an error, as
does one whose learning rate is that of a full fine-tune (5e-5 or less): both are usually remains of another config,
harmless but misleading. A file that says that LoRA is off and has such a learning rate means it, as axolotl's own
full fine-tunes with an empty `adapter:` do (`examples/archived/falcon/config-7b.yml`@067b021), and gets a note.

## Fix safety
Unsafe: it turns LoRA on.
"""

from __future__ import annotations

from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, Severity, rule
from loraplan_rules.written import one_line

_LISTED = 4


@rule(
    code="CFG004",
    name="lora-settings-without-lora",
    severity="error",
    why="with LoRA switched off this is a full fine-tune: the LoRA settings have no effect",
    reads=("adapter.method", "optimizer.learning_rate"),
    evidence=(
        Evidence(
            "ModelConfig.use_peft is False by default",
            "https://github.com/huggingface/trl/blob/main/trl/trainer/model_config.py",
            "run with trl 1.16.0",
        ),
        Evidence(
            "oumi reads the peft section only with training.use_peft",
            "https://github.com/oumi-ai/oumi/blob/main/src/oumi/core/configs/params/training_params.py",
            "source read at 0.9",
        ),
    ),
    hand_rolled=False,
    without_adapter=True,
)
def check(plan: Plan, ctx: Context) -> Checked:
    reading = ctx.reading
    if plan.adapter.method != "none" or not reading.lora_keys or not reading.switch:
        return
    stated = ctx.explicit("adapter.method")
    rate = plan.optimizer.learning_rate
    few, slow = stated and len(reading.lora_keys) <= 2, rate is not None and rate <= 5e-5
    severity: Severity | None = "info" if stated and slow else "warning" if few or slow else None
    keys = list(reading.lora_keys)
    names = ", ".join(f"`{one_line(key)}`" for key in keys[:_LISTED]) + (", ..." if len(keys) > _LISTED else "")
    cause = f"`{ctx.key('adapter.method')}` turns LoRA off" if stated else f"`{reading.switch}` is missing"
    yield Finding(
        f"{names} {'has' if len(keys) == 1 else 'have'} no effect, because {cause}: this is a full fine-tune",
        at=reading.lora_keys[keys[0]],
        remedy=f"write `{reading.switch}`, or remove the LoRA settings",
        severity=severity,
    )
