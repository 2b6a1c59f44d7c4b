"""Does not run on hand-rolled files."""

from __future__ import annotations

from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, rule

EVIDENCE = (Evidence("a test", "https://example.org/a", "1.0"),)


@rule(code="TST008", name="not-by-hand", severity="info", why="w", evidence=EVIDENCE, reads=(), hand_rolled=False)
def check(plan: Plan, ctx: Context) -> Checked:
    if plan.run.seed == 7:
        yield Finding("a framework's file", at="run.seed")
