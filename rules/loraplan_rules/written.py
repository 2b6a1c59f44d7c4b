"""The source text of explicit values, for the few rules to which spelling matters."""

from __future__ import annotations

from loraplan.rule import Context

_LONGEST = 80


def written(ctx: Context, name: str) -> str | None:
    """The characters a field was written with, without quotes; None where it was not written."""
    explicit = ctx.reading.explicit(name)
    if explicit is None:
        return None
    return ctx.reading.document.text[explicit.span.start : explicit.span.end].strip().strip("\"'")


def one_line(text: str) -> str:
    """Text of the file for use in a message: without line breaks, and cut where it is long."""
    joined = " ".join(text.split())
    return joined if len(joined) <= _LONGEST else f"{joined[: _LONGEST - 3]}..."
