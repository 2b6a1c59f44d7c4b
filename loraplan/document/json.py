"""JSON with comments tolerated: the standard library judges the text, tree-sitter says where things are."""

from __future__ import annotations

import json
import re
from typing import Any

from tree_sitter import Language, Parser, Tree
from tree_sitter_json import language

from loraplan.document import Document, DocumentError, Entry, Mapping, Node, Problem, Scalar, Sequence, Span
from loraplan.document.offsets import character_offsets, encode

MAX_DEPTH = 200

_BOM = "\ufeff"
_STRING_OR_COMMENT = re.compile(r'"(?:[^"\\]|\\.)*"|(//[^\n\r]*|/\*.*?(?:\*/|\Z))', re.DOTALL)
_STRING_OR_CONSTANT = re.compile(r'"(?:[^"\\]|\\.)*"|NaN|Infinity', re.DOTALL)
_NOT_BREAK = re.compile(r"[^\r\n]")


def parse(text: str, path: str) -> Document:
    """The document of a JSON text."""
    encode(text, path, "json")
    base = 1 if text.startswith(_BOM) else 0
    body, comments = _blank_comments(text[base:], base)
    if not body.strip():
        return Document(path, "json", text, (), (), comments)
    _validate(body, text, path, base)
    # The grammar lacks Python's NaN and Infinity: it sees numbers of the same length.
    if "NaN" in body or "Infinity" in body:
        seen = _STRING_OR_CONSTANT.sub(lambda found: {"N": "1e1", "I": "1" * 8}.get(found[0][0], found[0]), body)
    else:
        seen = body
    tree = Parser(Language(language())).parse(seen.encode())
    builder = _Builder(text, path, body, base)
    root = builder.build(tree)
    return Document(path, "json", text, (root,), tuple(builder.problems), comments)


def _blank_comments(body: str, base: int) -> tuple[str, tuple[tuple[Span, str], ...]]:
    """The text with comments replaced by spaces, and the comments."""
    if "//" not in body and "/*" not in body:
        return body, ()
    comments: list[tuple[Span, str]] = []

    def blank(found: re.Match[str]) -> str:
        if found[1] is None:
            return found[0]
        comments.append((Span(found.start() + base, found.end() + base), found[0]))
        return _NOT_BREAK.sub(" ", found[0])

    return _STRING_OR_COMMENT.sub(blank, body), tuple(comments)


def _validate(body: str, text: str, path: str, base: int) -> None:
    try:
        json.loads(body, parse_int=str, parse_float=str)
    except json.JSONDecodeError as error:
        from loraplan.document.json_errors import explain

        message, remedy, offset = explain(error, body)
    except RecursionError:
        message, remedy, offset = _too_deep(body)
    else:
        return
    raise DocumentError(path, message, remedy, Document(path, "json", text, ()).position(offset + base))


def _too_deep(body: str) -> tuple[str, str, int]:
    depth = 0
    for found in re.finditer(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', body, re.DOTALL):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(found[0], 0)
        if depth > MAX_DEPTH:
            return _deep_message(found.start())
    return _deep_message(0)


def _deep_message(offset: int) -> tuple[str, str, int]:
    return f"nested more than {MAX_DEPTH} levels deep", "check that this is a training config", offset


class _Builder:
    def __init__(self, text: str, path: str, body: str, base: int) -> None:
        self.text = text
        self.path = path
        self.body = body
        self.base = base
        self.problems: list[Problem] = []
        if base:
            message = "a byte order mark, which JSON loaders refuse"
            self.problems.append(Problem("encoding", message, Span(0, 1)))

    def build(self, tree: Tree) -> Node:
        """The tree in one pass of its cursor; a mapping's frame collects keys and values in turn."""
        offset = character_offsets(self.body, self.body.encode())
        base = self.base
        cursor = tree.walk()
        roots: list[Node] = []
        stack: list[tuple[str, int, list[Node]]] = []
        nodes = roots
        while True:
            current = cursor.node
            kind = current.type if current is not None else "ERROR"
            if kind in ("document", "pair"):
                if cursor.goto_first_child():
                    continue
            elif kind in ("object", "array"):
                assert current is not None
                nodes = []
                stack.append((kind, offset(current.start_byte) + base, nodes))
                if len(stack) > MAX_DEPTH:
                    raise self._error(*_deep_message(stack[-1][1]))
                if cursor.goto_first_child():
                    continue
            elif kind in ("string", "number", "true", "false", "null"):
                assert current is not None
                span = Span(offset(current.start_byte) + base, offset(current.end_byte) + base)
                nodes.append(self._scalar(kind, span))
            elif kind == "ERROR":
                raise self._error("invalid JSON", "correct the text here", base)
            while not cursor.goto_next_sibling():
                if not cursor.goto_parent():
                    return roots[0]
                current = cursor.node
                if current is not None and current.type in ("object", "array"):
                    kind, start, inner = stack.pop()
                    span = Span(start, offset(current.end_byte) + base)
                    nodes = stack[-1][2] if stack else roots
                    nodes.append(self._collection(kind, span, inner))

    def _scalar(self, kind: str, span: Span) -> Scalar:
        raw = self.text[span.start : span.end]
        if kind == "string":
            return Scalar(_decoded(raw), span, "quoted", "str")
        if kind == "number":
            return Scalar(raw, span, "plain", "int" if raw.lstrip("-").isdigit() else "float")
        return Scalar(raw, span, "plain", "null" if kind == "null" else "bool")

    def _collection(self, kind: str, span: Span, nodes: list[Node]) -> Node:
        if kind == "array":
            return Sequence(tuple(nodes), span, flow=True)
        entries: list[Entry] = []
        first: dict[str, Span] = {}
        pairs: Any = iter(nodes)
        for key, value in zip(pairs, pairs, strict=True):
            entries.append(Entry(key, value))
            if key.text in first:
                message = f"the key {key.text} is given twice; loaders keep the last one"
                self.problems.append(Problem("duplicate-key", message, key.span, first[key.text]))
            else:
                first[key.text] = key.span
        return Mapping(tuple(entries), span, flow=True)

    def _error(self, message: str, remedy: str, offset: int) -> DocumentError:
        return DocumentError(self.path, message, remedy, Document(self.path, "json", self.text, ()).position(offset))


def _decoded(raw: str) -> str:
    """The content of a string literal; a lone surrogate, which cannot be printed, becomes U+FFFD."""
    if "\\" not in raw:
        return raw[1:-1]
    decoded: str = json.loads(raw)
    return decoded.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
