"""Whether an estimate fits a card."""

from __future__ import annotations

from typing import Literal, NamedTuple

from loraplan.devices import Device
from loraplan.memory.observed import CONTEXT, RESERVED_LOW
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

    What the allocator holds beyond its tensors can be given back, and is when memory runs out; a part of it is in blocks
    that are in use. So the run fits where the high end of its tensors and that part fit, and does not where the tensors
    alone exceed the card. Between the two it is tight.
    """
    usable = device.usable_bytes
    free = usable - estimate.device.expected
    if int(estimate.allocated.high * RESERVED_LOW) + CONTEXT <= usable:
        return Fit("fits", free, usable)
    if estimate.allocated.expected + CONTEXT_LEAST > usable:
        return Fit("does not fit", free, usable)
    return Fit("tight", free, usable)
