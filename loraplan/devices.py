"""GPUs that rules ask about: memory and CUDA compute capability."""

from __future__ import annotations

from typing import NamedTuple


class Device(NamedTuple):
    """One GPU model. `capability` is None for what is not CUDA."""

    name: str
    memory_bytes: int
    capability: tuple[int, int] | None
    source: str
