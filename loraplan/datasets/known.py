"""The sizes of well-known public datasets: `known.json`, one row a dataset, each with where its figure was read."""

from __future__ import annotations

import json
import os
from functools import cache
from typing import Any

from loraplan.datasets import UnknownSizeError


@cache
def table() -> dict[str, dict[str, Any]]:
    """Lower-case name -> row: `splits` and `source`; `subsets` where named ones have that size, `about` if rounded."""
    with open(os.path.join(os.path.dirname(__file__), "known.json"), "rb") as file:
        rows: dict[str, dict[str, Any]] = json.load(file)["datasets"]
    return {name.lower(): row for name, row in rows.items()}


def rows_of(name: str, split: str, subset: str | None) -> tuple[int, bool] | None:
    """Rows of a split, and whether the figure is rounded; None for a dataset that the table lacks."""
    row = table().get(name.lower())
    if row is None:
        return None
    if subset not in (None, "", "default", *row.get("subsets", ())):
        raise UnknownSizeError(f"the size of {name}'s subset {subset} is not known")
    total = 0
    for part in split.split("+"):
        rows = row["splits"].get(part.strip())
        if rows is None:
            raise UnknownSizeError(f"the size of {name}'s split {part.strip()} is not known")
        total += rows
    return total, bool(row.get("about"))
