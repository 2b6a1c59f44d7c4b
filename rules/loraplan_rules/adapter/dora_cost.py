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
- PEFT, `docs/source/developer_guides/lora.md`@00336949: better "especially at low ranks", with a bigger overhead than
  LoRA; faster where dropout is 0.
- peft pull request 1474, which introduced it: 2.7 s a step became 5.5, in an improved version 4.5 (a 1.8B model, rank
  64, on a 3080); DoRA's author saw about 20 % on other cards. peft issue 2651: a forward pass in
  training took 2.4 times as long.

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
            "https://huggingface.co/docs/peft/developer_guides/lora",
            "docs",
        ),
        Evidence(
            "2.7 s a step become 5.5",
            "https://github.com/huggingface/peft/pull/1474",
            "pull request read",
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
    device = ctx.gpu_or_none
    if device is not None and ctx.arch_or_none is not None:
        share = ctx.estimate.allocated.expected / device.usable_bytes
        if share > 0.9:
            more += f"; and the run takes {share:.0%} of {device.name}, of which DoRA's copies of weights are a part"
    yield Finding(
        f"{ctx.said('adapter.use_dora')}: DoRA takes about 1.2 to 2 times as long a step{more}",
        at="adapter.use_dora",
        remedy=f"set {ctx.key('adapter.use_dora')} to false where time matters",
    )
