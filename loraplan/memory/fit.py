"""Whether an estimate fits a card."""

from __future__ import annotations

from typing import Literal, NamedTuple

from loraplan.devices import Device
from loraplan.memory.observed import CONTEXT
from loraplan.memory.term import Estimate

Word = Literal["fits", "tight", "does not fit"]


class Fit(NamedTuple):
    """The verdict, and the bytes that what is needed leaves free (negative where it does not fit)."""

    word: Word
    free: int
    usable: int


def fit(estimate: Estimate, device: Device) -> Fit:
    """Compare the range with a card of its own."""
    return fits_in(estimate, device.usable_bytes)


def fits_in(estimate: Estimate, usable: int) -> Fit:
    """Compare the range with what is free on a card, in bytes.

    What the allocator holds beyond its tensors is given back when memory runs out, but for what shares a segment with a
    tensor. The run fits where the high end of tensors and that part fits beside the context; it does not where what is
    expected of them does not. Between the two it is tight.
    """
    free = usable - estimate.needed.expected - CONTEXT
    if estimate.needed.high + CONTEXT <= usable:
        return Fit("fits", free, usable)
    if free < 0:
        return Fit("does not fit", free, usable)
    return Fit("tight", free, usable)
