"""reviewdog's diagnostic format (rdjson), with columns in bytes of UTF-8 as reviewdog counts them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from loraplan.fingerprint import relative
from loraplan.report import Style
from loraplan.report.replacement import replacement
from loraplan.result import Diagnostic, Outcome

_SEVERITIES = {"error": "ERROR", "warning": "WARNING", "info": "INFO"}
_SOURCE = {"name": "loraplan", "url": "https://pypi.org/project/loraplan/"}


def render(outcome: Outcome, style: Style) -> Iterator[str]:
    """The whole result as indented JSON."""
    found = [_finding(item) for item in outcome.diagnostics]
    for failure in outcome.failures:
        location: dict[str, Any] = {"path": relative(failure.path)}
        if failure.position:
            location["range"] = {"start": {"line": failure.position.line}}
        found.append({"message": failure.message, "location": location, "severity": "ERROR", "source": _SOURCE})
    yield json.dumps({"source": _SOURCE, "diagnostics": found}, indent=2)


def _finding(item: Diagnostic) -> dict[str, Any]:
    end_column = item.end_column if item.end_line != item.line else _bytes(item.source, item.end_column)
    span = {
        "start": {"line": item.line, "column": _bytes(item.source, item.column)},
        "end": {"line": item.end_line, "column": end_column},
    }
    found: dict[str, Any] = {
        "message": f"{item.message}\n{item.why}" if item.why else item.message,
        "location": {"path": relative(item.path), "range": span},
        "severity": _SEVERITIES[item.severity],
        "code": {"value": item.code},
    }
    if (text := replacement(item)) is not None:
        found["suggestions"] = [{"range": span, "text": text}]
    return found


def _bytes(line: str, column: int) -> int:
    before = line[: column - 1]
    return len(before.encode("utf-8", "replace")) + column - len(before)
