"""Compares ranks, knows the card and the data."""

from __future__ import annotations

from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, rule

EVIDENCE = (Evidence("a test", "https://example.org/a", "1.0"),)


@rule(code="TST007", name="wants-earlier-version", severity="info", why="w", evidence=EVIDENCE, reads=())
def check(plan: Plan, ctx: Context) -> Checked:
    earlier = ctx.baseline.plan.adapter.r
    if earlier != plan.adapter.r:
        yield Finding(f"rank was {earlier:g}", at="adapter.r")
    if ctx.gpu_or_none is not None and ctx.dataset_size > 5:
        yield Finding(f"{ctx.dataset_size} examples on {ctx.gpu.name}", at="adapter.r")
