"""The proof of a fix: the file is read again, only the fields that it names may differ, and no comment is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

from loraplan.document import Document, KeyPath, Span
from loraplan.document.comments import every_comment
from loraplan.document.edit import Edit
from loraplan.document.structure import unchanged_elsewhere
from loraplan.fixing.keys import stray
from loraplan.fixing.switches import meant
from loraplan.formats.reading import Reading
from loraplan.origin import Explicit
from loraplan.plan import get, ordered_names
from loraplan.rule import Fix, Remove, RenameKey, Set

_LEADING = {"adapter.alpha": frozenset(("adapter.r",))}
"""Fields whose default some frameworks work out from other fields."""


def ranges(edits: Iterable[Edit]) -> list[Span]:
    """Where the edits' texts stand in the result."""
    found, shift = [], 0
    for span, text in sorted(edits):
        found.append(Span(span.start + shift, span.start + shift + len(text)))
        shift += len(text) - (span.end - span.start)
    return found


class Objection(NamedTuple):
    """Why a result is not what its fix says; `broken` where the edits have done what no fix may do."""

    reason: str
    broken: bool = False


def objection(before: list[Reading], after: list[Reading], index: int, fix: Fix, edits: list[Edit]) -> Objection | None:
    """Why a result is not what the fix says, or None; `index` is the run that the fix is for."""
    if [reading.format for reading in before] != [reading.format for reading in after]:
        return Objection("the file would be read as something else", broken=not tells_formats_apart(fix))
    new = ranges(edits)
    if not unchanged_elsewhere(before[0].document, after[0].document, (edit.span for edit in edits), new):
        return Objection("something else in the file would change", broken=True)
    if (key := stray(before[index], after[index], fix, [edit.span for edit in edits], new)) is not None:
        return Objection(f"{key} would change too", broken=True)
    if _comments(before[0].document) - _comments(after[0].document):
        return Objection("a comment would be lost")
    if len(after[0].document.problems) > len(before[0].document.problems):
        return Objection("a key would be written twice")
    renamed = any(isinstance(change, RenameKey) for change in fix.changes)
    named = {change.field for change in fix.changes if isinstance(change, Set | Remove)}
    for number, (old, now) in enumerate(zip(before, after, strict=True)):
        for name in ordered_names():
            if name not in named and _differs(name, old, now, new):
                return Objection(f"{name} would change too", broken=_rewritten(name, old, now, named))
            if name not in named and not named & _LEADING.get(name, frozenset()) and _other_default(name, old, now):
                return Objection(f"the default of {name} would change with it")
        if _issues(now, renamed) - _issues(old, renamed):
            return Objection("the new text would be read with a complaint")
        if number == index and (reason := _missing(old, now, fix, new)):
            return Objection(reason)
    return None


def tells_formats_apart(fix: Fix) -> bool:
    """Whether a fix takes a key away, which may be the one that a format is recognised by."""
    return any(isinstance(change, Remove | RenameKey) for change in fix.changes)


def _rewritten(name: str, old: Reading, now: Reading, named: set[str]) -> bool:
    """Whether the edits have changed what is written for a field; where they have not, it follows from another one."""
    if old.document.syntax not in ("shell", "python"):
        return False  # no key was touched that the fix does not speak of
    was, is_now = old.explicit(name), now.explicit(name)
    if was is None or is_now is None:
        return was is None or was.key_path not in _key_paths(named, old, now)
    texts = (reading.document.text[slice(*origin.span)] for reading, origin in ((old, was), (now, is_now)))
    return len(set(texts)) > 1 and was.key_path not in _key_paths(named, old, now)


def _comments(document: Document) -> Counter[str]:
    return Counter(text.rstrip() for _, text in every_comment(document))


def _missing(old: Reading, now: Reading, fix: Fix, written: list[Span]) -> str | None:
    """What the fix says and the result has not."""
    for change in fix.changes:
        match change:
            case Set(field=field, value=value):
                if not says(now, field, value):
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


def _differs(name: str, old: Reading, now: Reading, written: list[Span]) -> bool:
    """Whether a field that the fix does not name has changed otherwise than it may."""
    before, after = old.origins.get(name), now.origins.get(name)
    if isinstance(after, Explicit) and any(
        _overlap(span, place) for span in written for place in (after.key_span, after.span) if place is not None
    ):
        return False  # another meaning of the same key
    if isinstance(before, Explicit) != isinstance(after, Explicit):
        return True
    return isinstance(before, Explicit) and not same(get(old.plan, name), get(now.plan, name))


def says(now: Reading, field: str, value: Any) -> bool:
    """Whether a field has a value; what switches adapt is named module by module, in the switches' order."""
    has = get(now.plan, field)
    if same(has, value):
        return True
    modules = meant(now, value) if field == "adapter.target_modules" else None
    return modules is not None and isinstance(has, tuple) and modules == frozenset(has)


def _other_default(name: str, old: Reading, now: Reading) -> bool:
    known = old.default(name) is not None and now.default(name) is not None
    return known and not same(get(old.plan, name), get(now.plan, name))


def audit(before: list[Reading], after: list[Reading], fixes: Iterable[Fix]) -> str | None:
    """What a whole series of fixes has done besides what they say, told from its first and last text alone."""
    if [reading.format for reading in before] != [reading.format for reading in after]:
        return "the file is read as something else"
    if lost := _comments(before[0].document) - _comments(after[0].document):
        return f"the comment {next(iter(lost))} is lost"
    changes = [change for fix in fixes for change in fix.changes]
    named = {change.field for change in changes if isinstance(change, Set | Remove)}
    renamed = any(isinstance(change, RenameKey) for change in changes)
    for old, now in zip(before, after, strict=True):
        keys = {
            origin.key_path
            for name in named
            for reading in (old, now)
            if (origin := reading.explicit(name)) is not None
        }
        for name in ordered_names():
            was, is_now = old.explicit(name), now.explicit(name)
            if name in named or (was is None and is_now is None):
                continue
            if (was is None or is_now is None) and renamed:
                continue
            if any(origin is not None and origin.key_path in keys for origin in (was, is_now)):
                continue  # another meaning of a key that was named
            if was is None or is_now is None or not same(get(old.plan, name), get(now.plan, name)):
                return f"{name} is changed too"
    return None


def _key_paths(names: Iterable[str], *readings: Reading) -> set[KeyPath]:
    """The keys under which fields are written."""
    origins = [reading.explicit(name) for name in names for reading in readings]
    return {origin.key_path for origin in origins if origin is not None}


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
