"""Insertion of keys, lists and whole sections as text edits in the file's own style; knows no framework.

Every function returns edits or raises CannotEditError; `unchanged_elsewhere` proves what they did by parsing again.
"""

from __future__ import annotations

import re

from loraplan.document import Document, Entry, Mapping, Node, Scalar, Sequence, Span, walk
from loraplan.document.edit import CannotEditError, Edit
from loraplan.document.layout import (
    Written,
    bare,
    block_lines,
    block_of,
    flat,
    indent_of,
    over_lines,
    quoted,
    spread,
    step_of,
    tables,
)
from loraplan.document.structure import key_like, line_end, line_ending, line_start

_COLON = re.compile(r"[ \t]*:[ \t]*\Z")
_EQUALS = re.compile(r"[ \t]*=[ \t]*\Z")
_DOTTED = re.compile(r"[ \t]*(?:[A-Za-z0-9_-]+[ \t]*\.[ \t]*)+\Z")
_NOTHING = frozenset(("", "~", "null", "Null", "NULL"))


def usable(document: Document, holder: Mapping, entry: Entry) -> bool:
    """Whether a new entry can be written beside this one."""
    key, value, text = entry.key, entry.value, document.text
    if key.shared or value.shared or key.span.start >= key.span.end or value.span.start >= value.span.end:
        return False
    if value.span.start < key.span.end:
        return False
    between = text[key.span.end : value.span.start]
    if document.syntax == "toml":
        return _EQUALS.match(between) is not None
    if document.syntax == "python" and holder.call is not None:
        return between.strip() == "="
    if document.syntax == "shell":
        return between.strip(" \t\r\n\\=") == "" and "\n" not in text[value.span.start : value.span.end]
    if holder.flow and document.syntax != "python" and text[holder.span.start : holder.span.start + 1] != "{":
        return False  # the one pair of `[key: value]`
    if isinstance(value, Scalar) and value.style == "block" and not text[value.span.end :].strip(" \t"):
        return False  # a line ending after it would become its own
    return ":" in between


def insert(document: Document, holder: Mapping, sibling: Entry, key: str, written: Written) -> list[Edit]:
    """Write `key` with a value behind `sibling`, in its style."""
    if not usable(document, holder, sibling):
        raise CannotEditError("there is no key beside which it could be written")
    syntax, text = document.syntax, document.text
    if syntax == "shell":
        return [_insert_option(document, sibling, key, written)]
    if syntax == "toml":
        inline = holder.flow and text[holder.span.start : holder.span.start + 1] == "{"
        if isinstance(written, dict) and not inline:
            return insert_table(document, holder, key, written)
        line = f"{key_like(text, sibling, key)} = {flat(written, syntax)}"
        if inline:
            return _insert_listed(document, holder, sibling, line)
        return [_insert_line(document, sibling, [line])]
    if syntax == "yaml" and not holder.flow:
        return [_insert_line(document, sibling, block_lines(document, key_like(text, sibling, key), written))]
    if syntax == "python":
        return _insert_python(document, holder, sibling, key, written)
    name = key_like(text, sibling, key)
    between = text[sibling.key.span.end : sibling.value.span.start]
    gap = between if _COLON.match(between) and (syntax == "json" or between.endswith(" ")) else ": "
    if syntax == "json" and over_lines(document, holder):
        written = spread(document, written, indent_of(document, sibling), step_of(document, holder))
    return _insert_listed(document, holder, sibling, name + gap + flat(written, syntax))


def fill(document: Document, holder: Mapping, entry: Entry, section: dict[str, Written]) -> list[Edit]:
    """Write the first keys of a section that stands in the file but is empty: `peft:`, `{}`, null, a bare header."""
    text, syntax, value = document.text, document.syntax, entry.value
    if entry.key.shared or value.shared or syntax in ("python", "shell"):
        raise CannotEditError("its section also serves other places")
    if not is_empty(value):
        raise CannotEditError("its section is written as a value")
    if syntax == "toml" and isinstance(value, Mapping) and not value.flow:
        return [_after_header(document, entry, section)]
    inside = text[value.span.start : value.span.end]
    if inside.startswith("{") and inside[1:-1].strip():
        raise CannotEditError("its section has comments in it")
    if syntax == "yaml" and not holder.flow and not inside:
        return [_below_key(document, entry, section)]
    written: Written = section
    if syntax == "json" and over_lines(document, holder):
        written = spread(document, section, indent_of(document, entry), step_of(document, holder))
    return [Edit(value.span, _apart(text, value.span) + flat(written, syntax))]


