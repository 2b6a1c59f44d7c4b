"""The slices of a split that Hugging Face `datasets` knows: `train[:1000]`, `train[10%:20%]`, `train[-500:]`."""

from __future__ import annotations

import re

from loraplan.datasets import UnknownSizeError

_SLICE = re.compile(r"\[\s*(-?\d{1,12}\s*%?)?\s*:\s*(-?\d{1,12}\s*%?)?\s*\]\Z")


def apply(split: str, rows: int) -> int:
    """How many of a split's rows its slice takes (datasets 5.2 arrow_reader.py, rounding to the closest row)."""
    found = _SLICE.search(split.strip())
    if found is None or "+" in split:
        raise UnknownSizeError(f"the split {split!r} cannot be read")
    share = "%" in found[0]  # in one boundary it counts for both
    start = 0 if found[1] is None else _boundary(found[1], rows, share=share)
    end = rows if found[2] is None else _boundary(found[2], rows, share=share)
    return max(0, min(end, rows) - min(start, rows))


def _boundary(text: str, rows: int, *, share: bool) -> int:
    number = int(text.rstrip("% "))
    if share and abs(number) > 100:
        raise UnknownSizeError(f"a split cannot end at {number} %")
    row = round(number * rows / 100) if share else number
    return max(0, rows + row) if row < 0 else row
