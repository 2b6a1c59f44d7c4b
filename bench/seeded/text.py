"""Planting as plain text edits: a value is replaced where the reader says that it stands, a key gets a line of its own.

This is no part of LoRAPlan's own edit code, so that what is mended was not written by what mends it.
"""

from __future__ import annotations

import json
import re
from typing import Any

from loraplan.document import Mapping, Scalar, Sequence, find
from loraplan.formats.reading import Reading
from seeded.fault import Take, Write


def plant(reading: Reading, changes: tuple[Write | Take, ...]) -> str | None:
    """The text with every change, or None where one cannot be written."""
    edits: list[tuple[int, int, str]] = []
    for change in changes:
        edit = _take(reading, change.field) if isinstance(change, Take) else _write(reading, change)
        if edit is None:
            return None
        edits.append(edit)
    text = reading.document.text
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    return text


def _write(reading: Reading, change: Write) -> tuple[int, int, str] | None:
    place = reading.explicit(change.field)
    if place is not None and place.shared:
        return None
    if place is not None:
        node = find(reading.root, place.key_path)
        if node is None or node.span != place.span or isinstance(node, Mapping):
            return None
        old = reading.document.text[node.span.start : node.span.end]
        if isinstance(node, Sequence) and not old.startswith("["):
            return _block_list(reading, node, change.value)
        if isinstance(node, Scalar) and isinstance(change.value, tuple):
            joined = ",".join(change.value)
            return (*node.span, json.dumps(joined) if old[:1] == '"' else joined)
        return (*node.span, _spelled(reading, change.value))
    return _insert(reading, change)


def _block_list(reading: Reading, node: Sequence, value: Any) -> tuple[int, int, str] | None:
    """A list below its key is replaced by one in brackets, from behind the key's colon on."""
    text = reading.document.text
    colon = text.rfind(":", 0, node.span.start)
    end = len(text[: node.items[-1].span.end]) if node.items else node.span.end
    if colon < 0 or text[colon + 1 : node.span.start].strip(" \n\r-"):
        return None
    return (colon + 1, end, " " + _spelled(reading, value))


def _insert(reading: Reading, change: Write) -> tuple[int, int, str] | None:
    key = reading.keys.get(change.field)
    if key is None:
        return None
    prefix, _, leaf = key.rpartition(".")
    section = reading.sections.get(prefix)
    if section is None or not section.entries:
        return None
    text, first = reading.document.text, section.entries[0].key
    if first.shared or leaf in section:
        return None
    start = text.rfind("\n", 0, first.span.start) + 1
    lead = text[start : first.span.start]
    value = _spelled(reading, change.value)
    if reading.document.syntax == "json":
        return (first.span.start, first.span.start, f"{json.dumps(leaf)}: {value},\n{lead if lead.isspace() else ''}")
    if lead.strip() or section.flow:
        return None
    mark = " = " if reading.document.syntax == "toml" else ": "
    return (start, start, f"{lead}{leaf}{mark}{value}\n")


def _take(reading: Reading, field: str) -> tuple[int, int, str] | None:
    """The whole line of a key, where the line holds nothing else."""
    place = reading.explicit(field)
    if place is None or place.key_span is None or place.shared:
        return None
    text = reading.document.text
    start = text.rfind("\n", 0, place.key_span.start) + 1
    end = text.find("\n", place.span.end)
    end = len(text) if end < 0 else end + 1
    if text[start : place.key_span.start].strip() or "\n" in text[place.key_span.start : place.span.end]:
        return None
    if reading.document.syntax == "json" and not text[place.span.end : end].strip().startswith(","):
        return None
    return (start, end, "")


def _spelled(reading: Reading, value: Any) -> str:
    if isinstance(value, tuple):
        inner = ", ".join(_spelled(reading, item) for item in value)
        return f"[{inner}]"
    if isinstance(value, dict):
        return json.dumps(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return re.sub(r"\A(-?\d+)e", r"\1.0e", repr(value))
    if isinstance(value, str) and (reading.document.syntax != "yaml" or not re.fullmatch(r"[A-Za-z_][\w.-]*", value)):
        return json.dumps(value)
    return str(value)
