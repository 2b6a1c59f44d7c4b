"""LoftQ is set up by halves.

## What it does
Flags `init_lora_weights: loftq` without `loftq_config` (an error), `loftq_config` without that initialisation (a
warning), and LoftQ on a base that is loaded in 4 or 8 bits (a warning).

## Why is this bad?
PEFT stops at the first, ignores the configuration at the second. LoftQ quantizes a full-precision base itself so that
the adapter makes up for the error; on a base that is quantized already there is nothing left to make up for.

## Example
```json adapter_config.json preview
{
  "base_model_name_or_path": "meta-llama/Llama-3.1-8B",
  "peft_type": "LORA",
  "r": 16,
  "lora_alpha": 32,
  "target_modules": ["q_proj", "v_proj", "up_proj"],
  "init_lora_weights": "loftq"
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
  "init_lora_weights": "loftq",
  "loftq_config": {"loftq_bits": 4}
}
```

## Options
No options.

## Evidence
- peft 0.21.2 `tuners/lora/config.py` `__post_init__` (the warning: run).
- PEFT, `docs/source/developer_guides/quantization.md`@007b249c: LoftQ does not require the base to be quantized when it
  is loaded; its example loads it whole.

## What it does not flag
- Unsloth, which fills in the configuration; an adapter that is trained already.

## Fix safety
No fix: what was meant cannot be known.
"""

from __future__ import annotations

from collections.abc import Iterator

from loraplan.derived import is_lora
from loraplan.formats.targets import made_by_peft, trained
from loraplan.plan import Plan
from loraplan.rule import Context, Evidence, Finding, rule


@rule(
    code="VAR005",
    name="loftq-misconfigured",
    severity="error",
    why="LoftQ needs its configuration, the initialisation, and a base in full precision",
    reads=(
        "adapter.init",
        "adapter.loftq_config",
        "quantization.bits",
    ),
    preview=True,
    evidence=(
        Evidence(
            "loftq_config must be specified",
            "https://github.com/huggingface/peft/blob/main/src/peft/tuners/lora/config.py",
            "peft 0.21.2, run",
        ),
        Evidence(
            "do not quantize the base",
            "https://huggingface.co/docs/peft/developer_guides/quantization",
            "documentation",
        ),
    ),
)
def check(plan: Plan, ctx: Context) -> Iterator[Finding]:
    adapter, reading = plan.adapter, ctx.reading
    if not is_lora(plan) or not made_by_peft(reading) or reading.format == "unsloth" or trained(reading):
        return
    key = ctx.key("adapter.loftq_config")
    if adapter.init == "loftq":
        if not adapter.loftq_config and "loftq_config" not in reading.document.text:
            yield Finding(
                f"{ctx.said('adapter.init')} without {key}: peft stops",
                at="adapter.init",
                remedy=f"set {key} with loftq_bits: 4",
            )
        if plan.quantization.bits in (4, 8):
            yield Finding(
                f"{ctx.said('adapter.init')} on a base loaded in {plan.quantization.bits:g} bits",
                at="adapter.init",
                severity="warning",
                remedy="load the base in 16 bits: LoftQ quantizes it",
            )
    elif adapter.loftq_config and reading.format != "axolotl":
        yield Finding(
            f"{key} without {ctx.key('adapter.init')} loftq: peft ignores it",
            at="adapter.loftq_config",
            severity="warning",
            remedy=f"set {ctx.key('adapter.init')} to loftq, or remove {key}",
        )
