"""Speaks in preview."""

from __future__ import annotations

from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, rule

EVIDENCE = (Evidence("a test", "https://example.org/a", "1.0"),)


@rule(code="TST004", name="only-in-preview", severity="error", why="w", evidence=EVIDENCE, reads=(), preview=True)
def check(plan: Plan, ctx: Context) -> Checked:
    yield Finding("preview speaks", at="adapter.r")
