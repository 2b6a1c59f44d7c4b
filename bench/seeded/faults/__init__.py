"""Every fault, by what it is about."""

from __future__ import annotations

from seeded.fault import Fault
from seeded.faults import adapter, files, further, machine, targets, training

FAULTS: list[Fault] = [
    *adapter.FAULTS,
    *targets.FAULTS,
    *training.FAULTS,
    *machine.FAULTS,
    *files.FAULTS,
    *further.FAULTS,
]
