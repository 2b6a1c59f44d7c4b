"""Dropout or bias turns off a faster path.

## What it does
Mentions dropout beside DoRA, `bias` other than none in Unsloth, and dropout in an Unsloth release before 2026.

## Why is this bad?
With dropout DoRA has to compute the base layer's output a second time (PEFT's documentation measures 360 s against 279
s). Unsloth skips its fused LoRA kernels with trained biases, and did so with dropout up to its releases of 2025.

## Example
```json adapter_config.json preview
{
  "base_model_name_or_path": "meta-llama/Llama-3.1-8B",
  "peft_type": "LORA",
  "r": 16,
  "lora_alpha": 32,
  "target_modules": ["q_proj", "v_proj", "up_proj"],
  "use_dora": true,
  "lora_dropout": 0.05
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
  "use_dora": true,
  "lora_dropout": 0.0
}
```

## Options
No options.

## Evidence
- PEFT, `docs/source/developer_guides/lora.md`@00336949: DoRA is faster and smaller where dropout is 0 (279 s instead of
  360 in its example).
- unsloth 2026.10.9 `models/llama.py`: kernels skipped for bias; dropout is fused (`kernels/fast_lora.py`). unsloth
  2025.12.10 still printed "Dropout = 0 is supported for fast patching".

## What it does not flag
- Dropout in Unsloth of an unknown version, which is taken for a recent one; an adapter that is trained already.

## Fix safety
Unsafe: dropout 0 changes training.
"""

from __future__ import annotations

from collections.abc import Iterator

from loraplan.derived import finite, is_lora
from loraplan.formats.targets import trained
from loraplan.plan import Plan
from loraplan.rule import Context, Evidence, Finding, Fix, Set, rule


@rule(
    code="DRP004",
    name="dropout-disables-fast-path",
    severity="info",
    why="the faster path works without it only",
    reads=(
        "adapter.dropout",
        "adapter.bias",
        "adapter.use_dora",
    ),
    preview=True,
    evidence=(
        Evidence(
            "kernels skipped",
            "https://github.com/unslothai/unsloth/blob/main/unsloth/models/llama.py",
            "unsloth 2026.10.9 and 2025.12.10",
        ),
        Evidence(
            "DoRA is faster without dropout",
            "https://huggingface.co/docs/peft/developer_guides/lora",
            "documentation",
        ),
    ),
)
def check(plan: Plan, ctx: Context) -> Iterator[Finding]:
    adapter, reading = plan.adapter, ctx.reading
    if not is_lora(plan) or trained(reading):
        return
    dropout = finite(adapter.dropout) or 0
    if reading.format == "unsloth" and adapter.bias in ("all", "lora_only"):
        yield Finding(
            f"{ctx.said('adapter.bias')}: Unsloth skips its fused LoRA kernels",
            at="adapter.bias",
            remedy=f"set {ctx.key('adapter.bias')} to none",
        )
    year = (ctx.version("unsloth") or "").partition(".")[0]
    old = reading.format == "unsloth" and year.isdecimal() and int(year) < 2026
    if not 0 < dropout < 1 or not (old or (adapter.use_dora and reading.format != "unsloth")):
        return
    key = ctx.key("adapter.dropout")
    yield Finding(
        f"{ctx.said('adapter.dropout')} "
        + ("turns off Unsloth's fused kernels" if old else "with DoRA: the base layer's output is computed twice"),
        at="adapter.dropout",
        remedy=f"set {key} to 0",
        fix=Fix(f"set {key} to 0", (Set("adapter.dropout", 0.0),), "unsafe"),
    )
