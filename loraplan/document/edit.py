"""Edits to a source text: each changes its span and nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from loraplan.document import Span


class Edit(NamedTuple):
    """Put `text` in place of `span`."""

    span: Span
    text: str


class CannotEditError(Exception):
    """An edit that would not do what it says, e.g. below a YAML alias; the message says why."""


def apply(text: str, edits: Iterable[Edit]) -> str:
    """The text with every edit made; ValueError if two overlap or insert at one place."""
    parts: list[str] = []
    done, previous = 0, Span(-1, -1)
    for span, new in sorted(edits):
        if not 0 <= span.start <= span.end <= len(text):
            raise ValueError(f"edit {span} lies outside a text of {len(text)} characters")
        if span.start < previous.end or span.start == previous.start:
            raise ValueError(f"edits {previous} and {span} overlap")
        parts += (text[done : span.start], new)
        done, previous = span.end, span
    parts.append(text[done:])
    return "".join(parts)
