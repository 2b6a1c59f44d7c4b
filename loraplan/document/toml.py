"""TOML: the standard library judges the text, tree-sitter says where things are."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator

import tree_sitter
from tree_sitter_toml import language

from loraplan.document import (
    MAX_DEPTH,
    Document,
    DocumentError,
    Entry,
    Mapping,
    Node,
    Position,
    Problem,
    Scalar,
    Sequence,
    Span,
)
from loraplan.document.offsets import character_offsets, encode

MAX_MARKS = 20_000
"""Line ends, commas, dots and backslashes that a text may hold: no value comes without one."""

_BOM = "\ufeff"
_WHERE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_LONG_NUMBER = re.compile(r"(?<!\w)(?:0x)?[0-9A-Fa-f_]{1000}")
_MANY_PARTS = re.compile(
    r"""(?<![\w-])(?:(?:[\w-]+|"[^"\n]*"|'[^'\n]*')[ \t]*\.[ \t]*){%d}""" % MAX_DEPTH  # noqa: UP031 - braces
)
_KEYS = ("bare_key", "quoted_key", "dotted_key")


def parse(text: str, path: str) -> Document:
    """The document of a TOML text; its one root is the top table."""
    encode(text, path, "toml")
    return _Builder(text, path).build()


class _Table:
    """A table under construction: several parts of the file may add to it."""

    __slots__ = ("depth", "end", "entries", "start")

    def __init__(self, start: int, end: int, depth: int) -> None:
        self.start = start
        self.end = end
        self.depth = depth
        self.entries: dict[str, tuple[Scalar, Node | _Table | list[_Table]]] = {}


