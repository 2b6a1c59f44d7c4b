"""How a file lays out values over lines: indentation, lists in blocks or brackets, tables; knows no framework."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

from loraplan.document import Document, Entry, Mapping, Scalar, Sequence, Syntax, walk
from loraplan.document.structure import line_ending, line_start

Written: TypeAlias = "str | tuple[Written, ...] | dict[str, Written]"
"""A value whose scalars are source texts; lists and mappings are laid out as the file lays out its own."""

_PLAIN_KEY = re.compile(r"[A-Za-z_][\w.-]*\Z")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+\Z")


def flat(written: Written, syntax: Syntax) -> str:
    """A value on one line."""
    if isinstance(written, str):
        return written
    if isinstance(written, tuple):
        return f"[{', '.join(flat(item, syntax) for item in written)}]"
    glue = " = " if syntax == "toml" else ": "
    pairs = (quoted(key, syntax) + glue + flat(item, syntax) for key, item in written.items())
    return f"{{{', '.join(pairs)}}}"


def quoted(key: str, syntax: Syntax) -> str:
    """A key as the syntax writes it where no key beside it gives an example."""
    if syntax in ("json", "python"):
        return json.dumps(key, ensure_ascii=False)
    if syntax == "toml":
        return bare(key)
    return key if _PLAIN_KEY.match(key) else "'" + key.replace("'", "''") + "'"


def bare(key: str) -> str:
    """A TOML key, in quotes where it needs them."""
    return key if _BARE_KEY.match(key) else json.dumps(key, ensure_ascii=False)


class Block(NamedTuple):
    """How a YAML file indents: `step` for mappings, `dash` for lists; `listed` where lists of scalars are in blocks."""

    step: int
    dash: int
    listed: bool


def block_of(document: Document) -> Block:
    """How a YAML file indents, by its first example of each."""
    step, dash, listed = 0, -1, False
    text = document.text
    for root in document.roots:
        for _, node in walk(root):
            if not isinstance(node, Mapping) or node.flow:
                continue
            for key, value in node.entries:
                if isinstance(value, Scalar) or key.shared or value.shared or value.span.start >= value.span.end:
                    continue
                column = key.span.start - line_start(text, key.span.start)
                inner = value.span.start - line_start(text, value.span.start)
                if value.flow or "\n" not in text[key.span.end : value.span.start] or inner < column:
                    continue
                if isinstance(value, Mapping):
                    step = step or inner - column
                else:
                    dash = inner - column if dash < 0 else dash
                    listed = listed or all(isinstance(item, Scalar) for item in value.items)
    return Block(step or 2, dash if dash >= 0 else step or 2, listed)


def step_of(document: Document, holder: Mapping) -> int:
    """By how much the keys of a JSON object are indented."""
    text = document.text
    first = next((entry for entry in holder.entries if alone(document, entry)), None)
    if first is None:
        return 2
    outer = text[line_start(text, holder.span.start) :]
    lead = len(outer) - len(outer.lstrip(" \t"))
    return max(len(indent_of(document, first)) - lead, 1)


def block_lines(document: Document, key: str, written: Written) -> list[str]:
    """A YAML entry as lines, indented against its own key."""
    block = block_of(document)
    if isinstance(written, dict) and written:
        inner = [block_lines(document, quoted(name, "yaml"), value) for name, value in written.items()]
        return [f"{key}:", *(" " * block.step + line for lines in inner for line in lines)]
    if isinstance(written, tuple) and written and block.listed:
        return [f"{key}:", *(" " * block.dash + "- " + flat(item, "yaml") for item in written)]
    return [f"{key}: {flat(written, 'yaml')}"]


def spread(document: Document, written: Written, indent: str, step: int) -> str:
    """A JSON value over several lines, as `json.dump(indent=...)` writes it."""
    if isinstance(written, str) or not written:
        return flat(written, "json")
    newline = line_ending(document.text)
    more = indent + ("\t" * step if indent.startswith("\t") else " " * step)
    if isinstance(written, tuple):
        if not any(
            isinstance(node, Sequence) and "\n" in document.text[node.span.start : node.span.end]
            for root in document.roots
            for _, node in walk(root)
        ):
            return flat(written, "json")
        items = [spread(document, item, more, step) for item in written]
        return f"[{newline}{more}" + f",{newline}{more}".join(items) + f"{newline}{indent}]"
    pairs = [f"{quoted(key, 'json')}: {spread(document, item, more, step)}" for key, item in written.items()]
    return f"{{{newline}{more}" + f",{newline}{more}".join(pairs) + f"{newline}{indent}}}"


def alone(document: Document, entry: Entry) -> bool:
    """Whether an entry begins its line."""
    text, start = document.text, entry.key.span.start
    return start > 0 and "\n" in text[:start] and not text[line_start(text, start) : start].strip()


def over_lines(document: Document, holder: Mapping) -> bool:
    """Whether every entry of a mapping begins its line."""
    return all(alone(document, entry) for entry in holder.entries if not entry.key.shared)


def indent_of(document: Document, entry: Entry) -> str:
    """What stands before an entry on its line."""
    text = document.text
    return text[line_start(text, entry.key.span.start) : entry.key.span.start]


def tables(path: tuple[str, ...], section: dict[str, Written]) -> Iterator[str]:
    """The lines of a TOML table with a header, and of the tables in it."""
    inner = {key: value for key, value in section.items() if isinstance(value, dict)}
    if len(inner) < len(section) or not section:
        yield f"[{'.'.join(map(bare, path))}]"
        yield from (f"{bare(key)} = {flat(value, 'toml')}" for key, value in section.items() if key not in inner)
    for number, (key, value) in enumerate(inner.items()):
        if number or len(inner) < len(section):
            yield ""
        assert isinstance(value, dict)
        yield from tables((*path, key), value)
