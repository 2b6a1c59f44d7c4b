"""`bias` has a value that PEFT does not know.

## What it does
Flags values of `bias` other than `none`, `all` and `lora_only`.

## Why is this bad?
PEFT stops with "Requested bias: ..., is not implemented", after the model has been loaded.

## Example
```json
{
  "base_model_name_or_path": "meta-llama/Llama-3.1-8B",
  "peft_type": "LORA",
  "r": 16,
  "lora_alpha": 32,
  "target_modules": ["q_proj", "v_proj", "up_proj"],
  "bias": "lora"
}
```

## Use instead
```json
{
  "base_model_name_or_path": "meta-llama/Llama-3.1-8B",
  "peft_type": "LORA",
  "r": 16,
  "lora_alpha": 32,
  "target_modules": ["q_proj", "v_proj", "up_proj"],
  "bias": "none"
}
```

## Options
No options.

## Evidence
- peft 0.21.2 `tuners/tuners_utils.py` (run).
- oumi 0.9 `core/configs/params/peft_params.py` hands `lora_bias` on; ludwig 0.11.0 `schema/llms/peft.py` allows the
  same three.

## What it does not flag
- Hand-rolled files, whose script may give the value a meaning; formats that do not hand the key to PEFT.

## Fix safety
No fix: what was meant cannot be known.
"""

from __future__ import annotations

from collections.abc import Iterator

from loraplan.derived import is_lora
from loraplan.plan import Plan
from loraplan.rule import Context, Evidence, Finding, rule

_FORMATS = frozenset(("peft", "python", "unsloth", "loraplan", "llm-toolkit", "oumi", "chatglm", "ludwig"))


@rule(
    code="BIA004",
    name="bias-value-invalid",
    severity="error",
    why="peft knows none, all and lora_only",
    reads=("adapter.bias",),
    hand_rolled=False,
    evidence=(
        Evidence(
            "Requested bias is not implemented",
            "https://github.com/huggingface/peft/blob/main/src/peft/tuners/tuners_utils.py",
            "peft 0.21.2, run",
        ),
    ),
)
def check(plan: Plan, ctx: Context) -> Iterator[Finding]:
    bias = plan.adapter.bias
    if bias in (None, "none", "all", "lora_only") or not is_lora(plan) or ctx.reading.format not in _FORMATS:
        return
    yield Finding(
        f"{ctx.said('adapter.bias')} is none of none, all and lora_only: "
        f"{'ludwig' if ctx.reading.format == 'ludwig' else 'peft'} stops",
        at="adapter.bias",
        remedy=f"set {ctx.key('adapter.bias')} to none",
    )
