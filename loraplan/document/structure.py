"""Places of keys, their removal and renaming as text edits; knows no framework.

Every function returns edits or raises CannotEditError; `unchanged_elsewhere` proves what they did by parsing again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from loraplan.document import Document, Entry, KeyPath, Mapping, Node, Scalar, Sequence, Span, walk
from loraplan.document.edit import CannotEditError, Edit

_PLAIN_KEY = re.compile(r"[A-Za-z_][\w.-]*\Z")


class Place(NamedTuple):
    """An entry with the mapping that holds it."""

    holder: Mapping
    entry: Entry


def places(document: Document) -> Iterator[Place]:
    """Every entry that stands in the file itself, not behind an alias or a variable."""
    for root in document.roots:
        for _, node in walk(root):
            if isinstance(node, Mapping):
                yield from (Place(node, entry) for entry in node.entries)


def place_of_key(document: Document, span: Span) -> Place | None:
    """The entry whose key stands at a span."""
    found = [place for place in places(document) if place.entry.key.span == span and span.start < span.end]
    return next((place for place in found if not place.entry.value.shared), found[0] if found else None)


def place_of_value(document: Document, span: Span) -> Place | None:
    """The entry whose value stands at a span."""
    found = [place for place in places(document) if place.entry.value.span == span]
    return next((place for place in found if not place.entry.value.shared), None)


def line_ending(text: str, offset: int = 0) -> str:
    """The line ending in use near an offset."""
    end = text.find("\n", offset)
    if end < 0:
        end = text.find("\n")
    return "\r\n" if end > 0 and text[end - 1] == "\r" else "\n"


def line_start(text: str, offset: int) -> int:
    """Where the line of an offset begins; a byte order mark is no part of it."""
    start = text.rfind("\n", 0, offset) + 1
    return 1 if start == 0 and text[:1] == "\ufeff" and offset > 0 else start


def line_end(text: str, offset: int) -> int:
    """Where the line of an offset ends, before its line ending."""
    end = text.find("\n", offset)
    if end < 0:
        return len(text)
    return end - 1 if end > offset and text[end - 1] == "\r" else end


def key_like(text: str, sibling: Entry, key: str) -> str:
    """A key in the quotes of another."""
    quote = text[sibling.key.span.start]
    if quote in "'\"" and quote not in key and "\\" not in key:
        return f"{quote}{key}{quote}"
    if not _PLAIN_KEY.match(key):
        raise CannotEditError(f"{key} cannot be written as a plain key")
    return key


def remove(document: Document, holder: Mapping, entry: Entry) -> list[Edit]:
    """Take an entry away, with its line where it has one of its own."""
    text, key, value = document.text, entry.key, entry.value
    if key.shared or value.shared or key.span.start >= key.span.end:
        raise CannotEditError("the value also serves other places")
    if document.syntax == "shell":
        return [_remove_option(text, entry)]
    own = [other for other in holder.entries if not other.key.shared]
    if len(own) < 2:
        raise CannotEditError("it is the only key of its section")
    start, stop = line_start(text, key.span.start), line_end(text, max(value.span.end, key.span.end))
    alone = not text[start : key.span.start].strip()
    block = (document.syntax == "yaml" and not holder.flow) or (document.syntax == "toml" and not holder.flow)
    if block:
        rest = text[value.span.end : stop].strip()
        if not alone or (rest and not rest.startswith("#") and rest != ":"):
            raise CannotEditError("it shares its line with something else")
        return [Edit(Span(start, _next_line(text, stop)), "")]
    index = next(number for number, other in enumerate(own) if other is entry)
    comma = re.match(r"[ \t]*,[ \t]*", text[value.span.end :])
    if alone and comma and not text[value.span.end + comma.end() : stop].strip():
        return [Edit(Span(start, _next_line(text, stop)), "")]
    if index > 0:
        previous = own[index - 1].value.span.end
        between = text[previous : key.span.start]
        if between.strip() == ",":
            return [Edit(Span(previous, value.span.end), "")]
    elif comma:
        return [Edit(Span(key.span.start, value.span.end + comma.end()), "")]
    raise CannotEditError("comments stand between it and the keys around it")


def _next_line(text: str, stop: int) -> int:
    return stop + len(re.match(r"(?:\r?\n)?", text[stop : stop + 2])[0])  # type: ignore[index]


def _remove_option(text: str, entry: Entry) -> Edit:
    start = entry.key.span.start
    while start and text[start - 1] == "-":
        start -= 1
    before = re.search(r"(?:[ \t]|\\\r?\n)+\Z", text[:start])
    if before is None:
        raise CannotEditError("the option is part of a longer word")
    end = max(entry.value.span.end, entry.key.span.end)
    if text[end : end + 1] and not text[end].isspace() and text[end] not in ";&|)#":
        raise CannotEditError("the option is part of a longer word")
    return Edit(Span(before.start(), end), "")


def rename(document: Document, holder: Mapping, entry: Entry, key: str) -> Edit:
    """Give an entry another key, written as the old one was."""
    if entry.key.shared:
        raise CannotEditError("the key also serves other places")
    if key in holder:
        raise CannotEditError(f"{key} is also written")
    text, span = document.text, entry.key.span
    if document.syntax == "shell":
        old = text[span.start : span.end]
        return Edit(span, key.replace("_", "-") if "-" in old and "_" not in old and "-" not in key else key)
    if document.syntax == "python" and holder.call is not None:
        if not key.isidentifier():
            raise CannotEditError(f"{key} is no keyword")
        return Edit(span, key)
    return Edit(span, key_like(text, entry, key))


def unchanged_elsewhere(before: Document, after: Document, edited: Iterable[Span], written: Iterable[Span]) -> bool:
    """Whether all outside the edited entries is the same: `edited` in the text before, `written` in that after."""
    return _rest(before, edited) == _rest(after, written)


def _rest(document: Document, spans: Iterable[Span]) -> list[tuple[KeyPath, str, str | None, str | None]]:
    keys = touched(document, tuple(span for span in spans))
    return [item for root in document.roots for item in _outline(root, keys)]


def touched(document: Document, spans: tuple[Span, ...]) -> frozenset[Span]:
    """The keys of the entries that spans lie in, or that lie in them."""
    found: set[Span] = set()
    for _, (key, node) in places(document):
        value = node.span
        compound = isinstance(node, Mapping) or (
            isinstance(node, Sequence) and any(isinstance(item, Mapping) for item in node.items)
        )
        for span in spans:
            if span.start == span.end:
                hit = span == value
            else:
                hit = (span.start < key.span.end and key.span.start < span.end) or (
                    span.start <= key.span.start and value.end <= span.end
                )
                if not hit:
                    inside = value.start <= span.start and span.end <= value.end
                    covers = span.start <= value.start and value.end <= span.end
                    hit = covers or (inside and not compound)
            if hit:
                found.add(key.span)
    return frozenset(found)


def _outline(root: Node, skip: frozenset[Span]) -> list[tuple[KeyPath, str, str | None, str | None]]:
    """Type and content of every node, less the entries with these keys and all below them."""
    found: list[tuple[KeyPath, str, str | None, str | None]] = []
    stack: list[tuple[KeyPath, Node]] = [((), root)]
    while stack:
        path, node = stack.pop()
        call = node.call if isinstance(node, Mapping) else None
        found.append((path, type(node).__name__, node.text if isinstance(node, Scalar) else None, call))
        if isinstance(node, Mapping):
            kept = [entry for entry in node.entries if entry.key.span not in skip]
            stack.extend(((*path, entry.key.text), entry.value) for entry in reversed(kept))
        elif not isinstance(node, Scalar):
            stack.extend(((*path, number), item) for number, item in reversed(list(enumerate(node.items))))
    return found
