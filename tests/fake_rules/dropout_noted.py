"""Notes the dropout."""

from __future__ import annotations

from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, rule

EVIDENCE = (Evidence("a test", "https://example.org/a", "1.0"),)


@rule(
    code="TST003",
    name="dropout-noted",
    severity="info",
    why="dropout matters",
    evidence=EVIDENCE,
    reads=("adapter.dropout",),
)
def check(plan: Plan, ctx: Context) -> Checked:
    if plan.adapter.dropout == 0:
        yield Finding(f"{ctx.said('adapter.dropout')}", at="adapter.dropout")
