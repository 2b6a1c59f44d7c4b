"""Fixing one text: one fix at a time, each proved by reading the result, until none is left."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from loraplan.document import DocumentError
from loraplan.document.edit import CannotEditError, apply
from loraplan.engine import Checker
from loraplan.fixing.changes import ways
from loraplan.fixing.verify import objection
from loraplan.formats import NotAConfig
from loraplan.formats.reading import Reading
from loraplan.result import Diagnostic, FileResult
from loraplan.rule import Applicability, RenameKey

_MOST = 200
"""Fixes of one file; a config has a few dozen keys."""


class Refused(NamedTuple):
    """A fix that was not applied, and why."""

    finding: Diagnostic
    reason: str


@dataclass(slots=True)
class Fixed:
    """What fixing a text gave: the new text, the findings that were fixed, and the check of the result."""

    before: str
    text: str
    result: FileResult
    applied: list[Diagnostic] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        return self.text != self.before


def fix_text(
    checker: Checker, path: str, text: str, *, unsafe: bool = False, format_name: str | None = None
) -> Fixed | None:
    """Fix a text as far as its findings allow; None for one that cannot be read as a config."""
    result = checker.check(path, text=text, format_name=format_name)
    if result is None or not result.runs:
        return None
    fixed = Fixed(text, text, result)
    allowed: tuple[Applicability, ...] = ("safe", "unsafe") if unsafe else ("safe",)
    seen = {text}
    tried: set[tuple[str, str, str | None, str]] = set()
    while len(fixed.applied) < _MOST:
        step = _step(checker, fixed, path, allowed, format_name, seen, tried)
        if step is None:
            break
        finding, new = step
        checked = checker.check(path, text=new, format_name=format_name)
        if checked is None or not checked.runs:
            break
        against = _opposite(checker, fixed, finding, new, checked, allowed, format_name)
        if against is not None:
            fixed.refused.append(Refused(finding, f"{against} would then ask for the opposite"))
            continue
        fixed.text, fixed.result = new, checked
        fixed.applied.append(finding)
        seen.add(new)
    left = {(item.code, item.message) for item in fixed.result.diagnostics}
    fixed.refused = [item for item in fixed.refused if (item.finding.code, item.finding.message) in left]
    return fixed


def _opposite(
    checker: Checker,
    fixed: Fixed,
    finding: Diagnostic,
    new: str,
    checked: FileResult,
    allowed: tuple[Applicability, ...],
    format_name: str | None,
) -> str | None:
    """The rule that finds fault with the fixed text and whose fix would lead straight back."""
    known = {item.code for item in fixed.result.diagnostics}
    readings: list[Reading] | None = None
    for item in checked.diagnostics:
        if item.code in known or item.fix is None or item.fix.applicability not in allowed:
            continue
        if not _fields(item) & _fields(finding):
            continue
        readings = readings or checker.read(finding.path, text=new, format_name=format_name)[1]
        if _try(checker, readings, item, finding.path, format_name) == fixed.text:
            return item.code
    return None


def _fields(finding: Diagnostic) -> set[str]:
    changes = finding.fix.changes if finding.fix is not None else ()
    return {change.field for change in changes if not isinstance(change, RenameKey)}


def _step(
    checker: Checker,
    fixed: Fixed,
    path: str,
    allowed: tuple[Applicability, ...],
    format_name: str | None,
    seen: set[str],
    tried: set[tuple[str, str, str | None, str]],
) -> tuple[Diagnostic, str] | None:
    """The first fix that can be applied, with the text that it gives."""
    readings: list[Reading] | None = None
    order = sorted(fixed.result.diagnostics, key=lambda item: not _renames(item))
    for finding in order:
        fix = finding.fix
        if fix is None or fix.applicability not in allowed:
            continue
        mark = (finding.code, fix.title, finding.run, finding.message)
        if mark in tried:
            continue
        tried.add(mark)
        readings = readings or checker.read(path, text=fixed.text, format_name=format_name)[1]
        outcome = _try(checker, readings, finding, path, format_name)
        if isinstance(outcome, Refused):
            fixed.refused.append(outcome)
        elif outcome in seen:
            fixed.refused.append(Refused(finding, "it would undo another fix"))
        else:
            return finding, outcome
    return None


def _renames(finding: Diagnostic) -> bool:
    return finding.fix is not None and any(isinstance(change, RenameKey) for change in finding.fix.changes)


def _try(
    checker: Checker, readings: list[Reading], finding: Diagnostic, path: str, format_name: str | None
) -> str | Refused:
    """The text with a fix made, or why it is not made."""
    assert finding.fix is not None
    named = [number for number, reading in enumerate(readings) if reading.name == finding.run]
    within = [number for number in named if _holds(readings[number], finding)]
    if not named:
        return Refused(finding, "its run is not told apart from others")
    index = (within or named)[0]
    document = readings[0].document
    reason = "no way of writing it in this format is known"
    try:
        for edits in ways(readings[index], finding.fix):
            try:
                new = apply(document.text, edits)
                after = checker.read(path, text=new, format_name=format_name)[1]
            except (ValueError, DocumentError, NotAConfig):
                continue
            against = objection(readings, after, index, finding.fix, edits)
            if against is None:
                return new
            reason = against
    except CannotEditError as error:
        reason = str(error)
    return Refused(finding, reason)


def _holds(reading: Reading, finding: Diagnostic) -> bool:
    return reading.root.span.start <= finding.span.start and finding.span.end <= reading.root.span.end
