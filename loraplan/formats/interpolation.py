"""OmegaConf's `${key}` references to plain scalars of the same file; resolvers (`${env:...}`) stay unresolved."""

from __future__ import annotations

import re

from loraplan.document import Document, Entry, Mapping, Node, Scalar, Sequence, find

_REFERENCE = re.compile(r"\$\{\s*([A-Za-z_][\w.\-]*)\s*\}")
_HOPS = 8
_LONGEST = 4096
_DEEPEST = 64


def interpolate(root: Node, document: Document) -> Node:
    """The tree with references to scalars replaced; every other node stands where it stood, with its span."""
    return _replace(root, root, 0) if "${" in document.text else root


def _replace(node: Node, root: Node, depth: int) -> Node:
    if depth > _DEEPEST:
        return node
    if isinstance(node, Scalar):
        return _resolve(node, root) if "${" in node.text else node
    if isinstance(node, Sequence):
        items = tuple(_replace(item, root, depth + 1) for item in node.items)
        return Sequence(items, node.span, node.flow, node.shared)
    entries = tuple(Entry(entry.key, _replace(entry.value, root, depth + 1)) for entry in node.entries)
    return Mapping(entries, node.span, node.flow, node.shared, node.call)


def _resolve(scalar: Scalar, root: Node) -> Scalar:
    current = scalar
    for _ in range(_HOPS):
        match = _REFERENCE.search(current.text)
        if match is None:
            break
        target = find(root, tuple(match[1].split(".")))
        if not isinstance(target, Scalar):
            return scalar
        whole = match[0] == current.text
        text = target.text if whole else current.text.replace(match[0], target.text)
        if len(text) > _LONGEST:
            return scalar
        style, tag = (target.style, target.tag) if whole else ("quoted", None)
        current = Scalar(text, scalar.span, style, tag, shared=True)
    return scalar if "${" in current.text else current
