"""One line per finding, for editors and grep: `path:line:column: CODE severity: message`."""

from __future__ import annotations

from collections.abc import Iterator

from loraplan.report import Style, counts, skips, statistics
from loraplan.report.text import printable
from loraplan.result import Outcome


def render(outcome: Outcome, style: Style) -> Iterator[str]:
    """Every finding by path and line, then the summary unless quiet."""
    for item in outcome.diagnostics:
        where = f"{printable(item.path)}:{item.line}:{item.column}"
        yield f"{where}: {item.code} {item.severity}: {printable(item.message)}"
    if style.quiet:
        return
    if style.statistics:
        yield from statistics(outcome)
    if outcome.recognised or not outcome.failures:
        skipped = skips(outcome.skipped)
        yield counts(outcome) + (f"; {skipped}" if skipped else "")
