"""Reads the runs of a launch script or a Python file, as the whole of `loraplan.formats` recognises them."""

from __future__ import annotations

from loraplan import formats
from loraplan.document.python import parse as parse_python
from loraplan.document.shell import parse as parse_shell
from loraplan.formats.reading import Reading
from loraplan.origin import Default, Explicit
from loraplan.plan import field_names, get


def runs(text: str, path: str) -> list[Reading]:
    """Every run, each with an origin for every value, a span inside the text, a source at a version."""
    document = (parse_python if path.endswith(".py") else parse_shell)(text, path)
    found = formats.read(document)
    for reading in found:
        for field in field_names():
            assert (get(reading.plan, field) is not None) == (field in reading.origins), field
        for field, origin in reading.origins.items():
            if isinstance(origin, Explicit):
                assert 0 <= origin.span.start <= origin.span.end <= len(text), field
            elif isinstance(origin, Default):
                assert "@" in origin.source, (field, origin)
    return found


def run(text: str, path: str) -> Reading:
    """The only run."""
    (reading,) = runs(text, path)
    return reading


def written(reading: Reading, field: str) -> tuple[str, int, int]:
    """The source text of an explicit value, its line and its column."""
    origin = reading.origins[field]
    assert isinstance(origin, Explicit), (field, origin)
    document = reading.document
    return (document.text[origin.span.start : origin.span.end], *document.position(origin.span.start))
