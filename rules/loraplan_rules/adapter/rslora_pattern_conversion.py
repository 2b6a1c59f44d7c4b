"""The adapter cannot be converted back to the published base.

## What it does
Flags rsLoRA together with `rank_pattern` or `alpha_pattern` and an initialisation that changes the base (PiSSA, OLoRA,
CorDA, LoRA-GA). It stands in place of VAR004.

## Why is this bad?
`path_initial_model_for_weight_conversion` doubles the rank to fold the change of the base into the adapter, which
rsLoRA's root does not survive where ranks differ: the adapter stays bound to the changed base.

## Example
```json
{
  "base_model_name_or_path": "meta-llama/Llama-3.1-8B",
  "peft_type": "LORA",
  "r": 16,
  "lora_alpha": 16,
  "target_modules": ["q_proj", "v_proj", "up_proj"],
  "use_rslora": true,
  "rank_pattern": {"up_proj": 32},
  "init_lora_weights": "olora"
}
```

## Use instead
```json
{
  "base_model_name_or_path": "meta-llama/Llama-3.1-8B",
  "peft_type": "LORA",
  "r": 16,
  "lora_alpha": 16,
  "target_modules": ["q_proj", "v_proj", "up_proj"],
  "use_rslora": true,
  "rank_pattern": {"up_proj": 32},
  "init_lora_weights": true
}
```

## Options
No options.

## Evidence
- peft 0.21.2 `tuners/lora/config.py` `__post_init__`: the warning (run).

## What it does not flag
- An adapter that is trained already.

## Fix safety
No fix: which of the three is to give way cannot be known.
"""

from __future__ import annotations

from collections.abc import Iterator

from loraplan.derived import is_lora
from loraplan.formats.targets import made_by_peft, trained
from loraplan.plan import Plan
from loraplan.rule import Context, Evidence, Finding, rule

_MUTATING = ("pissa", "olora", "corda", "lora_ga")


@rule(
    code="VAR007",
    name="rslora-pattern-conversion",
    severity="warning",
    why="the conversion on saving is impossible with rsLoRA and patterns",
    reads=(
        "adapter.init",
        "adapter.use_rslora",
        "adapter.rank_pattern",
        "adapter.alpha_pattern",
    ),
    suppresses=("VAR004",),
    evidence=(
        Evidence(
            "you won't be able to pass path_initial_model_for_weight_conversion",
            "https://github.com/huggingface/peft/blob/main/src/peft/tuners/lora/config.py",
            "peft 0.21.2, run",
        ),
    ),
)
def check(plan: Plan, ctx: Context) -> Iterator[Finding]:
    adapter = plan.adapter
    if not is_lora(plan) or not made_by_peft(ctx.reading) or trained(ctx.reading) or not adapter.use_rslora:
        return
    if plan.quantization.bits in (4, 8) or not (adapter.init or "").startswith(_MUTATING):
        return  # on a quantized base nothing runs, which VAR004 says
    field = "adapter.rank_pattern" if adapter.rank_pattern else "adapter.alpha_pattern"
    if adapter.rank_pattern or adapter.alpha_pattern:
        yield Finding(
            f"{ctx.said('adapter.init')} with rsLoRA and {ctx.key(field)}: the adapter fits the changed base only",
            at="adapter.init",
            remedy=f"do without {ctx.key('adapter.use_rslora')} or {ctx.key(field)}",
        )
