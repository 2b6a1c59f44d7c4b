"""Changes of fields as edits of one run's file: every way of making a fix, the most natural first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice, product
from typing import Any

from loraplan.document import Document, Entry, Mapping, Scalar, Span, walk
from loraplan.document.edit import CannotEditError, Edit
from loraplan.document.insertion import fill, insert, insert_table, is_empty
from loraplan.document.layout import Written
from loraplan.document.structure import Place, place_of_key, place_of_value, places, remove, rename
from loraplan.fixing.example import like, sibling
from loraplan.fixing.keys import keys_of
from loraplan.fixing.rewrite import rewrite
from loraplan.fixing.sections import created, section_of
from loraplan.fixing.spelling import written_as
from loraplan.fixing.translate import Drop, Write, translations
from loraplan.formats.reading import Reading
from loraplan.formats.values import scalar_value
from loraplan.rule import Change, Fix, Remove, RenameKey, Set

_MOST = 32
"""Ways of making a fix that are tried."""


def ways(reading: Reading, fix: Fix) -> Iterator[list[Edit]]:
    """Lists of edits that may make a fix; raises CannotEditError where a change cannot be written at all."""
    written = _merged(reading, fix.changes)
    gone = _gone(reading, written)
    together = _together(reading, written)
    whole = [(change, together.get(change.field, {}) if isinstance(change, Set) else {}) for change in written]
    alone = [(change, beside) for change, beside in whole if beside is not None]
    for chosen in islice(product(*(list(_one(reading, change, beside, gone)) for change, beside in alone)), _MOST):
        yield _joined(edit for edits in chosen for edit in edits)


def _joined(edits: Iterable[Edit]) -> list[Edit]:
    """The edits, each once, with what is inserted at one place in one edit."""
    found: dict[Span, str] = {}
    others: list[Edit] = []
    for edit in dict.fromkeys(edits):
        if edit.span.start == edit.span.end:
            found[edit.span] = found.get(edit.span, "") + edit.text
        else:
            others.append(edit)
    return others + [Edit(span, text) for span, text in found.items()]


def _together(reading: Reading, changes: list[Change]) -> dict[str, dict[str, Any] | None]:
    """Field -> the further keys that its new section gets; None for a field whose key another one brings along."""
    first: dict[str, str] = {}
    found: dict[str, dict[str, Any] | None] = {}
    for change in changes:
        if not isinstance(change, Set) or reading.explicit(change.field) is not None:
            continue
        keys = keys_of(reading, change.field)
        if not keys or translations(reading, change.field, change.value) is not None:
            continue
        prefix, _, leaf = keys[0].rpartition(".")
        if len(section_of(reading, keys[0])[1]) < 2:
            continue
        if prefix not in first:
            first[prefix] = change.field
        else:
            brought = found.setdefault(first[prefix], {})
            assert brought is not None
            brought[leaf] = change.value
            found[change.field] = None
    return found


def _merged(reading: Reading, changes: tuple[Change, ...]) -> list[Change]:
    """The changes without a removal whose key another change writes anew."""
    kept: list[Change] = []
    sets = [change for change in changes if isinstance(change, Set)]
    for change in changes:
        origin = reading.explicit(change.field) if isinstance(change, Remove) else None
        if origin is not None and any(
            _key_of(reading, other.field) == ".".join(map(str, origin.key_path)) for other in sets
        ):
            continue
        kept.append(change)
    return kept


def _gone(reading: Reading, changes: list[Change]) -> frozenset[Span]:
    """The keys that the changes take away, beside which nothing is written."""
    spans: set[Span] = set()
    for change in changes:
        if isinstance(change, Remove):
            origin = reading.explicit(change.field)
            spans.update([origin.key_span] if origin is not None and origin.key_span else [])
        elif isinstance(change, Set):
            other_keys = translations(reading, change.field, change.value)
            ways_known = other_keys if isinstance(other_keys, tuple) else ()
            for operation in (operation for way in ways_known for operation in way):
                if isinstance(operation, Drop):
                    entry = _entry(reading, operation.key)
                    spans.update([entry.key.span] if entry is not None else [])
    return frozenset(spans)


def _key_of(reading: Reading, field: str) -> str | None:
    return reading.keys.get(field)


def _one(reading: Reading, change: Change, beside: dict[str, Any], gone: frozenset[Span]) -> Iterator[list[Edit]]:
    match change:
        case Set(field=field, value=value):
            found = translations(reading, field, value)
            if isinstance(found, str):
                raise CannotEditError(found)
            if found is None:
                yield from _set(reading, field, value, beside, gone)
                return
            yield from _first(_way(reading, field, way, gone) for way in found)
        case Remove(field=field):
            place = _written(reading, field)
            if place is None:
                raise CannotEditError("it is not written in the file")
            yield remove(reading.document, place.holder, place.entry)
        case RenameKey():
            yield from _rename(reading, change)


def _rename(reading: Reading, change: RenameKey) -> Iterator[list[Edit]]:
    document = reading.document
    place = place_of_key(document, change.span)
    if place is None:
        raise CannotEditError("the key is not written as a key of its own")
    key = change.key
    if document.syntax == "shell":
        issue = next((issue for issue in reading.key_issues if issue.span == change.span), None)
        if issue is not None and issue.suggestion and issue.suggestion.partition(": ")[0].endswith("." + key):
            key = issue.suggestion.partition(": ")[0]
    renamed = rename(document, place.holder, place.entry, key)
    if change.value is None:
        yield [renamed]
        return
    value: Any = change.value
    if isinstance(value, str):
        value = scalar_value(Scalar(value, Span(0, 0)), "yaml-1.2")
    for edits in rewrite(document, place.entry, value):
        yield [renamed, *edits]


def _written(reading: Reading, field: str) -> Place | None:
    """Where a field stands in the file, with its key."""
    document = reading.document
    origin = reading.explicit(field)
    if origin is not None:
        if origin.shared:
            raise CannotEditError("the value also serves other places")
        place = place_of_key(document, origin.key_span) if origin.key_span else place_of_value(document, origin.span)
        if place is None:
            raise CannotEditError("the value has no key of its own in the file")
        return place
    issue = next((issue for issue in reading.value_issues if issue.field == field), None)
    if issue is not None:
        return place_of_value(document, issue.span)
    return None


def _set(
    reading: Reading, field: str, value: Any, beside: dict[str, Any], gone: frozenset[Span]
) -> Iterator[list[Edit]]:
    place = _written(reading, field)
    if place is not None:
        yield from _values(reading, place, value)
        return
    keys = keys_of(reading, field)
    if not keys:
        raise CannotEditError(f"{reading.format} has no key for {field}")
    yield from _first(_write(reading, field, key, value, gone, beside) for key in keys)


def _values(reading: Reading, place: Place, value: Any) -> Iterator[list[Edit]]:
    """The value itself, or its negation under a key that turns the thing off."""
    yield from rewrite(reading.document, place.entry, value)
    if isinstance(value, bool):
        yield from rewrite(reading.document, place.entry, not value)


def _first(several: Iterator[Iterator[list[Edit]]]) -> Iterator[list[Edit]]:
    """All ways of all, or the first reason where there is none."""
    reason: CannotEditError | None = None
    some = False
    for one in several:
        try:
            for edits in one:
                some = True
                yield edits
        except CannotEditError as error:
            reason = reason or error
    if not some and reason is not None:
        raise reason


def _way(reading: Reading, field: str, way: tuple[Write | Drop, ...], gone: frozenset[Span]) -> Iterator[list[Edit]]:
    for chosen in product(*(list(_operation(reading, field, operation, gone)) for operation in way)):
        yield [edit for edits in chosen for edit in edits]


def _operation(reading: Reading, field: str, operation: Write | Drop, gone: frozenset[Span]) -> Iterator[list[Edit]]:
    if isinstance(operation, Write):
        yield from _write(reading, field, operation.key, operation.value, gone)
        return
    entry = _entry(reading, operation.key)
    if entry is None:
        yield []
        return
    place = place_of_key(reading.document, entry.key.span)
    if place is None:
        raise CannotEditError("the value has no key of its own in the file")
    yield remove(reading.document, place.holder, place.entry)


def _entry(reading: Reading, key: str) -> Entry | None:
    """The entry of a dotted key, where it is written."""
    section, below = section_of(reading, key)
    return section.entry(below[0]) if section is not None and len(below) == 1 else None


def _write(
    reading: Reading, field: str, key: str, value: Any, gone: frozenset[Span], beside: dict[str, Any] | None = None
) -> Iterator[list[Edit]]:
    """Give a dotted key a value: in its place where it is written, else beside its nearest sibling.

    A section that is missing is created where its framework takes it so, with the keys `beside`.
    """
    document = reading.document
    section, below = section_of(reading, key)
    if document.syntax == "shell" and isinstance(reading.root, Mapping):
        section, below = reading.root, (key,)
    if section is None:
        raise CannotEditError(f"the file has no section {key.rpartition('.')[0]}")
    entry = section.entry(below[0])
    if entry is not None and len(below) == 1:
        place = place_of_key(document, entry.key.span)
        if place is None:
            raise CannotEditError("the value has no key of its own in the file")
        yield from rewrite(document, place.entry, value)
        return
    if section.shared:
        raise CannotEditError("its section also serves other places")
    for written in written_as(value, document.syntax, like(document, section, value)):
        yield _new(reading, section, field, key, below, written, gone, beside or {})


def _new(
    reading: Reading, section: Mapping, field: str, key: str, below: tuple[str, ...], written: Written,
    gone: frozenset[Span], beside: dict[str, Any],
) -> list[Edit]:  # fmt: skip
    """A key that is not in the file, with the sections on the way to it."""
    document = reading.document
    if len(below) > 1:
        leaves = {
            leaf: next(written_as(value, document.syntax, like(document, section, value)))
            for leaf, value in beside.items()
        }
        inner = created(reading, key, below, {below[-1]: written, **leaves})
        if inner is None:
            raise CannotEditError(f"the file has no section {key.rpartition('.')[0]}, which is more than this key")
        entry = section.entry(below[0])
        place = place_of_key(document, entry.key.span) if entry is not None else None
        if entry is not None:
            if place is None:
                raise CannotEditError("its section has no key of its own in the file")
            return fill(document, place.holder, place.entry, inner)
        written = inner
        table = _own(document, section)
        if document.syntax == "toml" and not table.flow:
            return insert_table(document, table, below[0], inner)
    elif not section.entries:
        for place in places(document):
            if place.entry.value.span == section.span and is_empty(place.entry.value):
                return fill(document, place.holder, place.entry, {below[0]: written})
    holder, beside_it = sibling(reading, section, field, gone)
    return insert(document, holder, beside_it, below[0], written)


def _own(document: Document, section: Mapping) -> Mapping:
    """The document's own node of a section, which a reader may have resolved into another."""
    for root in document.roots:
        for _, node in walk(root):
            if isinstance(node, Mapping) and node.span == section.span:
                return node
    raise CannotEditError("its section has no place of its own in the file")
