"""Sees a rank of 64."""

from __future__ import annotations

from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, rule

EVIDENCE = (Evidence("a test", "https://example.org/a", "1.0"),)


@rule(code="TST006", name="rank-seen", severity="error", why="w", evidence=EVIDENCE, reads=())
def check(plan: Plan, ctx: Context) -> Checked:
    if plan.adapter.r == 64:
        yield Finding("rank 64 seen", at="adapter.r")
