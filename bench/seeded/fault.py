"""A fault as it is planted: which fields get which value, and in which files it is none, with the reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from loraplan.formats.reading import Reading
from loraplan.plan import Plan


class Write(NamedTuple):
    """A field gets a value, whether or not its key is written."""

    field: str
    value: Any


class Take(NamedTuple):
    """A field's line is taken away."""

    field: str


class Except(NamedTuple):
    """Files in which the planted text is no fault, or in which another rule says it; each counted in the report."""

    reason: str
    """Why it is none, in a sentence that the tables print."""
    holds: Callable[[Plan, Reading], bool]


class Fault(NamedTuple):
    """One mistake of one rule."""

    code: str
    what: str
    changes: tuple[Write | Take, ...] = ()
    text: Callable[[str], str | None] | None = None
    """Instead of changes: the changed text, or None where it cannot be planted."""
    needs: tuple[Except, ...] = ()
    inputs: dict[str, Any] = {}  # noqa: RUF012 - never written to
    also: tuple[str, ...] = ()
    """Fields that the fault is made of, besides those that are changed: a rule may point at any of them."""
    preview: bool = True


class Planted(NamedTuple):
    """A fault in one file."""

    fault: Fault
    format: str
    path: str
    before: str
    text: str
    lines: frozenset[int]
    """The lines of the new text that the planting wrote or stands beside."""


def write(field: str, value: Any) -> tuple[Write, ...]:
    """One changed field."""
    return (Write(field, value),)
