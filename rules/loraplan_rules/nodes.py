"""Keys that have no field in the Plan, looked up in the document by the name the framework reads."""

from __future__ import annotations

from loraplan.document import Node, Scalar, find
from loraplan.rule import Context


def node(ctx: Context, key: str) -> Node | None:
    """The value of a dotted key of the run."""
    return find(ctx.reading.root, tuple(key.split(".")))


def text(ctx: Context, key: str) -> str | None:
    """A scalar's text in lower case; None where the key is absent, empty or no scalar."""
    found = node(ctx, key)
    if not isinstance(found, Scalar) or found.style == "expression":
        return None
    value = found.text.strip().lower()
    return None if value in ("", "null", "none", "~") else value


def on(ctx: Context, key: str) -> bool:
    """Whether a key is written as true."""
    return text(ctx, key) in ("true", "yes", "on", "1")
