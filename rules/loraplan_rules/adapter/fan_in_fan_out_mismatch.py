"""`fan_in_fan_out` disagrees with the layers that are adapted.

## What it does
With the model's architecture known, mentions `fan_in_fan_out: true` where only linear layers are adapted, and a written
`false` where only transposed ones are (`Conv1D` of GPT-2 and its kin).

## Why is this bad?
PEFT corrects the flag with a warning, so the run is right; the config says something else than what happens.

## Example
```json adapter_config.json preview
{
  "base_model_name_or_path": "meta-llama/Llama-3.1-8B",
  "peft_type": "LORA",
  "r": 16,
  "lora_alpha": 32,
  "target_modules": ["q_proj", "v_proj", "up_proj"],
  "fan_in_fan_out": true
}
```

## Use instead
```json adapter_config.json preview
{
  "base_model_name_or_path": "meta-llama/Llama-3.1-8B",
  "peft_type": "LORA",
  "r": 16,
  "lora_alpha": 32,
  "target_modules": ["q_proj", "v_proj", "up_proj"],
  "fan_in_fan_out": false
}
```

## Options
No options.

## Evidence
- peft 0.21.2 `tuners/lora/layer.py`: "fan_in_fan_out is set to True but the target module is `torch.nn.Linear`. Setting
  fan_in_fan_out to False" (run, both ways).

## What it does not flag
- Mixed targets, frameworks with LoRA layers of their own, and models whose architecture is unknown.

## Fix safety
Safe: PEFT does the same.
"""

from __future__ import annotations

from collections.abc import Iterator

from loraplan.derived import is_lora
from loraplan.formats.targets import judgeable
from loraplan.plan import Plan
from loraplan.rule import Context, Evidence, Finding, Fix, Set, rule


@rule(
    code="ARC002",
    name="fan-in-fan-out-mismatch",
    severity="info",
    why="peft sets the flag by the layer's class, whatever the config says",
    reads=(
        "adapter.fan_in_fan_out",
        "adapter.target_modules",
        "model.name",
    ),
    preview=True,
    needs=("arch",),
    evidence=(
        Evidence(
            "Setting fan_in_fan_out to False",
            "https://github.com/huggingface/peft/blob/main/src/peft/tuners/lora/layer.py",
            "peft 0.21.2, run",
        ),
    ),
)
def check(plan: Plan, ctx: Context) -> Iterator[Finding]:
    flag = plan.adapter.fan_in_fan_out
    if flag is None or not is_lora(plan) or not ctx.explicit("adapter.fan_in_fan_out"):
        return
    if not judgeable(plan, ctx.reading):
        return
    kinds = {m.kind for m in ctx.matched.modules}
    if kinds != ({"Linear"} if flag else {"Conv1D"}):
        return
    key, right = ctx.key("adapter.fan_in_fan_out"), "false" if flag else "true"
    yield Finding(
        f"{ctx.said('adapter.fan_in_fan_out')}, but the adapted layers of {ctx.arch.name} are {kinds.pop()}",
        at="adapter.fan_in_fan_out",
        remedy=f"set {key} to {right}",
        fix=Fix(f"set {key} to {right}", (Set("adapter.fan_in_fan_out", not flag),), "safe"),
    )
