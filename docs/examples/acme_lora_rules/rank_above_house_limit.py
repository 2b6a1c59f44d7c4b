"""The rank is above what Acme serves.

## What it does
Reports a rank above the option `max`.

## Why is this bad?
Acme's inference servers are started with `--max-lora-rank 32` and refuse larger adapters.
"""

from __future__ import annotations

from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, rule


@rule(
    code="ACM001",
    name="rank-above-house-limit",
    severity="error",
    why="the inference servers refuse adapters of a larger rank",
    reads=("adapter.r",),
    evidence=(Evidence("Acme's serving handbook", "https://handbook.acme.example/lora", "2026-11"),),
    options={"max": 32},
)
def check(plan: Plan, ctx: Context) -> Checked:
    r = plan.adapter.r
    if r is not None and r > ctx.options.max:
        yield Finding(
            f"{ctx.said('adapter.r')} is above {ctx.options.max:g}, the most that is served",
            at="adapter.r",
            remedy=f"set {ctx.key('adapter.r')} to {ctx.options.max:g} or less",
        )
