"""A bias setting has nothing to work on.

## What it does
With the model's architecture known, mentions `bias: all` or `lora_only` where no layer concerned has a bias, and flags
`lora_bias: true` where an adapted layer has none.

## Why is this bad?
Llama, Mistral and Gemma have no biases: the setting does nothing, without a word. `lora_bias` adds one to LoRA's B,
which cannot be merged into a layer that has none.

## Example
```json
{
  "base_model_name_or_path": "meta-llama/Llama-3.1-8B",
  "peft_type": "LORA",
  "r": 16,
  "lora_alpha": 32,
  "target_modules": ["q_proj", "v_proj", "up_proj"],
  "lora_bias": true
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
  "lora_bias": false
}
```

## Options
No options.

## Evidence
- peft 0.21.2: `bias="all"` on Llama trains nothing more; `lora_bias=True` on Linear without bias warns that merging
  will not be possible (run).

## What it does not flag
- Models whose architecture is unknown, and frameworks with LoRA layers of their own.

## Fix safety
Safe for `bias`: nothing changes. For `lora_bias` there is none.
"""

from __future__ import annotations

from collections.abc import Iterator

from loraplan.derived import is_lora
from loraplan.formats.targets import judgeable, made_by_peft
from loraplan.plan import Plan
from loraplan.rule import Context, Evidence, Finding, Fix, Set, rule


@rule(
    code="BIA002",
    name="bias-setting-noop",
    severity="info",
    why="these layers have no bias",
    reads=(
        "adapter.bias",
        "adapter.lora_bias",
        "adapter.target_modules",
        "model.name",
    ),
    needs=("arch",),
    evidence=(
        Evidence(
            "merging LoRA weights won't be possible",
            "https://github.com/huggingface/peft/blob/main/src/peft/tuners/lora/layer.py",
            "peft 0.21.2, run",
        ),
    ),
)
def check(plan: Plan, ctx: Context) -> Iterator[Finding]:
    adapter, reading = plan.adapter, ctx.reading
    if not is_lora(plan) or not made_by_peft(reading):
        return
    if adapter.bias in ("all", "lora_only"):
        everywhere = adapter.bias == "all" or not judgeable(plan, reading)
        modules = ctx.arch.modules if everywhere else ctx.matched.modules
        if modules and not any(m.bias for m in modules):
            key, which = ctx.key("adapter.bias"), "layer" if everywhere else "adapted layer"
            yield Finding(
                f"{ctx.said('adapter.bias')} does nothing: no {which} of {ctx.arch.name} has one",
                at="adapter.bias",
                remedy=f"set {key} to none",
                fix=Fix(f"set {key} to none", (Set("adapter.bias", "none"),), "safe"),
            )
    if adapter.lora_bias and judgeable(plan, reading):
        bare = [m for m in ctx.matched.modules if not m.bias and m.kind in ("Linear", "Conv1D")]
        if bare:
            leaf = bare[0].name.rpartition(".")[2]
            yield Finding(
                f"{ctx.said('adapter.lora_bias')}, but {leaf} of {ctx.arch.name} has no bias: it cannot be merged",
                at="adapter.lora_bias",
                severity="warning",
                remedy=f"set {ctx.key('adapter.lora_bias')} to false",
            )