def _apart(text: str, span: Span) -> str:
    """The space that a value needs where there was none."""
    return " " if span.start == span.end and not text[: span.start].endswith((" ", "\t")) else ""


def _below_key(document: Document, entry: Entry, section: dict[str, Written]) -> Edit:
    """The keys of a block section under its own key."""
    text, start = document.text, entry.value.span.start
    end = line_end(text, start)
    rest = text[start:end].strip()
    if text[entry.key.span.end : start].strip() != ":" or (rest and not rest.startswith("#")):
        raise CannotEditError("something else stands on the line of its section")
    step = block_of(document).step
    indent = " " * (entry.key.span.start - line_start(text, entry.key.span.start) + step)
    lines = [line for key, written in section.items() for line in block_lines(document, quoted(key, "yaml"), written)]
    return _at(text, end, [indent + line for line in lines])


def is_empty(node: Node) -> bool:
    """Whether a node is a section without keys, or nothing at all."""
    if isinstance(node, Scalar):
        return node.style == "plain" and node.tag in (None, "null") and node.text in _NOTHING
    return isinstance(node, Mapping) and not node.entries and node.call is None


def insert_table(document: Document, holder: Mapping, key: str, section: dict[str, Written]) -> list[Edit]:
    """A new TOML table below `holder`, at the end of the file."""
    path = next((path for root in document.roots for path, node in walk(root) if node is holder), None)
    if path is None or any(isinstance(step, int) for step in path):
        raise CannotEditError("a table below an entry of a list has no name of its own")
    text = document.text
    newline = line_ending(text)
    lines = list(tables((*map(str, path), key), section))
    lead = "" if not text or text.endswith("\n") else newline
    blank = newline if text.strip() and not text.endswith(("\n\n", "\n\r\n")) else ""
    last = newline if text.endswith("\n") or not text else ""
    return [Edit(Span(len(text), len(text)), lead + blank + newline.join(lines) + last)]


def _insert_line(document: Document, sibling: Entry, lines: list[str]) -> Edit:
    text, value = document.text, sibling.value
    before = text[line_start(text, sibling.key.span.start) : sibling.key.span.start]
    if document.syntax == "toml" and _DOTTED.match(before):
        lines = [before + lines[0]]
        indent = ""
    elif before.strip(" \t-"):
        raise CannotEditError("the key beside it does not begin its line")
    else:
        indent = " " * len(before) if "-" in before else before
    end = line_end(text, max(value.span.end, sibling.key.span.end))
    rest = text[value.span.end : end].strip()
    if isinstance(value, Scalar) and value.style == "block":
        rest = ""
        empty = re.match(r"(?:\r?\n[ \t]*(?=\r?\n))*", text[end:])
        assert empty is not None
        if re.match(r"[|>]\d?\+", text[value.span.start :]) or " " in empty[0]:  # they belong to it
            end += empty.end()
    if rest and not rest.startswith("#"):
        raise CannotEditError("something else stands on the line of the key beside it")
    if not isinstance(value, Scalar) and document.syntax == "yaml":
        end = _below(text, end, len(before), isinstance(value, Sequence))
    return _at(text, end, [indent + line for line in lines])


def _below(text: str, end: int, column: int, listed: bool) -> int:
    """Where comments end that stand deeper than a section's key, or are items of its list."""
    while found := re.match(r"\r?\n([ \t]*)#[^\r\n]*", text[end:]):
        item = listed and len(found[1]) == column and re.match(r"#\s*- ", found[0].strip()) is not None
        if len(found[1]) <= column and not item:
            break
        end += found.end()
    return end


