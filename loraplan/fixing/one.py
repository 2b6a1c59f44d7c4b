"""One fix of one run as edits that are proved: made, read again, and compared with what the fix says."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from loraplan.document import DocumentError
from loraplan.document.edit import CannotEditError, Edit, apply
from loraplan.fixing.changes import ways
from loraplan.fixing.verify import objection, tells_formats_apart
from loraplan.formats import NotAConfig
from loraplan.formats.reading import Reading
from loraplan.result import Diagnostic

Read = Callable[[str], list[Reading]]
"""The runs of a text, as the file that it would take the place of is read."""


class Made(NamedTuple):
    """A fix that can be made: the whole text with it, and the edits alone."""

    text: str
    edits: list[Edit]


class Refused(NamedTuple):
    """A fix that is not made, and why."""

    finding: Diagnostic
    reason: str
    broken: bool = False
    """The edits do what no fix may do: a fault of LoRAPlan, not of the file."""


def make(readings: list[Reading], finding: Diagnostic, read: Read) -> Made | Refused:
    """The first way of making a finding's fix that is proved, or why there is none."""
    assert finding.fix is not None
    named = [number for number, reading in enumerate(readings) if reading.name == finding.run]
    within = [number for number in named if _holds(readings[number], finding)]
    if not named:
        return Refused(finding, "its run is not told apart from others")
    index = (within or named)[0]
    document = readings[0].document
    refused = Refused(finding, "no way of writing it in this format is known")
    try:
        for edits in ways(readings[index], finding.fix):
            if not edits:
                refused = Refused(finding, "the file says so already")
                continue
            try:
                new = apply(document.text, edits)
            except ValueError:
                refused = refused if refused.broken else Refused(finding, "two of its changes write the same key")
                continue
            try:
                after = read(new)
            except DocumentError as error:
                refused = Refused(finding, f"the file could not be read any more: {error}", broken=True)
                continue
            except NotAConfig:
                refused = Refused(
                    finding, "the file would not be recognised any more", broken=not tells_formats_apart(finding.fix)
                )
                continue
            against = objection(readings, after, index, finding.fix, edits)
            if against is None:
                return Made(new, edits)
            if not refused.broken:
                refused = Refused(finding, *against)
    except CannotEditError as error:
        refused = refused if refused.broken else Refused(finding, str(error))
    return refused


def _holds(reading: Reading, finding: Diagnostic) -> bool:
    return reading.root.span.start <= finding.span.start and finding.span.end <= reading.root.span.end
