"""A configuration of an initialisation stands without that initialisation.

## What it does
Flags `eva_config` and `corda_config` where `init_lora_weights` is something else. LoftQ is VAR005.

## Why is this bad?
PEFT ignores it, with a warning when the config is built: the adapter starts as usual.

## Example
```json
{
  "base_model_name_or_path": "meta-llama/Llama-3.1-8B",
  "peft_type": "LORA",
  "r": 16,
  "lora_alpha": 32,
  "target_modules": ["q_proj", "v_proj", "up_proj"],
  "eva_config": {"rho": 2.0}
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
  "init_lora_weights": "eva",
  "eva_config": {"rho": 2.0}
}
```

## Options
No options.

## Evidence
- peft 0.21.2 `tuners/lora/config.py` `__post_init__`: "`eva_config` specified but will be ignored when
  `init_lora_weights` is not 'eva'" (run).

## What it does not flag
- An adapter that is trained already; empty configurations.

## Fix safety
No fix: whether the initialisation or its configuration was meant cannot be known.
"""

from __future__ import annotations

from collections.abc import Iterator

from loraplan.derived import is_lora
from loraplan.formats.targets import made_by_peft, trained
from loraplan.plan import Plan
from loraplan.rule import Context, Evidence, Finding, rule
from loraplan_rules.keys import entry


@rule(
    code="VAR006",
    name="init-config-ignored",
    severity="warning",
    why="peft reads it only for the initialisation that it belongs to",
    reads=("adapter.init",),
    hand_rolled=False,
    evidence=(
        Evidence(
            "specified but will be ignored",
            "https://github.com/huggingface/peft/blob/main/src/peft/tuners/lora/config.py",
            "peft 0.21.2, run",
        ),
    ),
)
def check(plan: Plan, ctx: Context) -> Iterator[Finding]:
    if not is_lora(plan) or not made_by_peft(ctx.reading) or trained(ctx.reading):
        return
    if any(issue.field == "adapter.init" for issue in ctx.reading.value_issues):
        return
    for init in ("eva", "corda"):
        place = entry(ctx.reading, f"{init}_config") if plan.adapter.init != init else None
        if place is not None:
            yield Finding(
                f"{init}_config is ignored: {ctx.said('adapter.init')}",
                at=place.value.span,
                remedy=f"set {ctx.key('adapter.init')} to {init}, or remove {init}_config",
            )
