"""Layers are chosen in a way that PEFT refuses.

## What it does
Flags `layers_to_transform` or `layers_pattern` beside targets given as a string (a regular expression or `all-linear`),
and `layers_pattern` without `layers_to_transform`.

## Why is this bad?
PEFT stops when the config is built: with a string the layers belong into the expression, and a pattern alone chooses
none.

## Example
```json
{
  "base_model_name_or_path": "meta-llama/Llama-3.1-8B",
  "peft_type": "LORA",
  "r": 16,
  "lora_alpha": 32,
  "target_modules": "all-linear",
  "layers_to_transform": [30, 31]
}
```

## Use instead
```json
{
  "base_model_name_or_path": "meta-llama/Llama-3.1-8B",
  "peft_type": "LORA",
  "r": 16,
  "lora_alpha": 32,
  "target_modules": ["q_proj", "v_proj"],
  "layers_to_transform": [30, 31]
}
```

## Options
No options.

## Evidence
- peft 0.21.2 `tuners/lora/config.py` `__post_init__`: the three errors (run).

## What it does not flag
- Frameworks that turn a string into a list first, axolotl's `lora_target_linear` among them, and those with LoRA layers
  of their own.

## Fix safety
No fix: whether the layers or the targets are to give way cannot be known.
"""

from __future__ import annotations

from collections.abc import Iterator

from loraplan.derived import is_lora
from loraplan.formats.targets import STRING_TARGETS, made_by_peft
from loraplan.plan import Plan
from loraplan.rule import Context, Evidence, Finding, rule


@rule(
    code="TGT015",
    name="layers-with-string-targets",
    severity="error",
    why="peft chooses layers only beside a list of targets",
    reads=("adapter.target_modules", "adapter.layers_to_transform", "adapter.layers_pattern"),
    evidence=(
        Evidence(
            "layers_to_transform cannot be used when target_modules is a str",
            "https://github.com/huggingface/peft/blob/main/src/peft/tuners/lora/config.py",
            "peft 0.21.2, run",
        ),
    ),
    hand_rolled=False,
)
def check(plan: Plan, ctx: Context) -> Iterator[Finding]:
    adapter, reading = plan.adapter, ctx.reading
    if not is_lora(plan) or not made_by_peft(reading):
        return
    layers, pattern, targets = adapter.layers_to_transform, adapter.layers_pattern, adapter.target_modules
    as_string = isinstance(targets, str) and reading.format in STRING_TARGETS
    if reading.format == "axolotl" and targets == "all-linear":
        as_string = False
    if as_string and (layers or pattern):
        field = "adapter.layers_to_transform" if layers else "adapter.layers_pattern"
        yield Finding(
            f"{ctx.key(field)} with {ctx.said('adapter.target_modules')}, a string: peft stops",
            at=field,
            remedy=f"give {ctx.key('adapter.target_modules')} as a list, or put the layers into the expression",
        )
    elif pattern and layers is None:
        if any(issue.field == "adapter.layers_to_transform" for issue in reading.value_issues):
            return
        yield Finding(
            f"{ctx.said('adapter.layers_pattern')} without {ctx.key('adapter.layers_to_transform')}: peft stops",
            at="adapter.layers_pattern",
            why="a pattern only says where the layers' numbers stand",
            remedy=f"set {ctx.key('adapter.layers_to_transform')}, or remove {ctx.key('adapter.layers_pattern')}",
        )
