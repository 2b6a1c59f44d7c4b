"""The keys that a fix may write, change or take away, told from what it says and apart from how it is done."""

from __future__ import annotations

from collections.abc import Iterator

from loraplan.document import Document, Mapping, Span, walk
from loraplan.document.structure import touched
from loraplan.fixing.sections import companions
from loraplan.fixing.translate import translations
from loraplan.formats.reading import Reading
from loraplan.origin import Default
from loraplan.rule import Fix, RenameKey, Set

_RENAMED = (("gradient_checkpointing", "activation_checkpointing"), ("warmup_ratio", "warmup_steps"))
"""Names that newer releases of transformers give a key: whichever is read without complaint is written."""


def keys_of(reading: Reading, field: str) -> list[str]:
    """The keys that a user of this format may write for a field, the most usual first."""
    origin = reading.origins.get(field)
    keys = [origin.key] if isinstance(origin, Default) and origin.key else []
    keys += [reading.keys[field]] if field in reading.keys else []
    for old, new in _RENAMED:
        keys += [key.replace(old, new) for key in keys]
    return list(dict.fromkeys(keys))


def stray(before: Reading, after: Reading, fix: Fix, edited: list[Span], written: list[Span]) -> str | None:
    """A key that the edits touch and that the fix does not speak of; for files whose keys have paths."""
    if before.document.syntax in ("shell", "python"):
        return None
    spans: set[Span | None] = {change.span for change in fix.changes if isinstance(change, RenameKey)}
    named = {change.field for change in fix.changes if not isinstance(change, RenameKey)}
    spans |= {issue.span for issue in before.value_issues if issue.field in named}
    allowed = {tuple(key.split(".")) for key in _spoken_of(before, after, fix)}
    for reading, places in ((before, edited), (after, written)):
        origins = [reading.explicit(field) for field in named]
        spared: set[Span | None] = {
            span for origin in origins if origin is not None for span in (origin.span, origin.key_span)
        }
        for path in _touched(reading.document, tuple(places), spared | (spans if reading is before else set())):
            if not any(_related(path, key) for key in allowed):
                return ".".join(path)
    return None


def _touched(document: Document, places: tuple[Span, ...], spared: set[Span | None]) -> Iterator[tuple[str, ...]]:
    keys = touched(document, places)
    for root in document.roots:
        for path, node in walk(root):
            if isinstance(node, Mapping):
                for key, value in node.entries:
                    if key.span in keys and not spared & {key.span, value.span}:
                        yield (*map(str, path), key.text)


def _spoken_of(before: Reading, after: Reading, fix: Fix) -> Iterator[str]:
    for change in fix.changes:
        if isinstance(change, RenameKey):
            yield change.key
            yield from (issue.suggestion.partition(": ")[0] for issue in before.key_issues if issue.suggestion)
            continue
        for reading in (before, after):
            origin = reading.explicit(change.field)
            if origin is not None:
                yield ".".join(map(str, origin.key_path))
        if isinstance(change, Set):
            for key in keys_of(before, change.field):
                yield key
                yield from _brought(before, key)
            ways = translations(before, change.field, change.value)
            if isinstance(ways, tuple):
                yield from (operation.key for way in ways for operation in way)


def _brought(reading: Reading, key: str) -> Iterator[str]:
    """What a section brings along on the way to a key."""
    names = key.split(".")
    for depth in range(1, len(names)):
        prefix = ".".join(names[:depth])
        yield from (f"{prefix}.{name}" for name in companions(reading, prefix) or ())


def _related(path: tuple[str, ...], key: tuple[str, ...]) -> bool:
    """Whether a path is a key's, of something in its value, or of a section on the way to it."""
    for start in range(len(path)):
        rest = path[start:]
        if rest[: len(key)] == key or key[: len(rest)] == rest:
            return True
    return False
