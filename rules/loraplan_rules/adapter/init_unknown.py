"""`init_lora_weights` has a value that PEFT does not know.

## What it does
Flags values of `init_lora_weights` other than true, false, gaussian, eva, olora, pissa, pissa_niter_N, corda, loftq,
orthogonal, mica and lora_ga.

## Why is this bad?
PEFT stops with "Unknown initialization init_lora_weights=...", after the model has been loaded.

## Example
```json
{
  "base_model_name_or_path": "meta-llama/Llama-3.1-8B",
  "peft_type": "LORA",
  "r": 16,
  "lora_alpha": 32,
  "target_modules": ["q_proj", "v_proj", "up_proj"],
  "init_lora_weights": "pisa"
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
  "init_lora_weights": "gaussian"
}
```

## Options
No options.

## Evidence
- peft 0.21.2 `tuners/lora/layer.py` `reset_lora_parameters` (run), `tuners/lora/config.py`.

## What it does not flag
- Frameworks with words of their own for it (oumi, ms-swift, ludwig), hand-rolled files, an adapter that is trained
  already.

## Fix safety
Safe where the value is one edit away from exactly one that PEFT knows; otherwise there is none.
"""

from __future__ import annotations

from collections.abc import Iterator

from loraplan.derived import is_lora
from loraplan.formats.targets import trained
from loraplan.plan import Plan
from loraplan.rule import Context, Evidence, Finding, Fix, Set, rule

_KNOWN = frozenset("true false gaussian eva olora pissa corda loftq orthogonal mica lora_ga".split())
_FORMATS = frozenset(("peft", "python", "axolotl", "loraplan", "chatglm"))


@rule(
    code="VAR008",
    name="init-unknown",
    severity="error",
    why="peft knows no such initialisation and stops",
    reads=("adapter.init",),
    hand_rolled=False,
    evidence=(
        Evidence(
            "Unknown initialization",
            "https://github.com/huggingface/peft/blob/main/src/peft/tuners/lora/layer.py",
            "peft 0.21.2, run",
        ),
    ),
)
def check(plan: Plan, ctx: Context) -> Iterator[Finding]:
    init = plan.adapter.init
    if init is None or not is_lora(plan) or ctx.reading.format not in _FORMATS or trained(ctx.reading):
        return
    if init in _KNOWN or (init.startswith("pissa_niter_") and init[len("pissa_niter_") :].isdecimal()):
        return
    from loraplan.formats.table import edit_distance

    close = [name for name in sorted(_KNOWN) if edit_distance(init, name, 1) <= 1]
    key, near = ctx.key("adapter.init"), close[0] if len(close) == 1 else None
    yield Finding(
        f"{ctx.said('adapter.init')}: peft knows no such initialisation and stops",
        at="adapter.init",
        remedy=f"write {near}" if near else f"set {key} to true",
        fix=Fix(f"set {key} to {near}", (Set("adapter.init", near),), "safe") if near else None,
    )
