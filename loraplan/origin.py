"""Where a value of the Plan came from: written in a file, a framework's default, or derived from other fields."""

from typing import NamedTuple

from loraplan.document import KeyPath, Span


class Explicit(NamedTuple):
    """Written by the user. `span` is the value in the document, `key_span` its key."""

    path: str
    key_path: KeyPath
    span: Span
    key_span: Span | None = None
    shared: bool = False


class Default(NamedTuple):
    """Filled in by the framework because the key is absent."""

    framework: str
    versions: str
    """The versions that this default was read in, e.g. ">=5.0" or "067b021"."""
    source: str
    """File or page at a version where the default stands."""
    key: str | None = None
    """The key a user would write to set it."""


class Derived(NamedTuple):
    """Worked out from other fields or from what the file is."""

    fields: tuple[str, ...]
    how: str


Origin = Explicit | Default | Derived
