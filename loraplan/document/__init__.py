"""Source files as trees of untyped scalars with exact positions; knows no framework.

Every syntax (YAML, JSON, TOML, shell, Python) becomes the same four node types. A scalar keeps its text: the same
characters are a float to one framework's loader and a string to another's, so typing is the format's business.
"""

# Without `from __future__ import annotations`: `typing` compiles each annotation that it is given as a string.
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

KeyPath = tuple[str | int, ...]
Syntax = Literal["yaml", "json", "toml", "shell", "python"]
Style = Literal["plain", "quoted", "block", "expression"]
"""How a scalar is written. "expression" is a value that cannot be known without running the file."""

MAX_DEPTH = 200
"""Levels of nesting that a reader accepts."""
MAX_NODES = 100_000
"""Values that a reader accepts, those that aliases repeat included; real configs have a few hundred."""


class Span(NamedTuple):
    """Half-open range of character offsets into `Document.text`."""

    start: int
    end: int


class Position(NamedTuple):
    """1-based line and column, the column counted in characters."""

    line: int
    column: int


@dataclass(slots=True, eq=False, repr=False)
class Scalar:
    """A leaf: `text` is the decoded content, `span` its characters in the source, quotes included."""

    text: str
    span: Span
    style: Style = "plain"
    tag: str | None = None
    """An explicit YAML tag, or the literal's kind where the syntax has kinds: `str`, `int`, `float`, `bool`, `null`."""
    shared: bool = False
    """The source text also serves other places (YAML alias, shell or Python variable): show an edit, never apply it."""


@dataclass(slots=True, eq=False, repr=False)
class Sequence:
    """A list of nodes."""

    items: tuple["Node", ...]
    span: Span
    flow: bool = False
    shared: bool = False


class Entry(NamedTuple):
    """One `key: value` pair."""

    key: Scalar
    value: "Node"


@dataclass(slots=True, eq=False, repr=False)
class Mapping:
    """Ordered key-value pairs, duplicates kept; also a Python call or a shell command, whose keywords are its entries.

    `call` is the dotted name called (`LoraConfig`) or the command's words before its first option (`swift sft`);
    positional arguments have the keys "0", "1", ...
    """

    entries: tuple[Entry, ...]
    span: Span
    flow: bool = False
    shared: bool = False
    call: str | None = None
    _index: dict[str, "Node"] | None = field(default=None, repr=False)

    def get(self, key: str) -> "Node | None":
        """The value of the last entry with this key, as loaders that accept duplicates keep it."""
        if self._index is None:
            self._index = {entry.key.text: entry.value for entry in self.entries}
        return self._index.get(key)

    def entry(self, key: str) -> Entry | None:
        """The last entry with this key."""
        return next((entry for entry in reversed(self.entries) if entry.key.text == key), None)

    def __contains__(self, key: str) -> bool:
        return self.get(key) is not None

    def keys(self) -> Iterator[str]:
        return (entry.key.text for entry in self.entries)


Node = Scalar | Sequence | Mapping


class Problem(NamedTuple):
    """Something the syntax allows but a reader should say, e.g. a duplicate key."""

    kind: Literal["duplicate-key", "tab", "encoding", "multi-document"]
    message: str
    span: Span
    related: Span | None = None
    """The other place concerned: for a duplicate key, its first occurrence."""


class DocumentError(Exception):
    """A file that cannot be read or parsed: `message` says what, `remedy` what to do; exit code 2."""

    def __init__(self, path: str, message: str, remedy: str, position: Position | None = None) -> None:
        super().__init__(message)
        self.path = path
        self.message = message
        self.remedy = remedy
        self.position = position

    def __str__(self) -> str:
        where = f"{self.path}:{self.position.line}:{self.position.column}" if self.position else self.path
        return f"{where}: {self.message}; {self.remedy}"


@dataclass(slots=True, eq=False, repr=False)
class Document:
    """One parsed file. `roots` are its top nodes: YAML documents, shell commands, Python calls and module names."""

    path: str
    syntax: Syntax
    text: str
    roots: tuple[Node, ...]
    problems: tuple[Problem, ...] = ()
    comments: tuple[tuple[Span, str], ...] = ()
    """Filled only where finding comments needs the parser (Python, shell); otherwise `comment_lines` looks for them."""
    _lines: list[int] | None = field(default=None, repr=False)

    def position(self, offset: int) -> Position:
        """Line and column of a character offset."""
        if self._lines is None:
            starts, found = [0], self.text.find("\n")
            while found >= 0:
                starts.append(found + 1)
                found = self.text.find("\n", found + 1)
            self._lines = starts
        line = bisect_right(self._lines, offset)
        column = offset - self._lines[line - 1] + 1
        # Editors show no column for a byte order mark, which `text` keeps.
        return Position(line, column - 1 if line == 1 and column > 1 and self.text[0] == "\ufeff" else column)

    def line(self, number: int) -> str:
        """The text of a 1-based line, without its ending."""
        self.position(0)
        assert self._lines is not None
        start = self._lines[number - 1]
        end = self._lines[number] if number < len(self._lines) else len(self.text)
        return self.text[start:end].rstrip("\r\n").removeprefix("\ufeff" if number == 1 else "")


def walk(node: Node, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Node]]:
    """Every node below and including `node`, with its key path, in source order; iterative, so depth is no limit."""
    stack: list[tuple[KeyPath, Node]] = [(path, node)]
    while stack:
        here, current = stack.pop()
        yield here, current
        if isinstance(current, Mapping):
            stack.extend(((*here, entry.key.text), entry.value) for entry in reversed(current.entries))
        elif isinstance(current, Sequence):
            stack.extend(((*here, index), item) for index, item in reversed(list(enumerate(current.items))))


def find(node: Node | None, path: KeyPath) -> Node | None:
    """The node at a key path below `node`, or None."""
    for step in path:
        if isinstance(node, Mapping) and isinstance(step, str):
            node = node.get(step)
        elif isinstance(node, Sequence) and isinstance(step, int) and 0 <= step < len(node.items):
            node = node.items[step]
        else:
            return None
    return node