def _at(text: str, end: int, lines: list[str]) -> Edit:
    """Lines after the one that ends at an offset."""
    newline = line_ending(text, line_start(text, end))
    return Edit(Span(end, end), "".join(newline + line for line in lines))


def _after_header(document: Document, entry: Entry, section: dict[str, Written]) -> Edit:
    text = document.text
    end = line_end(text, entry.key.span.end)
    header = re.match(r"([ \t]*)\[[^\[\]]*\][ \t]*(?:#.*)?\Z", text[line_start(text, entry.key.span.start) : end])
    if header is None or any(isinstance(written, dict) for written in section.values()):
        raise CannotEditError("its section has no header of its own")
    return _at(text, end, [f"{header[1]}{bare(key)} = {flat(written, 'toml')}" for key, written in section.items()])


def _insert_listed(document: Document, holder: Mapping, sibling: Entry, written: str) -> list[Edit]:
    """A further member between brackets and commas: JSON, YAML and TOML in flow style, Python calls."""
    text = document.text
    end = sibling.value.span.end
    alone = not text[line_start(text, sibling.key.span.start) : sibling.key.span.start].strip()
    if not alone or "\n" not in text[holder.span.start : sibling.key.span.start]:
        return [Edit(Span(end, end), ", " + written)]
    newline = line_ending(text, sibling.key.span.start)
    indent = text[line_start(text, sibling.key.span.start) : sibling.key.span.start]
    stop = line_end(text, end)
    rest = text[end:stop]
    comma = re.match(r"[ \t]*,", rest)
    marks = ("//", "/*") if document.syntax == "json" else ("#",)
    after = rest[comma.end() :].strip() if comma else rest.strip()
    if after and not after.startswith(marks):
        return [Edit(Span(end, end), f",{newline}{indent}{written}")]
    if after.startswith("/*") and not after.endswith("*/"):
        return [Edit(Span(end, end), f",{newline}{indent}{written}")]
    if comma:
        return [Edit(Span(stop, stop), f"{newline}{indent}{written},")]
    if after:
        return [Edit(Span(end, end), ","), Edit(Span(stop, stop), f"{newline}{indent}{written}")]
    return [Edit(Span(end, end), f",{newline}{indent}{written}")]


def _insert_python(document: Document, holder: Mapping, sibling: Entry, key: str, written: Written) -> list[Edit]:
    text = document.text
    if "**" in text[holder.span.start : holder.span.end]:
        raise CannotEditError("the call also takes keywords that are not written here")
    if holder.call is not None:
        if not key.isidentifier():
            raise CannotEditError(f"{key} is no keyword")
        return _insert_listed(document, holder, sibling, f"{key}={flat(written, 'python')}")
    quote = text[sibling.key.span.start]
    if quote not in "'\"":
        raise CannotEditError("the keys of the mapping are not written out")
    return _insert_listed(document, holder, sibling, f"{quote}{key}{quote}: {flat(written, 'python')}")


def _insert_option(document: Document, sibling: Entry, key: str, written: Written) -> Edit:
    if not isinstance(written, str):
        raise CannotEditError("a section is no option of a command")
    text = document.text
    start = sibling.key.span.start
    dashes = re.search(r"-*\Z", text[:start])
    assert dashes is not None
    lead = dashes[0]
    if not lead:
        raise CannotEditError("the option beside it is not written with dashes")
    name = text[start : sibling.key.span.end]
    if "-" in name and "_" not in name:
        key = key.replace("_", "-")
    glue = "=" if text[sibling.key.span.end : sibling.key.span.end + 1] == "=" else " "
    end = max(sibling.value.span.end, sibling.key.span.end)
    begin = line_start(text, start)
    indent = text[begin : start - len(lead)]
    quoted = text[end : end + 1]
    if quoted and not quoted.isspace() and quoted not in ";&|)#":
        raise CannotEditError("the option beside it is part of a longer word")
    option = f"{lead}{key}{glue}{written}"
    continued = begin > 0 and re.search(r"\\\r?\n\Z", text[:begin]) is not None
    if not indent.strip() and continued:
        return Edit(Span(end, end), f" \\{line_ending(text, begin)}{indent}{option}")
    return Edit(Span(end, end), f" {option}")
