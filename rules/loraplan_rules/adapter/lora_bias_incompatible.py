"""`lora_bias` is combined with what PEFT does not allow beside it.

## What it does
Flags `lora_bias: true` together with DoRA, or with an `init_lora_weights` other than true and false.

## Why is this bad?
PEFT stops when the config is built.

## Example
```json
{
  "base_model_name_or_path": "Qwen/Qwen2.5-7B",
  "peft_type": "LORA",
  "r": 16,
  "lora_alpha": 32,
  "target_modules": ["q_proj", "v_proj"],
  "use_dora": true,
  "lora_bias": true
}
```

## Use instead
```json
{
  "base_model_name_or_path": "Qwen/Qwen2.5-7B",
  "peft_type": "LORA",
  "r": 16,
  "lora_alpha": 32,
  "target_modules": ["q_proj", "v_proj"],
  "use_dora": false,
  "lora_bias": true
}
```

## Options
No options.

## Evidence
- peft 0.21.2 `tuners/lora/config.py` `__post_init__`: both errors (run).

## What it does not flag
- Frameworks with LoRA layers of their own.

## Fix safety
No fix: which of the two is meant cannot be known.
"""

from __future__ import annotations

from collections.abc import Iterator

from loraplan.derived import is_lora
from loraplan.formats.targets import made_by_peft
from loraplan.plan import Plan
from loraplan.rule import Context, Evidence, Finding, rule


@rule(
    code="BIA003",
    name="lora-bias-incompatible",
    severity="error",
    why="peft allows lora_bias only with plain LoRA and its usual initialisation",
    reads=(
        "adapter.lora_bias",
        "adapter.use_dora",
        "adapter.init",
    ),
    evidence=(
        Evidence(
            "lora_bias=True is not supported for DoRA",
            "https://github.com/huggingface/peft/blob/main/src/peft/tuners/lora/config.py",
            "peft 0.21.2, run",
        ),
    ),
)
def check(plan: Plan, ctx: Context) -> Iterator[Finding]:
    adapter = plan.adapter
    if not adapter.lora_bias or not is_lora(plan) or not made_by_peft(ctx.reading):
        return
    key = ctx.key("adapter.lora_bias")
    if adapter.use_dora:
        other = ctx.said("adapter.use_dora")
    elif adapter.init not in (None, "true", "false"):
        other = ctx.said("adapter.init")
    else:
        return
    yield Finding(f"{key} with {other}: peft stops", at="adapter.lora_bias", remedy=f"set {key} to false")
