"""YAML as untyped nodes, read from the parser's events: nothing is constructed and nothing recurses.

Tags are never obeyed, merge keys and aliases are resolved, and every offset counts characters of the text as given.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from loraplan.document import (
    MAX_DEPTH,
    MAX_NODES,
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
    Style,
)

_BOM = "\ufeff"
_PROPERTIES = re.compile(r"(?:(?:!<[^>\s]*>|[&!][^\s,\[\]{}]*)(?:\s+(?:#[^\n]*\n\s*)*|(?=[,\[\]{}])|\Z))+")
_STYLES: dict[str | None, Style] = {"'": "quoted", '"': "quoted", "|": "block", ">": "block"}


def parse(text: str, path: str) -> Document:
    """The document of a YAML text; each YAML document in it is a root."""
    return _Builder(text, path).build()


class _Open:
    """A collection whose end has not been reached; `nodes` holds keys and values in turn for a mapping."""

    __slots__ = ("anchor", "counted", "flow", "mapping", "nodes", "start")

    def __init__(self, mapping: bool, start: int, flow: bool, anchor: str | None, counted: int) -> None:
        self.mapping = mapping
        self.start = start
        self.flow = flow
        self.anchor = anchor
        self.counted = counted
        self.nodes: list[Node] = []


class _Builder:
    def __init__(self, text: str, path: str) -> None:
        self.text = text
        self.path = path
        # libyaml drops a byte order mark and does not count it.
        self.base = 1 if text.startswith(_BOM) else 0
        self.problems: list[Problem] = []
        self.anchors: dict[str, tuple[Node, int] | None] = {}
        self.counted = 0  # nodes so far, those below an alias again for every alias

    def build(self) -> Document:
        roots: list[Node] = []
        body = self.text[1:] if self.base else self.text
        loader: Any = None
        try:
            loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(body)
            self._read(loader.get_event, roots)
        except yaml.YAMLError as error:
            raise self._explain(error) from None
        except UnicodeEncodeError as error:
            raise self._error(
                "a character that Unicode does not allow (a lone surrogate)",
                "remove the character",
                error.start + self.base,
            ) from None
        finally:
            if loader is not None:
                loader.dispose()
        return Document(self.path, "yaml", self.text, tuple(roots), tuple(self.problems))

    def _read(self, get_event: Any, roots: list[Node]) -> None:
        scalar_event, mapping_start, sequence_start = yaml.ScalarEvent, yaml.MappingStartEvent, yaml.SequenceStartEvent
        mapping_end, sequence_end, alias_event = yaml.MappingEndEvent, yaml.SequenceEndEvent, yaml.AliasEvent
        base, styles = self.base, _STYLES
        stack: list[_Open] = []
        nodes = roots
        end = 0  # of the latest scalar, alias or flow collection
        while True:
            event = get_event()
            kind = type(event)
            if kind is scalar_event:
                start, end = event.start_mark.index + base, event.end_mark.index + base
                style = styles.get(event.style, "plain")
                if event.tag or event.anchor:
                    start = self._after_properties(start, end)
                if style == "block":
                    end = start + len(self.text[start:end].rstrip())
                node: Node = Scalar(event.value, Span(start, end), style, event.tag)
                self.counted += 1
                if self.counted > MAX_NODES:
                    raise self._too_many(start)
                if event.anchor:
                    self._anchor(event, event.anchor)
                    self.anchors[event.anchor] = (node, 1)
                nodes.append(node)
            elif kind is mapping_start or kind is sequence_start:
                start = event.start_mark.index + base
                if event.tag or event.anchor:
                    start = self._after_properties(start, len(self.text))
                if event.anchor:
                    self._anchor(event, event.anchor)
                    self.anchors[event.anchor] = None
                stack.append(_Open(kind is mapping_start, start, event.flow_style, event.anchor, self.counted))
                nodes = stack[-1].nodes
                self.counted += 1
                if self.counted > MAX_NODES:
                    raise self._too_many(start)
                if len(stack) > MAX_DEPTH:
                    raise self._error(
                        f"nested more than {MAX_DEPTH} levels deep", "check that this is a training config", start
                    )
            elif kind is mapping_end or kind is sequence_end:
                opened = stack.pop()
                # The parser's end mark of a block collection runs on to the next key: it ends where its last part does.
                end = event.end_mark.index + base if opened.flow else max(end, opened.start)
                node = self._close(opened, end)
                if opened.anchor:
                    self.anchors[opened.anchor] = (node, self.counted - opened.counted)
                nodes = stack[-1].nodes if stack else roots
                nodes.append(node)
            elif kind is alias_event:
                end = event.end_mark.index + base
                nodes.append(self._alias(event))
            elif kind is yaml.DocumentStartEvent:
                self.anchors = {}
                if len(roots) == 1:
                    start = event.start_mark.index + base
                    message = "a second YAML document in one file: most loaders accept only one"
                    self.problems.append(Problem("multi-document", message, Span(start, event.end_mark.index + base)))
            elif kind is yaml.StreamEndEvent:
                return

    def _after_properties(self, start: int, end: int) -> int:
        """Where the node itself starts, after its `&anchor` and `!tag`."""
        found = _PROPERTIES.match(self.text, start, end)
        return found.end() if found else start

    def _anchor(self, event: Any, name: str) -> None:
        """Refuse a second anchor of the same name, as PyYAML's composer does."""
        if name in self.anchors:
            raise self._error(
                f"the anchor &{name} is defined twice", "rename one of them", event.start_mark.index + self.base
            )

    def _close(self, opened: _Open, end: int) -> Node:
        nodes = opened.nodes
        if not opened.mapping:
            return Sequence(tuple(nodes), Span(opened.start, end), opened.flow)
        if opened.flow and not isinstance(nodes[0] if nodes else None, Scalar | None):
            written = self.text[opened.start : end]
            if written.startswith("{{") and written.endswith("}}"):
                return Scalar(written, Span(opened.start, end), "expression")
        return Mapping(self._entries(nodes), Span(opened.start, end), opened.flow)

    def _entries(self, nodes: list[Node]) -> tuple[Entry, ...]:
        """Pairs whose key is a scalar, then what merge keys add; a loader cannot use other keys."""
        entries: list[Entry] = []
        first: dict[str, Scalar] = {}
        merges: list[tuple[Scalar, Node]] = []
        pairs = iter(nodes)
        for key, value in zip(pairs, pairs, strict=True):
            if not isinstance(key, Scalar):
                continue
            name = key.text
            if name == "<<" and key.style == "plain" and not (key.tag or "").endswith("str"):
                merges.append((key, value))
                continue
            entries.append(Entry(key, value))
            if name in first:
                message = f"the key {name} is given twice; loaders keep the last one"
                self.problems.append(Problem("duplicate-key", message, key.span, first[name].span))
            else:
                first[name] = key
        # Several merge keys in one mapping: PyYAML lets the later win; within one list the earlier wins, as yaml.org's
        # merge type has it. (PyYAML 6.0.4 compares keys by identity there, and which wins depends on their length.)
        seen = set(first)
        for key, value in reversed(merges):
            for source in value.items if isinstance(value, Sequence) else (value,):
                if not isinstance(source, Mapping):
                    raise self._error(
                        "the merge key << needs a mapping or a list of mappings",
                        "give it an alias of a mapping, e.g. <<: *defaults",
                        key.span.start,
                    )
                self._count(len(source.entries), key.span.start)
                added = [entry for entry in source.entries if entry.key.text not in seen]
                seen.update(entry.key.text for entry in added)
                entries.extend(added)
        return tuple(entries)

    def _alias(self, event: Any) -> Node:
        """The anchor's own node, marked shared with all below it; its size counts again, so that it stays bounded."""
        start, name = event.start_mark.index + self.base, event.anchor
        if name not in self.anchors:
            raise self._error(f"the alias *{name} has no anchor &{name} above it", "define the anchor first", start)
        found = self.anchors[name]
        if found is None:
            raise self._error(f"the alias *{name} stands inside its own anchor", "remove the recursive alias", start)
        node, size = found
        self._count(size, start)
        if not node.shared:
            _share(node)
        return node

    def _count(self, added: int, offset: int) -> None:
        self.counted += added
        if self.counted > MAX_NODES:
            raise self._error(
                f"aliases and merge keys expand to more than {MAX_NODES} values", "write the values out", offset
            )

    def _too_many(self, offset: int) -> DocumentError:
        return self._error(f"more than {MAX_NODES} values", "name a training config, not data", offset)

    def _error(self, message: str, remedy: str, offset: int) -> DocumentError:
        return DocumentError(self.path, message, remedy, self._position(offset))

    def _position(self, offset: int) -> Position:
        return Document(self.path, "yaml", self.text, ()).position(min(offset, len(self.text)))

    def _explain(self, error: yaml.YAMLError) -> DocumentError:
        from loraplan.document.yaml_errors import explain

        message, remedy, offset = explain(error, self.text, self.base)
        return self._error(message, remedy, offset)


def _share(node: Node) -> None:
    stack = [node]
    while stack:
        current = stack.pop()
        if current.shared:
            continue
        current.shared = True
        if isinstance(current, Mapping):
            for key, value in current.entries:
                key.shared = True
                stack.append(value)
        elif isinstance(current, Sequence):
            stack.extend(current.items)
