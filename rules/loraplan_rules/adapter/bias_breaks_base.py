"""The base model's own biases are trained along with the adapter.

## What it does
Flags `bias: all` and `bias: lora_only`. Where the architecture is known and there is no bias to train, BIA002 says so
instead.

## Why is this bad?
PEFT trains the biases of the base layers themselves (a bias on LoRA's B is `lora_bias`). With the adapter disabled or
unloaded the model is then no longer the base: after five steps on a tiny Qwen2 the largest difference of a logit was
0.0005 with `lora_only` and 0.056 with `all`, and 0 with `none`. Only one such adapter fits a model, and some servers
refuse it.

## Example
```json
{
  "base_model_name_or_path": "Qwen/Qwen2.5-7B",
  "peft_type": "LORA",
  "r": 16,
  "lora_alpha": 32,
  "target_modules": ["q_proj", "v_proj", "up_proj"],
  "bias": "lora_only"
}
```

## Use instead
```json
{
  "base_model_name_or_path": "Qwen/Qwen2.5-7B",
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
- peft 0.21.2 `tuners/tuners_utils.py` `_mark_only_adapters_as_trainable`, and the note on `bias` in
  `tuners/lora/config.py` (run on a tiny Qwen2).
- For biases: BitFit trains them alone, with success; here it is about what happens to the base.

## What it does not flag
- Models without biases (Llama, Mistral, Gemma), see BIA002. An adapter that is trained already: an info.

## Fix safety
Unsafe: `none` trains less.
"""

from __future__ import annotations

from collections.abc import Iterator

from loraplan.derived import is_lora
from loraplan.formats.targets import judgeable, made_by_peft, trained
from loraplan.plan import Plan
from loraplan.rule import Context, Evidence, Finding, Fix, Set, rule


@rule(
    code="BIA001",
    name="bias-breaks-base",
    severity="warning",
    why="what is trained is the base layers' own bias: the base cannot be had back by disabling the adapter",
    reads=(
        "adapter.bias",
        "adapter.target_modules",
        "model.name",
    ),
    evidence=(
        Evidence(
            "even when disabling the adapters the model differs",
            "https://github.com/huggingface/peft/blob/main/src/peft/tuners/lora/config.py",
            "peft 0.21.2, run",
        ),
    ),
)
def check(plan: Plan, ctx: Context) -> Iterator[Finding]:
    bias = plan.adapter.bias
    if bias not in ("all", "lora_only") or not is_lora(plan) or not made_by_peft(ctx.reading):
        return
    arch = ctx.arch_or_none
    if arch is not None:
        modules = ctx.matched.modules if bias == "lora_only" and judgeable(plan, ctx.reading) else arch.modules
        if not any(m.bias for m in modules):
            return
    key = ctx.key("adapter.bias")
    yield Finding(
        f"{ctx.said('adapter.bias')} trains the base layers' own biases: without the adapter the base is not restored",
        at="adapter.bias",
        severity="info" if trained(ctx.reading) else None,
        remedy=f"set {key} to none",
        fix=Fix(f"set {key} to none", (Set("adapter.bias", "none"),), "unsafe"),
    )
