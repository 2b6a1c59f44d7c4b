"""DoRA costs time.

## What it does
Mentions DoRA, and says more where the rank is 32 or above or the base is quantized.

## Why is this bad?
DoRA normalises every adapted weight anew in each step: PEFT's documentation measures 139 % more time without caching
and 17 % with, a report 5.5 s a step in place of 2.7. Its gain over LoRA is largest at low ranks; over a quantized base
every weight is dequantized for it.

## Example
```json
{
  "base_model_name_or_path": "meta-llama/Llama-3.1-8B",
  "peft_type": "LORA",
  "r": 16,
  "lora_alpha": 32,
  "target_modules": ["q_proj", "v_proj", "up_proj"],
  "use_dora": true
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
  "use_dora": false
}
```

## Options
No options.

## Evidence
- DoRA (arXiv 2402.09353): the gain is largest at low ranks; its authors speak of about 20 % more time.
- peft issue 1474; PEFT's documentation of DoRA.

## What it does not flag
- An adapter that is trained already.

## Fix safety
No fix: it is a trade, not a mistake.
"""

from __future__ import annotations

from collections.abc import Iterator

from loraplan.derived import finite, is_lora
from loraplan.formats.targets import trained
from loraplan.plan import Plan
from loraplan.rule import Context, Evidence, Finding, rule


@rule(
    code="VAR002",
    name="dora-cost",
    severity="info",
    why="every adapted weight is normalised anew in each step",
    reads=(
        "adapter.use_dora",
        "adapter.r",
        "quantization.bits",
    ),
    evidence=(
        Evidence(
            "gain at low ranks",
            "https://arxiv.org/abs/2402.09353",
            "paper",
        ),
        Evidence(
            "2.7 s a step become 5.5",
            "https://github.com/huggingface/peft/issues/1474",
            "issue thread",
        ),
    ),
)
def check(plan: Plan, ctx: Context) -> Iterator[Finding]:
    adapter = plan.adapter
    if not adapter.use_dora or not is_lora(plan) or trained(ctx.reading):
        return
    r, more = finite(adapter.r), ""
    if plan.quantization.bits in (4, 8):
        more = "; every weight of the quantized base is dequantized for it"
    elif r is not None and r >= 32:
        more = f"; its gain is mainly at low ranks, and {ctx.said('adapter.r')}"
    yield Finding(
        f"{ctx.said('adapter.use_dora')}: DoRA takes about 1.2 to 2 times as long a step{more}",
        at="adapter.use_dora",
        remedy=f"set {ctx.key('adapter.use_dora')} to false where time matters",
    )
