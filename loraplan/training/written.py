"""What a config writes in the section of its training arguments, whether the Plan has a field for it or not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from loraplan.document import Entry
from loraplan.formats.reading import Reading
from loraplan.formats.values import Loader, plain


def settings(reading: Reading) -> Iterator[tuple[Entry, Any]]:
    """Entries with their values, in order."""
    places = [reading.key(field).rpartition(".")[0] for field in ("run.logging_steps", "optimizer.learning_rate")]
    section = next((reading.sections[place] for place in places if place in reading.sections), None)
    loader: Loader = "yaml-1.2" if reading.document.syntax == "yaml" else "literal"
    for entry in section.entries if section is not None else ():
        yield entry, plain(entry.value, loader)
