"""The cards that are really there, asked of `nvidia-smi`: no torch is loaded to find out."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import NamedTuple

_QUERY = ("--query-gpu=index,name,memory.total,memory.used,driver_version", "--format=csv,noheader,nounits")
_MIB = 1 << 20
_TIMEOUT_SECONDS = 20


class Card(NamedTuple):
    """One GPU as its driver describes it; bytes."""

    number: int
    name: str
    total: int
    used: int
    """Held by anybody at this moment."""
    driver: str


def cards() -> tuple[Card, ...]:
    """The NVIDIA GPUs that a process started here would see, in its order; none where there is no driver."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    try:
        done = subprocess.run(  # noqa: S603 - a fixed command
            [program, *_QUERY], capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    found = () if done.returncode else tuple(filter(None, map(_card, done.stdout.splitlines())))
    return visible(found, os.environ.get("CUDA_VISIBLE_DEVICES"))


def visible(found: tuple[Card, ...], chosen: str | None) -> tuple[Card, ...]:
    """Those that CUDA_VISIBLE_DEVICES leaves, in its order; identifiers other than indices leave as many as named.

    As CUDA reads it: an index that does not exist hides itself and all that follow.
    """
    if chosen is None:
        return found
    kept: list[Card] = []
    for part in filter(None, (item.strip() for item in chosen.split(","))):
        if part.lstrip("-").isdigit():
            if not 0 <= int(part) < len(found):
                break
            kept.append(found[int(part)])
        elif len(kept) < len(found):
            kept.append(found[len(kept)])
    return tuple(kept)


def _card(line: str) -> Card | None:
    parts = [part.strip() for part in line.split(",")]
    if len(parts) != 5 or not parts[0].isdigit():
        return None
    total, used = (int(part) * _MIB if part.isdigit() else 0 for part in parts[2:4])
    return Card(int(parts[0]), parts[1], total, used, parts[4])