class _Builder:
    def __init__(self, text: str, path: str) -> None:
        self.text = text
        self.path = path
        self.base = 1 if text.startswith(_BOM) else 0
        self.body = text[self.base :]
        self.data = self.body.encode()
        self.offset = character_offsets(self.body, self.data)
        self.comments: list[tuple[Span, str]] = []

    def build(self) -> Document:
        self._validate()
        root = tree_sitter.Parser(tree_sitter.Language(language())).parse(self.data).root_node
        if root.has_error:
            raise self._error("TOML that cannot be located", "write it in a plainer form", _first_error(root))
        top = _Table(self.base, len(self.text), 0)
        for child in self._children(root):
            if child.type == "pair":
                self._pair(child, top)
            elif child.type in ("table", "table_array_element"):
                self._section(child, top)
        problems: tuple[Problem, ...] = ()
        if self.base:
            problems = (Problem("encoding", "a byte order mark, which TOML loaders refuse", Span(0, 1)),)
        roots = (_frozen(top),) if top.entries else ()
        return Document(self.path, "toml", self.text, roots, problems, tuple(sorted(self.comments)))

    def _validate(self) -> None:
        # tomllib is slow, and its memory grows with the length of a number: both are bounded before it starts.
        if sum(map(self.body.count, "\n,.\\")) > MAX_MARKS:
            raise DocumentError(self.path, f"more than {MAX_MARKS} values", "name a training config, not data")
        if found := _LONG_NUMBER.search(self.body):
            raise self._error("a number that is too long", "shorten it", found.start() + self.base)
        # A key of many parts makes tomllib's memory grow with their square.
        if found := _MANY_PARTS.search(self.body):
            raise self._too_deep(found.start() + self.base)
        try:
            tomllib.loads(self.body)
        except tomllib.TOMLDecodeError as error:
            raise self._explain(str(error)) from None
        except RecursionError:
            message = f"nested more than {MAX_DEPTH} levels deep"
            raise DocumentError(self.path, message, "check that this is a training config") from None

    def _explain(self, problem: str) -> DocumentError:
        found = _WHERE.search(problem)
        message = problem[: found.start()] if found else problem
        message, remedy = message[:1].lower() + message[1:], "correct the line"
        position = Document(self.path, "toml", self.text, ()).position(len(self.text))
        if found and found[1]:
            position = Position(int(found[1]), int(found[2]))
        if declared := re.match(r"cannot (?:declare|mutate immutable namespace) \((.*?),?\)", message):
            message = f"the table {declared[1].replace(', ', '.').replace(chr(39), '')} is given twice"
            remedy, position = "give each table once", position._replace(column=1)
        elif message.startswith(("cannot overwrite", "duplicate inline table key")):
            message, remedy, position = "a key that is given twice", "give each key once", position._replace(column=1)
        elif message.startswith("invalid value"):
            remedy = "quote the value if it is a string; TOML writes true and false in lower case"
        elif message.startswith("expected '='"):
            remedy = "write 'key = value'"
        return DocumentError(self.path, message, remedy, position)

    def _children(self, node: tree_sitter.Node) -> Iterator[tree_sitter.Node]:
        """The node's named children, comments taken out and kept."""
        for child in node.named_children:
            if child.type == "comment":
                span = self._span(child)
                self.comments.append((span, self.text[span.start : span.end]))
            else:
                yield child

    def _span(self, node: tree_sitter.Node) -> Span:
        return Span(self.offset(node.start_byte) + self.base, self.offset(node.end_byte) + self.base)

    def _section(self, node: tree_sitter.Node, top: _Table) -> None:
        """A `[table]` or `[[table]]` header with the pairs below it."""
        children = list(self._children(node))
        start, end = self._span(node).start, self._span(children[-1]).end + 1
        if node.type == "table_array_element" and len(children) == 1:
            end += 1
        elif len(children) > 1:
            end -= 1
        keys = self._keys(children[0])
        parent = self._reach(top, keys[:-1], Span(start, end))
        if node.type == "table":
            table = self._reach(parent, keys[-1:], Span(start, end))
        else:
            _, tables = parent.entries.setdefault(keys[-1].text, (keys[-1], []))
            assert isinstance(tables, list)
            table = self._table(Span(start, end), parent.depth + 1)
            tables.append(table)
        for child in children[1:]:
            self._pair(child, table)

    def _pair(self, node: tree_sitter.Node, table: _Table) -> None:
        key, value = self._children(node)
        keys = self._keys(key)
        owner = self._reach(table, keys[:-1], Span(keys[0].span.start, self._span(value).end))
        owner.entries[keys[-1].text] = (keys[-1], self._value(value, owner.depth + 1))

    def _reach(self, table: _Table, keys: list[Scalar], span: Span) -> _Table:
        """The table below `table` at these keys, made where it is missing; in a list of tables, the last one."""
        for key in keys:
            found = table.entries.get(key.text)
            if found is None:
                made = self._table(span, table.depth + 1)
                table.entries[key.text] = (key, made)
                table = made
                continue
            inner = found[1]
            inner = inner[-1] if isinstance(inner, list) else inner
            assert isinstance(inner, _Table)
            inner.end = max(inner.end, span.end)
            table = inner
        return table

    def _table(self, span: Span, depth: int) -> _Table:
        if depth > MAX_DEPTH:
            raise self._too_deep(span.start)
        return _Table(span.start, span.end, depth)

    def _keys(self, node: tree_sitter.Node) -> list[Scalar]:
        """The parts of a dotted key; the grammar nests them to the left."""
        parts: list[Scalar] = []
        stack = [node]
        while stack:
            current = stack.pop()
            if current.type == "dotted_key":
                stack.extend(child for child in reversed(current.named_children) if child.type in _KEYS)
                continue
            span = self._span(current)
            raw = self.text[span.start : span.end]
            quoted = current.type == "quoted_key"
            name = next(iter(tomllib.loads(f"{raw}=0"))) if quoted else raw
            parts.append(Scalar(name, span, "quoted" if quoted else "plain", "str"))
        return parts

    def _value(self, node: tree_sitter.Node, depth: int) -> Node:
        span = self._span(node)
        if depth > MAX_DEPTH:
            raise self._too_deep(span.start)
        raw = self.text[span.start : span.end]
        match node.type:
            case "array":
                items = tuple(self._value(child, depth + 1) for child in self._children(node))
                return Sequence(items, span, flow=True)
            case "inline_table":
                table = self._table(span, depth)
                for child in self._children(node):
                    self._pair(child, table)
                frozen = _frozen(table)
                frozen.flow = True
                return frozen
            case "string":
                plain = raw[:3] not in ('"""', "'''") and "\\" not in raw
                return Scalar(raw[1:-1] if plain else tomllib.loads(f"x={raw}")["x"], span, "quoted", "str")
            case "integer":
                return Scalar(raw, span, "plain", "int")
            case "float":
                return Scalar(raw, span, "plain", "float")
            case "boolean":
                return Scalar(raw, span, "plain", "bool")
        return Scalar(raw, span, "plain", "str")

    def _too_deep(self, offset: int) -> DocumentError:
        message = f"nested more than {MAX_DEPTH} levels deep"
        return self._error(message, "check that this is a training config", offset)

    def _error(self, message: str, remedy: str, offset: int) -> DocumentError:
        return DocumentError(self.path, message, remedy, Document(self.path, "toml", self.text, ()).position(offset))


def _frozen(table: _Table) -> Mapping:
    """The table as a node; a table ends where its last part ends."""
    entries: list[Entry] = []
    for key, value in table.entries.values():
        if isinstance(value, _Table):
            node: Node = _frozen(value)
        elif isinstance(value, list):
            items = tuple(_frozen(item) for item in value)
            node = Sequence(items, Span(items[0].span.start, items[-1].span.end))
        else:
            node = value
        entries.append(Entry(key, node))
    end = max([table.end, *(entry.value.span.end for entry in entries)])
    return Mapping(tuple(entries), Span(table.start, end))


def _first_error(root: tree_sitter.Node) -> int:
    node = root
    while not node.is_error and not node.is_missing:
        node = next((child for child in node.children if child.has_error or child.is_missing), node)
        if not node.has_error and not node.is_missing:
            break
        if node.child_count == 0:
            break
    return int(node.start_byte)
