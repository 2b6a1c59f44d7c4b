"""JSON with comments tolerated: the standard library judges the text, one pass over its tokens says where things are.

No tree-sitter here: its grammar (0.24.8) refuses the valid number `1e+16` and the `NaN` that Python writes.
"""

from __future__ import annotations

import json
import re

from loraplan.document import (
    MAX_DEPTH,
    MAX_NODES,
    Document,
    DocumentError,
    Entry,
    Mapping,
    Node,
    Problem,
    Scalar,
    Sequence,
    Span,
)
from loraplan.document.offsets import encode, printable

_BOM = "\ufeff"
# An unclosed string runs to the end of the text, lest every quote in it be tried anew.
_STRING = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?'
_STRING_OR_COMMENT = re.compile(_STRING + r"|(//[^\n\r]*|/\*.*?(?:\*/|\Z))", re.DOTALL)
_TOKEN = re.compile(_STRING + r"|[{}\[\]]|[^\s{}\[\],:\"]+", re.DOTALL)
_NOT_BREAK = re.compile(r"[^\r\n]")


def parse(text: str, path: str) -> Document:
    """The document of a JSON text."""
    encode(text, path, "json")
    base = 1 if text.startswith(_BOM) else 0
    body, comments = _blank_comments(text, path, base)
    problems: list[Problem] = []
    if base:
        problems.append(Problem("encoding", "a byte order mark, which JSON loaders refuse", Span(0, 1)))
    roots: tuple[Node, ...] = ()
    if body[base:].strip():
        _refuse_data(body, path, base)
        _validate(body, path, base)
        roots = (_read(body, path, base, problems),)
    return Document(path, "json", text, roots, tuple(problems), comments)


def _blank_comments(text: str, path: str, base: int) -> tuple[str, tuple[tuple[Span, str], ...]]:
    """The text with comments replaced by spaces, and the comments."""
    if "//" not in text and "/*" not in text:
        return text, ()
    comments: list[tuple[Span, str]] = []

    def blank(found: re.Match[str]) -> str:
        if found[1] is None:
            return found[0]
        comments.append((Span(*found.span()), found[0]))
        if len(comments) > MAX_NODES:
            message = f"more than {MAX_NODES} comments"
            raise _error(text, path, message, "name a training config", found.start() + base)
        return _NOT_BREAK.sub(" ", found[0]) if found[0][1] == "*" else " " * len(found[0])

    return text[:base] + _STRING_OR_COMMENT.sub(blank, text[base:]), _shifted(comments, base)


def _shifted(comments: list[tuple[Span, str]], base: int) -> tuple[tuple[Span, str], ...]:
    return tuple((Span(span.start + base, span.end + base), text) for span, text in comments)


def _refuse_data(text: str, path: str, base: int) -> None:
    """Stop before the standard library builds millions of values; a short text cannot hold too many."""
    if len(text) > MAX_NODES:
        for count, found in enumerate(_TOKEN.finditer(text, base)):
            if count == MAX_NODES:
                message = f"more than {MAX_NODES} values"
                raise _error(text, path, message, "name a training config, not data", found.start())


def _validate(text: str, path: str, base: int) -> None:
    try:
        json.loads(text[base:], parse_int=str, parse_float=str)
    except json.JSONDecodeError as error:
        from loraplan.document.json_errors import explain

        message, remedy, offset = explain(error, text[base:])
        raise _error(text, path, message, remedy, offset + base) from None
    except RecursionError:
        # The standard library gives up somewhere beyond the limit: the token pass says where the limit is.
        _read(text, path, base, [])
        raise _too_deep(text, path, base) from None


def _read(text: str, path: str, base: int, problems: list[Problem]) -> Node:
    """The tree of a valid JSON text; `nodes` of an open collection holds keys and values in turn for a mapping."""
    roots: list[Node] = []
    nodes = roots
    stack: list[tuple[int, list[Node]]] = []
    for found in _TOKEN.finditer(text, base):
        start, end = found.span()
        first = text[start]
        if first == '"':
            nodes.append(Scalar(_decoded(text[start:end]), Span(start, end), "quoted", "str"))
        elif first in "{[":
            stack.append((start, nodes))
            if len(stack) > MAX_DEPTH:
                raise _too_deep(text, path, start)
            nodes = []
        elif first in "}]":
            start, outer = stack.pop()
            span = Span(start, end)
            if first == "]":
                outer.append(Sequence(tuple(nodes), span, flow=True))
            else:
                outer.append(Mapping(_entries(nodes, problems), span, flow=True))
            nodes = outer
        else:
            nodes.append(Scalar(found[0], Span(start, end), "plain", _kind(found[0])))
    return roots[0]


def _entries(nodes: list[Node], problems: list[Problem]) -> tuple[Entry, ...]:
    entries: list[Entry] = []
    first: dict[str, Span] = {}
    pairs = iter(nodes)
    for key, value in zip(pairs, pairs, strict=True):
        assert isinstance(key, Scalar)
        entries.append(Entry(key, value))
        if key.text in first:
            message = f"the key {key.text} is given twice; loaders keep the last one"
            problems.append(Problem("duplicate-key", message, key.span, first[key.text]))
        else:
            first[key.text] = key.span
    return tuple(entries)


def _kind(literal: str) -> str:
    if literal in ("true", "false"):
        return "bool"
    if literal == "null":
        return "null"
    return "int" if literal.lstrip("-").isdigit() else "float"


def _decoded(raw: str) -> str:
    """The content of a string literal."""
    if "\\" not in raw:
        return raw[1:-1]
    return printable(json.loads(raw))


def _too_deep(text: str, path: str, offset: int) -> DocumentError:
    message = f"nested more than {MAX_DEPTH} levels deep"
    return _error(text, path, message, "check that this is a training config", offset)


def _error(text: str, path: str, message: str, remedy: str, offset: int) -> DocumentError:
    return DocumentError(path, message, remedy, Document(path, "json", text, ()).position(offset))
