"""How many examples a run trains on: counted in local files, looked up in a table, cut as the config says.

Nothing is downloaded and no file is read into memory. What is not certain is unknown, with the reason.
"""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, NamedTuple

from loraplan.formats.reading import Reading

if TYPE_CHECKING:
    from loraplan.datasets.files import Places
    from loraplan.datasets.portions import Portion

# Examples of these are prompts or texts, which training turns into another number of examples.
_OTHER_UNITS = {
    "pt": "texts are cut into blocks, whose number depends on the tokenizer",
    "grpo": "a prompt gives several completions, and a batch counts those",
    "rloo": "a prompt gives several completions, and a batch counts those",
    "ppo": "a batch counts rollouts",
}


class UnknownSizeError(Exception):
    """Why a number of examples is not known, in a few words."""


class Size(NamedTuple):
    """Training examples of one epoch, after what is held out for evaluation; `how` says where the number is from."""

    examples: int
    how: str


def size(reading: Reading) -> Size:
    """The training examples that a config takes; UnknownSizeError where that cannot be told."""
    from loraplan.datasets.files import Places
    from loraplan.datasets.portions import taken

    if why := _OTHER_UNITS.get(reading.plan.method or ""):
        raise UnknownSizeError(why)
    run = taken(reading)
    places = Places(reading.document.path)
    rows, parts = 0, []
    for portion in run.portions:
        count, how = _portion(portion, places)
        rows += count
        parts.append(how)
    kept = rows
    how = _joined(parts)
    if run.most is not None and run.most < kept:
        kept, how = run.most, f"{how}; capped at {run.most:,}"
    out = held_out(run.held_out, kept)
    if out:
        kept, how = kept - out, f"{how}; {out:,} held out for evaluation"
    if kept <= 0:
        raise UnknownSizeError(f"no example is left ({how})")
    return Size(kept, how)


def cap(reading: Reading) -> int | None:
    """The most examples that the config lets through, whatever its datasets hold; None where it sets no limit."""
    most, datasets = reading.plan.data.max_samples, reading.plan.data.datasets
    if most is None or most <= 0:
        return None
    if reading.format == "llamafactory":  # 0.9.5 data/loader.py _load_single_dataset: of each dataset
        return most * max(1, len(datasets or ()))
    return most


def held_out(share: float | None, rows: int) -> int:
    """Rows held out: a number where 1 or more, else a share, rounded up (datasets 5.2 `train_test_split`)."""
    if share is None or share <= 0 or not math.isfinite(share):
        return 0
    return min(rows, int(share) if share >= 1 else math.ceil(share * rows))


def _portion(portion: Portion, places: Places) -> tuple[int, str]:
    from loraplan.datasets.slices import apply

    if portion.exactly is not None:
        drawn = min(portion.exactly, portion.most or portion.exactly)
        return drawn, f"{drawn:,} drawn from {shown(portion.name)}"
    named, brackets, _ = portion.split.partition("[")
    count, how = places.rows(portion, named.strip() or "train")
    cut = apply(portion.split, count) if brackets else count
    if portion.share is not None:
        cut = int(cut * portion.share)
    if portion.shards is not None:
        index, parts = portion.shards
        cut = cut // parts + (1 if index < cut % parts else 0)
    if portion.most is not None:
        cut = min(cut, portion.most)
    return cut, how if cut == count else f"{cut:,} of {how}"


def _joined(parts: list[str]) -> str:
    kept = list(dict.fromkeys(parts))
    return " + ".join(kept[:3]) + (f" + {len(kept) - 3} more" if len(kept) > 3 else "")


def shown(name: str) -> str:
    """A dataset's name for a message: the last part of a long path."""
    return name if len(name) <= 60 else f"...{os.sep}{os.path.basename(name)[-50:]}"
