"""The edits of a fix, for reports that carry them: what `--fix` would write, or nothing where it would refuse."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from loraplan.document import Position
from loraplan.result import Diagnostic, FileResult, Outcome


class Replacement(NamedTuple):
    """Text to write from one place to another; nothing stands between the two where text is inserted."""

    start: Position
    end: Position
    text: str
    lines: tuple[str, str]
    """The lines of the file that it begins and ends on, for columns in other units."""


def replacements(outcome: Outcome) -> dict[int, tuple[Replacement, ...]]:
    """The proved edits of every finding that has a fix which may be written, by the finding's identity."""
    return {id(item): edits for file in outcome.files for item, edits in of_file(file)}


def of_file(file: FileResult) -> Iterator[tuple[Diagnostic, tuple[Replacement, ...]]]:
    """One file's findings with the edits of their fixes; those that are refused are left out."""
    fixable = [item for item in file.diagnostics if item.fix is not None and item.fix.applicability != "show"]
    if file.read is None or not fixable:
        return
    from loraplan.fixing.one import Made, make

    readings = file.read(None)
    document = readings[0].document
    for item in fixable:
        try:
            made = make(readings, item, file.read)
        except Exception:  # noqa: BLE001, S112 - reported without its fix; --fix says what is wrong with it
            continue
        if not isinstance(made, Made):
            continue
        places = [(document.position(edit.span.start), document.position(edit.span.end)) for edit in made.edits]
        yield (
            item,
            tuple(
                Replacement(start, end, edit.text, (document.line(start.line), document.line(end.line)))
                for edit, (start, end) in sorted(zip(made.edits, places, strict=True))
            ),
        )
