"""Breaks."""

from __future__ import annotations

from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, rule

EVIDENCE = (Evidence("a test", "https://example.org/a", "1.0"),)


@rule(code="TST005", name="breaks-at-rank-13", severity="error", why="w", evidence=EVIDENCE, reads=())
def check(plan: Plan, ctx: Context) -> Checked:
    if plan.adapter.r == 13:
        yield Finding("before it broke", at="adapter.r")
        raise ZeroDivisionError("thirteen")
