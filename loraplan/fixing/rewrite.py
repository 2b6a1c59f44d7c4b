"""A new value in the place of an old one, in the file's own style; every way of writing it, the nearest first."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from loraplan.document import Document, Entry, Mapping, Scalar, Sequence, Span
from loraplan.document.edit import CannotEditError, Edit
from loraplan.document.structure import line_ending, line_start
from loraplan.fixing.spelling import spellings, text

_SAYS = {True: ("true", "True", "TRUE", "yes", "on"), False: ("false", "False", "FALSE", "no", "off")}
"""What needs no other spelling."""


def rewrite(document: Document, entry: Entry, value: Any) -> Iterator[list[Edit]]:
    """Edits that give an entry a value; raises CannotEditError where it must be left alone."""
    node, syntax, source = entry.value, document.syntax, document.text
    if node.shared or entry.key.shared:
        raise CannotEditError("the value also serves other places")
    old = source[node.span.start : node.span.end]
    if isinstance(node, Scalar):
        if node.style == "expression":
            raise CannotEditError("the value is known only when the file is used")
        if "\n" in old:
            raise CannotEditError("the value is written over several lines")
        if syntax in ("yaml", "shell") and ("${" in old or "$(" in old or "{{" in old or old.startswith("$")):
            raise CannotEditError("the value is known only when the file is used")
        if isinstance(value, tuple) and "," in node.text and syntax != "python":
            yield [_in_place(document, node.span, text(",".join(map(str, value)), syntax, old))]
        bare = syntax == "shell" and node.span.start == node.span.end
        for written in spellings(value, syntax, node.text if bare else old):
            if written != old and not (isinstance(value, bool) and old in _SAYS[value]):
                yield [_in_place(document, node.span, written)]
        return
    if isinstance(node, Mapping):
        if not node.flow or not isinstance(value, dict):
            raise CannotEditError("the value is a section of several keys")
        yield [Edit(node.span, next(spellings(value, syntax, old)))]
        return
    if isinstance(value, tuple):
        edits = _items(document, node, value)
        if edits:
            yield edits
            return
    yield _whole(document, entry, node, value)


def _in_place(document: Document, span: Span, written: str) -> Edit:
    before = document.text[span.start - 1 : span.start] if span.start == span.end and span.start else " "
    return Edit(span, written if before in " \t\n=" else " " + written)


def _items(document: Document, node: Sequence, value: tuple[Any, ...]) -> list[Edit]:
    """Edits of the single items that differ, where the number stays the same."""
    if len(node.items) != len(value) or not all(isinstance(item, Scalar) for item in node.items):
        return []
    edits: list[Edit] = []
    for item, new in zip(node.items, value, strict=True):
        assert isinstance(item, Scalar)
        if item.text == str(new):
            continue
        if item.shared or item.style in ("expression", "block"):
            raise CannotEditError("the value also serves other places")
        old = document.text[item.span.start : item.span.end]
        edits.append(Edit(item.span, next(spellings(new, document.syntax, old))))
    return edits


def _whole(document: Document, entry: Entry, node: Sequence, value: Any) -> list[Edit]:
    """The list as a whole; comments within it forbid that."""
    source, syntax = document.text, document.syntax
    old = source[node.span.start : node.span.end]
    if any(item.shared for item in node.items) or _commented(old, syntax):
        raise CannotEditError("the list has comments or values of other places in it")
    first = node.items[0] if node.items else None
    like = source[first.span.start : first.span.end] if first is not None else ""
    block = syntax == "yaml" and not node.flow
    if not isinstance(value, tuple | list):
        written = next(spellings(value, syntax, like if isinstance(first, Scalar) and "\n" not in like else ""))
        if not block:
            return [Edit(node.span, written)]
        between = source[entry.key.span.end : node.span.start]
        if not re.fullmatch(r"[ \t]*:\s*", between):
            raise CannotEditError("something stands between the key and its list")
        return [Edit(Span(entry.key.span.end, node.span.end), f": {written}")]
    items = [next(spellings(item, syntax, like)) for item in value]
    if syntax == "shell":
        return [Edit(node.span, " ".join(items))]
    newline = line_ending(source, node.span.start)
    if block:
        begin = line_start(source, node.span.start)
        indent = " " * (node.span.start - begin)
        if source[begin : node.span.start].strip():
            raise CannotEditError("the list shares its first line with something else")
        dash = re.match(r"-[ \t]+", old)
        lead = dash[0] if dash else "- "
        return [Edit(node.span, f"{newline}{indent}".join(lead + item for item in items))]
    brackets = old[0] + old[-1]
    if "\n" in old and node.items:
        begin = line_start(source, node.items[0].span.start)
        indent = source[begin : node.items[0].span.start]
        if not indent.strip():
            close = source[node.items[-1].span.end : node.span.end]
            tail = close.lstrip(",") if not close.startswith(",") or syntax == "json" else close
            body = f",{newline}{indent}".join(items)
            return [Edit(node.span, f"{old[0]}{source[node.span.start + 1 : begin]}{indent}{body}{tail}")]
    pad = " " if old[1:2] == " " and node.items else ""
    return [Edit(node.span, brackets[0] + pad + ", ".join(items) + pad + brackets[1])]


def _commented(old: str, syntax: str) -> bool:
    if syntax == "json":
        return "//" in old or "/*" in old
    return syntax != "shell" and "#" in old
