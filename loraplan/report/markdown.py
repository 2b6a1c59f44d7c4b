"""A table for a job summary or a comment on a pull request."""

from __future__ import annotations

import re
from collections.abc import Iterator

from loraplan.fingerprint import relative
from loraplan.report import Style, counts, skips
from loraplan.report.text import printable, remedy
from loraplan.result import Outcome


def render(outcome: Outcome, style: Style) -> Iterator[str]:
    """A row per finding, what could not be checked as a list, then the summary unless quiet."""
    found = outcome.diagnostics
    if found:
        yield "| Place | Severity | Rule | Finding | Remedy |"
        yield "| --- | --- | --- | --- | --- |"
    for item in found:
        place = _text(f"{relative(item.path)}:{item.line}:{item.column}")
        yield f"| {place} | {item.severity} | {item.code} | {_text(item.message)} | {_text(remedy(item))} |"
    if outcome.failures:
        if found:
            yield ""
        for failure in outcome.failures:
            yield f"- {_text(relative(failure.path))}: {_text(failure.message)}"
    if not style.quiet:
        if found or outcome.failures:
            yield ""
        skipped = skips(outcome.skipped)
        yield _text(counts(outcome) + (f"; {skipped}" if skipped else ""))


def _text(text: str) -> str:
    """Text that shows as itself in a cell of a table."""
    return re.sub(r"[\\`*_\[\]<>|~#&@$]", lambda match: f"&#{ord(match[0])};", printable(text))
