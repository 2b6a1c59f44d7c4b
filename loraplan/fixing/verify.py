"""The proof of a fix: the file is read again, only the fields that it names may differ, and no comment is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from loraplan.document import Document, Span
from loraplan.document.comments import every_comment
from loraplan.document.edit import Edit
from loraplan.document.structure import unchanged_elsewhere
from loraplan.formats.reading import Reading
from loraplan.origin import Explicit
from loraplan.plan import get, ordered_names
from loraplan.rule import Fix, Remove, RenameKey, Set


def ranges(edits: Iterable[Edit]) -> list[Span]:
    """Where the edits' texts stand in the result."""
    found, shift = [], 0
    for span, text in sorted(edits):
        found.append(Span(span.start + shift, span.start + shift + len(text)))
        shift += len(text) - (span.end - span.start)
    return found


def objection(before: list[Reading], after: list[Reading], index: int, fix: Fix, edits: list[Edit]) -> str | None:
    """Why a result is not what the fix says, or None; `index` is the run that the fix is for."""
    if [reading.format for reading in before] != [reading.format for reading in after]:
        return "the file would be read as something else"
    new = ranges(edits)
    if not unchanged_elsewhere(before[0].document, after[0].document, (edit.span for edit in edits), new):
        return "something else in the file would change"
    if _comments(before[0].document) - _comments(after[0].document):
        return "a comment would be lost"
    if len(after[0].document.problems) > len(before[0].document.problems):
        return "a key would be written twice"
    renamed = any(isinstance(change, RenameKey) for change in fix.changes)
    named = {change.field for change in fix.changes if isinstance(change, Set | Remove)}
    for number, (old, now) in enumerate(zip(before, after, strict=True)):
        if _issues(now, renamed) - _issues(old, renamed):
            return "the new text would be read with a complaint"
        for name in ordered_names():
            if name not in named and (reason := _differs(name, old, now, new)):
                return reason
        if number == index and (reason := _missing(old, now, fix, new)):
            return reason
    return None


def _comments(document: Document) -> Counter[str]:
    return Counter(text.rstrip() for _, text in every_comment(document))


def _missing(old: Reading, now: Reading, fix: Fix, written: list[Span]) -> str | None:
    """What the fix says and the result has not."""
    for change in fix.changes:
        match change:
            case Set(field=field, value=value):
                if not same(get(now.plan, field), value):
                    return f"{old.key(field)} cannot be set to that value in this format"
                if any(issue.field == field for issue in now.value_issues):
                    return f"{old.key(field)} would not be read as meant"
            case Remove(field=field):
                if now.explicit(field) is not None and not any(
                    isinstance(other, Set) and other.field == field for other in fix.changes
                ):
                    return f"{old.key(field)} would still be written"
            case RenameKey():
                for issue in now.key_issues:
                    if issue.effect != "works" and any(_overlap(issue.span, span) for span in written):
                        return "the new key would not be read either"
    return None


def _differs(name: str, old: Reading, now: Reading, written: list[Span]) -> str | None:
    """Why a field that the fix does not name may not have changed as it did, or None."""
    before, after = old.origins.get(name), now.origins.get(name)
    if isinstance(after, Explicit) and any(
        _overlap(span, place) for span in written for place in (after.key_span, after.span) if place is not None
    ):
        return None  # another meaning of the same key
    if isinstance(before, Explicit) != isinstance(after, Explicit):
        return f"{name} would change too"
    if isinstance(before, Explicit) and not same(get(old.plan, name), get(now.plan, name)):
        return f"{name} would change too"
    return None


def _overlap(one: Span, other: Span) -> bool:
    return one.start < other.end and other.start < one.end


def _issues(reading: Reading, renamed: bool) -> set[tuple[str, ...]]:
    """What the reader complains of; a key that was renamed may be one that is deprecated and works."""
    keys = {("key", issue.kind, issue.key) for issue in reading.key_issues if not renamed or issue.effect != "works"}
    return keys | {("value", issue.kind, issue.field) for issue in reading.value_issues}


def same(one: Any, other: Any) -> bool:
    """Equality of values of the Plan, lists and tuples alike."""
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, bool) != isinstance(other, bool):
        return False
    return bool(one == other)
