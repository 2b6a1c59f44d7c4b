"""The source text of explicit values, for the few rules to which spelling matters."""

from __future__ import annotations

from loraplan.rule import Context


def written(ctx: Context, name: str) -> str | None:
    """The characters a field was written with, without quotes; None where it was not written."""
    explicit = ctx.reading.explicit(name)
    if explicit is None:
        return None
    return ctx.reading.document.text[explicit.span.start : explicit.span.end].strip().strip("\"'")
