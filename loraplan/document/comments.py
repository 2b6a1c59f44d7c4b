"""Comments of a document: for suppressions such as `# loraplan: ignore[ALP001]`, and for fixes, which keep them all."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator

from loraplan.document import Document, Mapping, Scalar, Span, walk

MARKER = "loraplan:"

_HASH = re.compile(r"(?:^|(?<=[\s\ufeff]))#[^\r\n]*")


def comment_lines(document: Document) -> list[tuple[Span, str]]:
    """Every comment, marks included, of a document in which one may speak to LoRAPlan; of any other none, cheaply."""
    if MARKER not in document.text:
        return []
    return every_comment(document)


def every_comment(document: Document) -> list[tuple[Span, str]]:
    """Every comment, marks included."""
    if document.syntax == "yaml":
        return [(span, document.text[span.start : span.end]) for span in _yaml_comments(document)]
    if document.syntax == "python" and not document.comments:
        from loraplan.document.python import comments

        return list(comments(document))
    return list(document.comments)


def _yaml_comments(document: Document) -> Iterator[Span]:
    """A `#` after white space begins a comment wherever no scalar covers it."""
    covered = sorted(_scalar_spans(document))
    starts = [span.start for span in covered]
    position = 0
    while found := _HASH.search(document.text, position):
        index = bisect_right(starts, found.start()) - 1
        if index >= 0 and found.start() < covered[index].end:
            position = found.start() + 1
            continue
        position = found.end()
        yield Span(found.start(), found.end())


def _scalar_spans(document: Document) -> Iterator[Span]:
    for root in document.roots:
        for _, node in walk(root):
            if isinstance(node, Scalar):
                yield node.span
            elif isinstance(node, Mapping):
                yield from (entry.key.span for entry in node.entries)
