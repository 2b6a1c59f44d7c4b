"""Wants the architecture."""

from __future__ import annotations

from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, rule

EVIDENCE = (Evidence("a test", "https://example.org/a", "1.0"),)


@rule(code="TST002", name="wants-architecture", severity="error", why="w", evidence=EVIDENCE, reads=(), needs=("arch",))
def check(plan: Plan, ctx: Context) -> Checked:
    if ctx.arch.num_layers == 32:
        yield Finding(f"{ctx.arch.name} has 32 layers", at="model.name")
