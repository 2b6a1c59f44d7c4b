"""What identifies a finding from one run to the next: rule, file and the text of its line, wherever that has moved."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from hashlib import sha256

from loraplan.result import Diagnostic


def relative(path: str) -> str:
    """A path as reports name it: below the working directory where it lies there, with forward slashes."""
    if path.startswith("<"):
        return path
    try:
        below = os.path.relpath(path)
    except ValueError:  # another drive
        below = path
    return (path if below.startswith("..") else below).replace(os.sep, "/")


def identity(item: Diagnostic, path: str) -> str:
    """A digest of code, path, key, run and line with its spaces collapsed; equal for equal findings of one file."""
    run = item.run if item.run and not any(character.isdigit() for character in item.run) else ""
    parts = (item.code, path, item.key or "", run, " ".join(item.source.split()))
    return sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def numbered(items: Iterable[Diagnostic]) -> Iterator[tuple[Diagnostic, str]]:
    """Every finding with an identity of its own: equal ones are told apart by their order."""
    seen: Counter[str] = Counter()
    for item in items:
        digest = identity(item, relative(item.path))
        count = seen[digest]
        seen[digest] += 1
        yield item, digest if not count else sha256(f"{digest}\0{count}".encode()).hexdigest()
