"""Keys that have no field in the Plan, looked up in the document by name."""

from __future__ import annotations

from loraplan.document import Entry, Mapping, Node, Scalar, Sequence, walk
from loraplan.formats.reading import Reading

_EMPTY = frozenset(("", "null", "none", "~", "false", "no", "off"))


def entry(reading: Reading, *names: str) -> Entry | None:
    """The first entry with one of these keys that has a value, wherever it is nested."""
    if not any(name in reading.document.text for name in names):
        return None
    for _, node in walk(reading.root):
        if isinstance(node, Mapping):
            for item in node.entries:
                if item.key.text in names and has_value(item.value):
                    return item
    return None


def has_value(node: Node) -> bool:
    """Whether a node says more than null, false or nothing."""
    if isinstance(node, Scalar):
        return node.text.strip().lower() not in _EMPTY
    if isinstance(node, Sequence):
        return bool(node.items)
    return bool(node.entries) or node.call is not None
