"""LLaMA-Factory's `dataset_info.json`: what a dataset's short name stands for (0.9.5 data/parser.py)."""

from __future__ import annotations

import json
import os
from typing import Any

from loraplan.datasets import UnknownSizeError
from loraplan.datasets.files import beside
from loraplan.datasets.portions import Portion, number, text
from loraplan.datasets.rows import open_regular

_FILE = "dataset_info.json"
_MOST_BYTES = 4 * 2**20


def portions(names: tuple[str, ...], folder: str, config: str) -> list[Portion]:
    """Each name as its entry says; without the file, names that ship with LLaMA-Factory are looked up in the table."""
    if folder.startswith("REMOTE:"):
        raise UnknownSizeError(f"{folder} is not downloaded")
    if folder == "ONLINE":
        return [Portion(name) for name in names]
    place = beside(folder, config, os.path.isdir)
    known = entries(os.path.join(place, _FILE)) if place else None
    if known is None:
        return [Portion(f"LLaMA-Factory/{name}") for name in names]
    assert place is not None
    return [_portion(name, known.get(name), place) for name in names]


def _portion(name: str, entry: Any, place: str) -> Portion:
    if not isinstance(entry, dict):
        raise UnknownSizeError(f"{_FILE} has no {name}")
    split, subset = text(entry.get("split")) or "train", text(entry.get("subset"))
    drawn = number(entry.get("num_samples"))
    for key in ("hf_hub_url", "ms_hub_url", "om_hub_url"):
        if source := text(entry.get(key)):
            return Portion(source, split, subset, exactly=drawn)
    file = text(entry.get("file_name"))
    if file is None:
        raise UnknownSizeError(f"{name} is loaded by a script or from a cloud")
    path = os.path.join(place, file)
    if os.path.exists(path):
        return Portion(path, split, subset, exactly=drawn)
    return Portion(f"LLaMA-Factory/{name}", split, subset, exactly=drawn)


def entries(path: str) -> dict[str, Any] | None:
    """The file's entries by name; None where there is no file. Raises UnknownSizeError."""
    if not os.path.isfile(path):
        return None
    with open_regular(path) as file:
        content = file.read(_MOST_BYTES + 1)
    try:
        found = json.loads(content) if len(content) <= _MOST_BYTES else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise UnknownSizeError(f"{_FILE} cannot be read")
    return found
