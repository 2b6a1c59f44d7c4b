"""Whether an estimate fits a card."""

from __future__ import annotations

from typing import Literal, NamedTuple

from loraplan.devices import Device
from loraplan.memory.term import Estimate

Word = Literal["fits", "tight", "does not fit"]
CONTEXT_LEAST = 300 << 20
"""Bytes of the smallest CUDA context seen; PyTorch's allocator cannot have them."""


class Fit(NamedTuple):
    """The verdict, and the bytes that the expected total leaves free (negative where it is too large)."""

    word: Word
    free: int
    usable: int


def fit(estimate: Estimate, device: Device) -> Fit:
    """Compare the range with the card.

    It fits where even the high end does. It does not where the tensors alone exceed the card: what the allocator
    holds besides can be given back, and is when memory runs out. Between the two it is tight.
    """
    usable = device.usable_bytes
    free = usable - estimate.device.expected
    if estimate.device.high <= usable:
        return Fit("fits", free, usable)
    if estimate.allocated.low + CONTEXT_LEAST > usable:
        return Fit("does not fit", free, usable)
    if estimate.allocated.expected + CONTEXT_LEAST > usable:
        return Fit("does not fit", free, usable)
    return Fit("tight", free, usable)
