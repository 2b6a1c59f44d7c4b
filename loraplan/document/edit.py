"""Edits to a source text: each changes its span and nothing else, and is proved by parsing the result."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib import import_module
from typing import Literal, NamedTuple

from loraplan.document import Document, DocumentError, KeyPath, Node, Scalar, Span, find, walk

_EDITABLE = ("yaml", "json", "toml")
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}
_SINGLE_QUOTABLE = re.compile(r"[^\x00-\x1f\x7f-\xa0\u2028\u2029\ufeff\ud800-\udfff]*\Z")


class Edit(NamedTuple):
    """Put `text` in place of `span`."""

    span: Span
    text: str


class CannotEditError(Exception):
    """An edit that would not do what it says, e.g. below a YAML alias; the message says why."""


def apply(text: str, edits: Iterable[Edit]) -> str:
    """The text with every edit made; ValueError if two overlap or insert at one place."""
    parts: list[str] = []
    done, previous = 0, Span(-1, -1)
    for span, new in sorted(edits):
        if not 0 <= span.start <= span.end <= len(text):
            raise ValueError(f"edit {span} lies outside a text of {len(text)} characters")
        if span.start < previous.end or span.start == previous.start:
            raise ValueError(f"edits {previous} and {span} overlap")
        parts += (text[done : span.start], new)
        done, previous = span.end, span
    parts.append(text[done:])
    return "".join(parts)


def replace(
    document: Document,
    target: KeyPath | Node,
    text: str,
    style: Literal["plain", "quoted"] | None = None,
    root: int = 0,
) -> Edit:
    """The edit that gives a value the content `text`, written as the old value was, or in `style`.

    `target` is a node of the document or a key path below `roots[root]`. A plain text that the syntax would read
    otherwise is quoted. Raises CannotEditError rather than return an edit that changes anything else.
    """
    node = target if isinstance(target, Scalar) or not isinstance(target, tuple) else _found(document, target, root)
    if document.syntax not in _EDITABLE:
        raise CannotEditError(f"{document.syntax} files are not edited")
    if node.shared:
        raise CannotEditError("the value also serves other places")
    if not isinstance(node, Scalar) and not node.flow:
        raise CannotEditError("the value is written over several lines")
    before = document.text[node.span.start - 1 : node.span.start] if node.span.start else ""
    space = " " if node.span.start == node.span.end and before not in ("", " ", "\n", "\t") else ""
    expected = _expected(document, node, text)
    for written in _renderings(document, node, text, style):
        edit = Edit(node.span, space + written)
        if _outline(document, apply(document.text, [edit])) == expected:
            return edit
    raise CannotEditError("no way of writing the value keeps the rest of the file as it is")


def _found(document: Document, path: KeyPath, root: int) -> Node:
    node = find(document.roots[root], path) if root < len(document.roots) else None
    if node is None:
        raise CannotEditError(f"there is no value at {'.'.join(map(str, path))}")
    return node


Outline = list[tuple[int, KeyPath, str, str | None]]
"""Every node of a document: root, key path, type, content. Two texts that say the same have the same outline."""


def _node_outline(root: int, path: KeyPath, node: Node) -> tuple[int, KeyPath, str, str | None]:
    return root, path, type(node).__name__, node.text if isinstance(node, Scalar) else None


def _outline(document: Document, text: str) -> Outline | None:
    try:
        parsed: Document = import_module(f"loraplan.document.{document.syntax}").parse(text, document.path)
    except DocumentError:
        return None
    return [_node_outline(index, *item) for index, root in enumerate(parsed.roots) for item in walk(root)]


def _expected(document: Document, target: Node, text: str) -> Outline:
    """The document's outline with the target, and all below it, replaced by a scalar."""
    outline: Outline = []
    below = {id(node) for _, node in walk(target)}
    for index, root in enumerate(document.roots):
        for path, node in walk(root):
            if node is target:
                outline.append((index, path, "Scalar", text))
            elif id(node) not in below:
                outline.append(_node_outline(index, path, node))
    return outline


def _renderings(document: Document, node: Node, text: str, style: str | None) -> list[str]:
    """Ways to write `text`, the preferred one first."""
    first = document.text[node.span.start : node.span.start + 1]
    single = (
        first == "'" and _SINGLE_QUOTABLE.match(text) is not None and (document.syntax == "yaml" or "'" not in text)
    )
    quoted = ["'" + text.replace("'", "''") + "'"] if single else []
    quoted.append('"' + "".join(_escaped(character) for character in text) + '"')
    was_quoted = isinstance(node, Scalar) and node.style == "quoted"
    if style == "quoted" or (style is None and was_quoted):
        return quoted
    return [text, *quoted]


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    code = ord(character)
    if code < 0x10000:
        return f"\\u{code:04x}"
    # JSON knows no longer escape and needs none here.
    return character
