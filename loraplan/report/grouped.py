"""Findings under their file's name, one line each."""

from __future__ import annotations

from collections.abc import Iterator

from loraplan.report import Style, counts, skips, statistics
from loraplan.report.text import painter, printable
from loraplan.result import Outcome


def render(outcome: Outcome, style: Style) -> Iterator[str]:
    """A block per file that has findings, then the summary unless quiet."""
    paint = painter(style.color)
    last = None
    places = [f"{item.line}:{item.column}" for item in outcome.diagnostics]
    wide = max((len(place) for place in places), default=0)
    for item, place in zip(outcome.diagnostics, places, strict=True):
        if item.path != last:
            if last is not None:
                yield ""
            yield paint("1", f"{printable(item.path)}:")
            last = item.path
        yield f"  {place:<{wide}}  {item.code} {item.severity}: {printable(item.message)}"
    if style.quiet:
        return
    if last is not None:
        yield ""
    if style.statistics:
        yield from statistics(outcome)
    if outcome.recognised or not outcome.failures:
        skipped = skips(outcome.skipped)
        yield counts(outcome) + (f"; {skipped}" if skipped else "")
