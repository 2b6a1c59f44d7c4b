"""Fixing one text: one fix at a time, each proved by reading the result, until none is left."""

from __future__ import annotations

from dataclasses import dataclass, field

from loraplan.engine import Checker
from loraplan.fixing.one import Made, Refused, make
from loraplan.fixing.verify import audit
from loraplan.formats.reading import Reading
from loraplan.result import Diagnostic, FileResult
from loraplan.rule import SEVERITIES, RenameKey, Severity

_MOST = 200
"""Fixes of one file; a config has a few dozen keys."""


@dataclass(slots=True)
class Fixed:
    """What fixing a text gave: the new text, the findings that were fixed, and the check of the result."""

    before: str
    text: str
    result: FileResult
    applied: list[Diagnostic] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    broken: list[Refused] = field(default_factory=list)
    """Fixes whose edits did what no fix may do; `text` is then what it was before."""
    passed_over: list[Diagnostic] = field(default_factory=list)
    """Findings below the severity from which unsafe fixes are made."""

    @property
    def changed(self) -> bool:
        return self.text != self.before


def fix_text(
    checker: Checker,
    path: str,
    text: str,
    *,
    unsafe: bool = False,
    least: Severity = "info",
    format_name: str | None = None,
) -> Fixed | None:
    """Fix a text as far as its findings allow; None for one that cannot be read as a config.

    Unsafe fixes are made of findings of at least the severity `least`, and of rules that were selected by name.
    """
    return _Session(checker, path, unsafe, least, format_name).fix(text)


class _Session:
    def __init__(self, checker: Checker, path: str, unsafe: bool, least: Severity, format_name: str | None) -> None:
        self.checker = checker
        self.path = path
        self.unsafe = unsafe
        self.format_name = format_name
        self.severities = SEVERITIES[SEVERITIES.index(least) :]
        self.asked = _asked(checker, path)
        self.seen: set[str] = set()
        self.tried: set[tuple[str, str, str | None, str]] = set()

    def fix(self, text: str) -> Fixed | None:
        result = self._check(text)
        if result is None:
            return None
        fixed = Fixed(text, text, result)
        self.seen.add(text)
        while len(fixed.applied) < _MOST and not fixed.broken:
            step = self._step(fixed)
            if step is None:
                break
            finding, new = step
            checked = self._check(new)
            if checked is None:
                fixed.broken.append(Refused(finding, "the file could not be read any more", broken=True))
                break
            against = self._opposite(fixed, finding, new, checked)
            if against is not None:
                fixed.refused.append(Refused(finding, f"{against} would then ask for the opposite"))
                continue
            fixed.text, fixed.result = new, checked
            fixed.applied.append(finding)
            self.seen.add(new)
        self._audit(fixed)
        if fixed.broken:
            fixed.text, fixed.result, fixed.applied = text, result, []
        left = {(item.code, item.message) for item in fixed.result.diagnostics}
        fixed.refused = [item for item in fixed.refused if (item.finding.code, item.finding.message) in left]
        fixed.passed_over = [item for item in fixed.result.diagnostics if self._is_below(item)]
        return fixed

    def _read(self, text: str) -> list[Reading]:
        return self.checker.read(self.path, text=text, format_name=self.format_name)[1]

    def _check(self, text: str) -> FileResult | None:
        result = self.checker.check(self.path, text=text, format_name=self.format_name)
        return result if result is not None and result.runs else None

    def _wanted(self, item: Diagnostic) -> bool:
        if item.fix is None or item.fix.applicability == "show":
            return False
        if item.fix.applicability == "safe":
            return True
        return self.unsafe and (item.severity in self.severities or item.code in self.asked)

    def _is_below(self, item: Diagnostic) -> bool:
        """Whether only its severity keeps an unsafe fix from being made."""
        unsafe = self.unsafe and item.fix is not None and item.fix.applicability == "unsafe"
        return unsafe and not self._wanted(item)

    def _step(self, fixed: Fixed) -> tuple[Diagnostic, str] | None:
        """The first fix that can be applied, with the text that it gives."""
        readings: list[Reading] | None = None
        for finding in sorted(fixed.result.diagnostics, key=lambda item: not _renames(item)):
            if not self._wanted(finding) or finding.fix is None:
                continue
            mark = (finding.code, finding.fix.title, finding.run, finding.message)
            if mark in self.tried:
                continue
            self.tried.add(mark)
            readings = readings or self._read(fixed.text)
            outcome = make(readings, finding, self._read)
            if isinstance(outcome, Refused):
                (fixed.broken if outcome.broken else fixed.refused).append(outcome)
                if outcome.broken:
                    return None
            elif outcome.text in self.seen:
                fixed.refused.append(Refused(finding, "it would undo another fix"))
            else:
                return finding, outcome.text
        return None

    def _opposite(self, fixed: Fixed, finding: Diagnostic, new: str, checked: FileResult) -> str | None:
        """The rule that finds fault with the fixed text and whose fix would lead straight back."""
        known = {item.code for item in fixed.result.diagnostics}
        readings: list[Reading] | None = None
        for item in checked.diagnostics:
            if item.code in known or not self._wanted(item) or not _fields(item) & _fields(finding):
                continue
            readings = readings or self._read(new)
            back = make(readings, item, self._read)
            if isinstance(back, Made) and back.text == fixed.text:
                return item.code
        return None

    def _audit(self, fixed: Fixed) -> None:
        """The first text against the last, without trust in the proofs on the way."""
        fixes = [item.fix for item in fixed.applied if item.fix is not None]
        if fixed.broken or not fixes:
            return
        reason = audit(self._read(fixed.before), self._read(fixed.text), fixes)
        if reason is not None:
            fixed.broken.append(Refused(fixed.applied[-1], reason, broken=True))


def _asked(checker: Checker, path: str) -> frozenset[str]:
    """The codes that the command line selects by their name or group."""
    over = checker.overrides
    registry = checker.registry(checker.settings_for(path))
    selectors = [word for word in (*(over.select or ()), *over.extend_select) if word.upper() != "ALL"]
    return frozenset(code for word in selectors for code in registry.codes_of(word)[0])


def _fields(finding: Diagnostic) -> set[str]:
    changes = finding.fix.changes if finding.fix is not None else ()
    return {change.field for change in changes if not isinstance(change, RenameKey)}


def _renames(finding: Diagnostic) -> bool:
    return finding.fix is not None and any(isinstance(change, RenameKey) for change in finding.fix.changes)
