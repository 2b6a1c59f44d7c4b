"""Whether an estimate fits a card."""

from __future__ import annotations

from typing import Literal, NamedTuple

from loraplan.devices import Device
from loraplan.memory.observed import CONTEXT, RESERVED_LOW
from loraplan.memory.term import Estimate

Word = Literal["fits", "tight", "does not fit"]


class Fit(NamedTuple):
    """The verdict, and the bytes that the expected total leaves free (negative where it is too large)."""

    word: Word
    free: int
    usable: int


def fit(estimate: Estimate, device: Device) -> Fit:
    """Compare the range with a card of its own."""
    return fits_in(estimate, device.usable_bytes)


def fits_in(estimate: Estimate, usable: int) -> Fit:
    """Compare the range with what is free on a card, in bytes.

    What the allocator holds beyond its tensors can be given back, and is when memory runs out, but for a part in blocks
    that are in use. The run fits where the high end of its tensors, that part and the context fit; it does not where
    the expected tensors do not. Between the two it is tight.
    """
    free = usable - estimate.device.expected
    if int(estimate.allocated.high * RESERVED_LOW) + CONTEXT <= usable:
        return Fit("fits", free, usable)
    if int(estimate.allocated.expected * RESERVED_LOW) + CONTEXT > usable:
        return Fit("does not fit", free, usable)
    return Fit("tight", free, usable)
