"""For programs: one versioned object, described by `loraplan/schema/check-v1.schema.json`."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

from loraplan import __version__
from loraplan.origin import Default, Derived, Explicit, Origin
from loraplan.report import Style
from loraplan.result import Diagnostic, Failure, FileResult, Outcome
from loraplan.rule import Change, Fix, Remove, Set

VERSION = 1


def render(outcome: Outcome, style: Style) -> Iterator[str]:
    """The whole report as indented JSON."""
    yield json.dumps(report(outcome), indent=2, allow_nan=False)


def report(outcome: Outcome) -> dict[str, Any]:
    """The report as plain values."""
    return {
        "version": VERSION,
        "loraplan": __version__,
        "files": [_file(file) for file in outcome.files],
        "findings": [_finding(item) for item in outcome.diagnostics],
        "skipped": [item._asdict() for item in outcome.skipped],
        "errors": [_failure(item) for item in outcome.failures],
        "summary": {
            "files": outcome.recognised,
            "unrecognised": outcome.unrecognised,
            "error": outcome.count("error"),
            "warning": outcome.count("warning"),
            "info": outcome.count("info"),
            "suppressed": outcome.suppressed,
            "skipped_rules": len({item.code for item in outcome.skipped}),
            "exit_code": outcome.exit_code,
        },
    }


def plain(value: Any) -> Any:
    """A Plan's value as JSON has it: tuples as lists, numbers that are not finite as strings."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, list | tuple | frozenset | set):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(name): plain(item) for name, item in value.items()}
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)


def origin(item: Origin | None) -> dict[str, Any] | None:
    """Where a value came from."""
    match item:
        case Explicit(key_path=key_path, shared=shared):
            return {"kind": "explicit", "key_path": list(key_path), "shared": shared}
        case Default(framework=framework, versions=versions, source=source, key=key):
            return {"kind": "default", "framework": framework, "versions": versions, "source": source, "key": key}
        case Derived(fields=fields, how=how):
            return {"kind": "derived", "fields": list(fields), "how": how}
    return None


def _file(file: FileResult) -> dict[str, Any]:
    return {
        "path": file.path,
        "runs": [run._asdict() for run in file.runs],
        "suppressed": file.suppressed,
    }


def _finding(item: Diagnostic) -> dict[str, Any]:
    return {
        "path": item.path,
        "line": item.line,
        "column": item.column,
        "end_line": item.end_line,
        "end_column": item.end_column,
        "code": item.code,
        "name": item.name,
        "severity": item.severity,
        "message": item.message,
        "why": item.why,
        "remedy": item.remedy or None,
        "field": item.field,
        "key": item.key,
        "origin": origin(item.origin),
        "fix": _fix(item.fix),
        "run": item.run,
    }


def _fix(fix: Fix | None) -> dict[str, Any] | None:
    if fix is None:
        return None
    return {
        "title": fix.title,
        "applicability": fix.applicability,
        "changes": [_change(change) for change in fix.changes],
    }


def _change(change: Change) -> dict[str, Any]:
    match change:
        case Set(field=field, value=value):
            return {"kind": "set", "field": field, "value": plain(value)}
        case Remove(field=field):
            return {"kind": "remove", "field": field}
    start, end = change.span
    return {"kind": "rename-key", "start": start, "end": end, "key": change.key, "value": plain(change.value)}


def _failure(item: Failure) -> dict[str, Any]:
    return {
        "path": item.path,
        "kind": item.kind,
        "message": item.message,
        "remedy": item.remedy or None,
        "line": item.position.line if item.position else None,
        "column": item.position.column if item.position else None,
        "details": list(item.details),
    }
