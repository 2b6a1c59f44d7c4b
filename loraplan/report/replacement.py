"""A fix as plain text for one span, for reports that carry it; None where that says too little to be sure of."""

from __future__ import annotations

from loraplan.origin import Explicit
from loraplan.result import Diagnostic
from loraplan.rule import Set

_SYNTAXES = (".yml", ".yaml", ".json", ".toml")
_PLAIN = frozenset(("adapter.r", "adapter.alpha", "adapter.dropout", "optimizer.learning_rate"))
"""Fields that every format writes as the number that the Plan holds."""


def replacement(item: Diagnostic) -> str | None:
    """The text to write from the finding's start to its end."""
    fix, origin = item.fix, item.origin
    if fix is None or fix.applicability == "show" or len(fix.changes) != 1 or item.end_line != item.line:
        return None
    change = fix.changes[0]
    if not isinstance(change, Set) or change.field != item.field or change.field not in _PLAIN:
        return None
    if not isinstance(origin, Explicit) or origin.shared or not item.path.lower().endswith(_SYNTAXES):
        return None
    value = change.value
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        float(item.source[item.column - 1 : item.end_column - 1])
    except ValueError:
        return None  # quoted, a variable, or an expression
    if isinstance(value, int) or value.is_integer():
        return str(int(value))
    text = f"{value:.12f}".rstrip("0")  # PyYAML reads 2e-5 as a string
    return text if float(text) == value else None
