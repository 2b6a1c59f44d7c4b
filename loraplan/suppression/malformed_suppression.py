"""A suppression comment cannot be read, so it silences nothing.

## Why is this bad?
A comment that starts with `loraplan:` was meant to silence a finding.
Written wrongly, or with a code that no rule has, it does nothing, and nobody notices.

The forms that work are `# loraplan: ignore[ALP001]` and `# loraplan: ignore[ALP001, WRM001]` at the end of a line
or on a line of their own above it, and `# loraplan: ignore-file[ALP001]` anywhere.

## Example
    lora_alpha: 16  # loraplan: ignore ALP001

Use instead:
    lora_alpha: 16  # loraplan: ignore[ALP001]
"""

from loraplan.plan import Plan
from loraplan.rule import Checked, Context, Evidence, rule


@rule(
    code="SUP002",
    name="malformed-suppression",
    severity="warning",
    why="the comment was meant to silence a finding and silences nothing",
    reads=(),
    evidence=(Evidence("the forms that the engine reads", "loraplan/suppression"),),
    without_adapter=True,
)
def check(plan: Plan, context: Context) -> Checked:
    yield from ()
