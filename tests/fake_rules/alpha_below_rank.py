"""Alpha is below the rank.

## Why is this bad?
It is not; this is a test.
"""

from __future__ import annotations

from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, Finding, Fix, Set, rule

EVIDENCE = (Evidence("a test", "https://example.org/a", "1.0"),)


@rule(
    code="TST001",
    name="alpha-below-rank",
    severity="warning",
    why="the update is scaled down",
    evidence=EVIDENCE,
    reads=("adapter.r", "adapter.alpha"),
    options={"min": 1.0, "names": ("a",), "strict": False},
    suppresses=("TST006",),
)
def check(plan: Plan, ctx: Context) -> Checked:
    r, alpha = plan.adapter.r, plan.adapter.alpha
    if r and alpha is not None and alpha / r < ctx.options.min:
        yield Finding(
            f"{ctx.said('adapter.alpha')} < rank {r:g}",
            at="adapter.alpha",
            remedy=f"set {ctx.key('adapter.alpha')} to {2 * r:g}",
            fix=Fix("set it to 2r", (Set("adapter.alpha", int(2 * r)),), "unsafe"),
        )
    elif r and alpha is not None and alpha / r < 1.5:
        yield Finding("alpha is near the rank", at="adapter.alpha", severity="info", preview=True)
