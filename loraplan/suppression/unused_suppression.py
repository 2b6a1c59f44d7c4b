"""A suppression comment silences nothing.

## Why is this bad?
The finding that the comment hid is gone, or its code was never reported on this line.
A comment left behind hides the next finding of that code without anyone having decided so.

It is reported only where the rule really ran: not for a rule that is switched off, or that lacked an input.

## Example
    lora_r: 16
    lora_alpha: 32  # loraplan: ignore[ALP001]

Use instead:
    lora_r: 16
    lora_alpha: 32
"""

from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, rule


@rule(
    code="SUP001",
    name="unused-suppression",
    severity="info",
    why="a comment that silences nothing today hides a new finding tomorrow",
    reads=(),
    evidence=(Evidence("the engine compares each comment with the findings it silenced", "loraplan/suppression"),),
    without_adapter=True,
)
def check(plan: Plan, context: Context) -> Checked:
    yield from ()
