"""For programs that read a stream: one JSON object a line, each with its `type`."""

from __future__ import annotations

import json
from collections.abc import Iterator

from loraplan.report import Style
from loraplan.report.json import report
from loraplan.result import Outcome


def render(outcome: Outcome, style: Style) -> Iterator[str]:
    """Findings, then what could not be checked, as in the JSON report."""
    found = report(outcome)
    for kind in ("findings", "errors"):
        for item in found[kind]:
            yield json.dumps({"type": kind[:-1], **item}, allow_nan=False)
    yield json.dumps({"type": "summary", "version": found["version"], **found["summary"]}, allow_nan=False)
