"""What a new key takes after: the entry that it is written behind, and how values of its kind are spelt."""

from __future__ import annotations

import re
from typing import Any

from loraplan.document import Document, Entry, Mapping, Scalar, Sequence, Span
from loraplan.document.edit import CannotEditError
from loraplan.document.insertion import usable
from loraplan.document.structure import Place, place_of_key, places
from loraplan.formats.reading import Reading
from loraplan.origin import Explicit
from loraplan.plan import ordered_names


def like(document: Document, section: Mapping, value: Any) -> str:
    """A value of the same kind as an example of spelling: its section's, else the file's."""
    for entries in (section.entries, [place.entry for place in places(document)]):
        values = [entry.value for entry in entries if not entry.value.shared]
        if isinstance(value, tuple):
            lists = (node.items for node in values if isinstance(node, Sequence))
            values = next((list(items) for items in lists if items and isinstance(items[0], Scalar)), values)
        texts = [
            document.text[node.span.start : node.span.end]
            for node in values
            if isinstance(node, Scalar) and node.style in ("plain", "quoted")
        ]
        if isinstance(value, bool):
            found = [text for text in texts if text.lower() in ("true", "false")]
        elif isinstance(value, str | tuple):
            found = [text[0] if text[:1] in ("'", '"') else "-" for text in texts if _is_text(text)]
        else:
            return ""
        if found:
            return max(dict.fromkeys(found), key=found.count).replace("-", "")
    return ""


def _is_text(written: str) -> bool:
    """Whether a scalar is no number, boolean or null by its looks."""
    return bool(written) and not re.match(r"[-+.\d~]|(?i:true|false|yes|no|on|off|null)\Z", written)


def sibling(reading: Reading, section: Mapping, field: str, gone: frozenset[Span]) -> tuple[Mapping, Entry]:
    """The entry in the file that a new key is written behind: of the same part of the Plan, the nearest before it."""
    document = reading.document
    known: dict[Span, str] = {}
    for name, origin in reading.origins.items():
        if isinstance(origin, Explicit) and origin.key_span is not None:
            known.setdefault(origin.key_span, name)
    order = {name: number for number, name in enumerate(ordered_names())}
    at, part = order.get(field, 0), field.partition(".")[0]
    best: tuple[tuple[int, int, int], Place] | None = None
    for number, entry in enumerate(section.entries):
        if entry.key.shared or entry.value.shared or entry.key.span in gone:
            continue
        if document.syntax == "shell" and not _within(entry.key.span, reading.root.span):
            continue
        place = place_of_key(document, entry.key.span)
        if place is None or not usable(document, place.holder, place.entry):
            continue
        stands = known.get(entry.key.span)
        if stands is not None and stands.partition(".")[0] == part:
            away = at - order[stands]
            score = (0, 0 if away > 0 else 1, abs(away))
        else:
            score = (1, 0, -number)
        if best is None or score < best[0]:
            best = score, place
    if best is None:
        raise CannotEditError("there is no key beside which it could be written")
    return best[1].holder, best[1].entry


def _within(inner: Span, outer: Span) -> bool:
    return outer.start <= inner.start and inner.end <= outer.end
