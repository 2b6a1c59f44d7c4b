"""Runs on full fine-tuning."""

from __future__ import annotations

from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, rule

EVIDENCE = (Evidence("a test", "https://example.org/a", "1.0"),)


@rule(
    code="TST009",
    name="without-adapter-too",
    severity="info",
    why="w",
    evidence=EVIDENCE,
    reads=(),
    without_adapter=True,
)
def check(plan: Plan, ctx: Context) -> Checked:
    if plan.run.seed == 8:
        yield Finding("seed 8", at="run.seed")
