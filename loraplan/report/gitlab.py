"""GitLab's code quality report: an array of issues, each with a fingerprint that stays when its line moves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

from loraplan.fingerprint import numbered, relative
from loraplan.report import Style
from loraplan.report.text import remedy
from loraplan.result import Outcome

_SEVERITIES = {"error": "major", "warning": "minor", "info": "info"}


def render(outcome: Outcome, style: Style) -> Iterator[str]:
    """The whole array; what could not be checked is a blocker."""
    issues: list[dict[str, Any]] = []
    for item, digest in numbered(outcome.diagnostics):
        fix = remedy(item)
        issues.append({
            "description": f"{item.code} {item.message}" + (f"; fix: {fix}" if fix else ""),
            "check_name": item.name,
            "fingerprint": digest,
            "severity": _SEVERITIES[item.severity],
            "location": {
                "path": relative(item.path),
                "positions": {
                    "begin": {"line": item.line, "column": item.column},
                    "end": {"line": item.end_line, "column": item.end_column},
                },
            },
        })  # fmt: skip
    for failure in outcome.failures:
        path = relative(failure.path)
        digest = sha256(f"{failure.kind}\0{path}\0{failure.message}".encode("utf-8", "surrogatepass")).hexdigest()
        issues.append({
            "description": failure.message,
            "check_name": failure.kind,
            "fingerprint": digest,
            "severity": "blocker",
            "location": {"path": path, "lines": {"begin": failure.position.line if failure.position else 1}},
        })  # fmt: skip
    yield json.dumps(issues, indent=2)
