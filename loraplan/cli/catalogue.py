"""Rules as plain values, for `explain` and `rules`."""

from __future__ import annotations

from typing import Any

from loraplan.rule import Rule


def describe(rule: Rule) -> dict[str, Any]:
    """A rule's facts."""
    return {
        "code": rule.code,
        "name": rule.name,
        "severity": rule.severity,
        "preview": rule.preview,
        "since": rule.since,
        "why": rule.why,
        "reads": list(rule.reads),
        "needs": list(rule.needs),
        "options": {name: list(value) if isinstance(value, tuple) else value for name, value in rule.options.items()},
        "suppresses": list(rule.suppresses),
        "hand_rolled": rule.hand_rolled,
        "without_adapter": rule.without_adapter,
        "evidence": [item._asdict() for item in rule.evidence],
    }
