"""reviewdog's diagnostic format (rdjson), with columns in bytes of UTF-8 as reviewdog counts them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from loraplan.fingerprint import relative
from loraplan.home import address
from loraplan.report import Style
from loraplan.report.replacement import Replacement, replacements
from loraplan.result import Diagnostic, Outcome

_SEVERITIES = {"error": "ERROR", "warning": "WARNING", "info": "INFO"}


def render(outcome: Outcome, style: Style) -> Iterator[str]:
    """The whole result as indented JSON."""
    source = {"name": "loraplan"}
    if (home := address("Source")) is not None:
        source["url"] = home
    edits = replacements(outcome)
    found = [_finding(item, edits.get(id(item), ())) for item in outcome.diagnostics]
    for failure in outcome.failures:
        location: dict[str, Any] = {"path": relative(failure.path)}
        if failure.position:
            location["range"] = {"start": {"line": failure.position.line}}
        found.append({"message": failure.message, "location": location, "severity": "ERROR", "source": source})
    yield json.dumps({"source": source, "diagnostics": found}, indent=2)


def _finding(item: Diagnostic, edits: tuple[Replacement, ...]) -> dict[str, Any]:
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
    if len(edits) == 1:  # several suggestions are alternatives to reviewdog
        found["suggestions"] = [{"range": _range(edits[0]), "text": edits[0].text}]
    return found


def _range(edit: Replacement) -> dict[str, Any]:
    return {
        "start": {"line": edit.start.line, "column": _bytes(edit.lines[0], edit.start.column)},
        "end": {"line": edit.end.line, "column": _bytes(edit.lines[1], edit.end.column)},
    }


def _bytes(line: str, column: int) -> int:
    before = line[: column - 1]
    return len(before.encode("utf-8", "replace")) + column - len(before)
