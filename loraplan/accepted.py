"""Findings of a legacy repository that are accepted for now: a file of them, and what is new beside them."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

from loraplan.fingerprint import identity, relative
from loraplan.result import Diagnostic, Outcome

VERSION = 1
_MAX_BYTES = 64 << 20


class BadFile(Exception):
    """A file of accepted findings that cannot be used."""


def written(outcome: Outcome, path: str) -> str:
    """Today's findings, to be accepted by `take`; paths are relative to the folder of the file at `path`."""
    counts: Counter[str] = Counter()
    said: dict[str, dict[str, Any]] = {}
    for item in outcome.diagnostics:
        below = _below(item.path, path)
        digest = identity(item, below)
        counts[digest] += 1
        said.setdefault(digest, {"path": below, "code": item.code, "message": item.message})
    findings = [{**facts, "fingerprint": digest, "count": counts[digest]} for digest, facts in said.items()]
    return json.dumps({"version": VERSION, "findings": findings}, indent=2) + "\n"


def take(outcome: Outcome, path: str) -> int:
    """Drop the findings that the file at `path` accepts, each as often as it says; how many those were."""
    left = _read(path)
    taken = 0
    for file in outcome.files:
        kept: list[Diagnostic] = []
        for item in file.diagnostics:
            digest = identity(item, _below(item.path, path))
            if left[digest] > 0:
                left[digest] -= 1
                taken += 1
            else:
                kept.append(item)
        file.diagnostics = kept
    return taken


def _read(path: str) -> Counter[str]:
    try:
        with open(path, "rb") as file:
            content = file.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            raise BadFile(f"{path}: too large for a file of accepted findings")
        data = json.loads(content)
    except OSError as error:
        raise BadFile(f"{path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise BadFile(f"{path}: not valid JSON: {error}") from error
    if not isinstance(data, dict) or data.get("version") != VERSION or not isinstance(data.get("findings"), list):
        raise BadFile(f"{path}: not a file that --write-baseline-findings wrote (version {VERSION})")
    return Counter(dict(_counts(data["findings"], path)))


def _counts(items: list[Any], path: str) -> Iterator[tuple[str, int]]:
    for item in items:
        digest = item.get("fingerprint") if isinstance(item, dict) else None
        count = item.get("count", 1) if isinstance(item, dict) else None
        if not isinstance(digest, str) or isinstance(count, bool) or not isinstance(count, int) or count < 0:
            raise BadFile(f"{path}: a finding without a fingerprint and a count")
        yield digest, count


def _below(path: str, beside: str) -> str:
    """A path as seen from the folder of another, so that the working directory does not matter."""
    if path.startswith("<"):
        return path
    try:
        return os.path.relpath(path, os.path.dirname(os.path.abspath(beside))).replace(os.sep, "/")
    except ValueError:  # another drive
        return relative(path)
