"""The highest memory of each phase: torch's allocator on a card, the process's resident size (RSS) elsewhere.

On a card the peak within a phase is exact (`torch.cuda.max_memory_allocated`, reset where a phase begins). RSS is read
where a phase ends: what came and went within it is not seen.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loraplan_trainer.events import MemorySource, Phase, PhaseMemory


class Meter:
    """Peaks by phase of this process, in bytes."""

    def __init__(self, device: str) -> None:
        self.source: MemorySource = "cuda" if device == "cuda" else "rss"
        self.peaks: dict[Phase, int] = {}
        self._reserved: dict[Phase, int] = {}
        self.phase: Phase | None = None
        """The phase that runs, or ran when an error came."""

    def begin(self, phase: Phase) -> None:
        """End the phase that runs, if any, and begin another."""
        self.end()
        self.phase = phase
        if self.source == "cuda":
            import torch

            torch.cuda.reset_peak_memory_stats()

    def end(self) -> None:
        """Note the peak of the phase that runs."""
        if self.phase is not None:
            self.peaks[self.phase] = max(self.peaks.get(self.phase, 0), self._peak())
            if self.source == "cuda":
                import torch

                reserved = int(torch.cuda.max_memory_reserved())
                self._reserved[self.phase] = max(self._reserved.get(self.phase, 0), reserved)
            self.phase = None

    @contextmanager
    def during(self, phase: Phase) -> Iterator[None]:
        """A phase; after an error it stays the running one, so that the error can be placed."""
        self.begin(phase)
        yield
        self.end()

    def now(self) -> int:
        """Bytes held at this moment."""
        if self.source == "cuda":
            import torch

            return int(torch.cuda.memory_allocated())
        return _resident()

    def peak(self) -> int:
        """The highest so far over all phases; of RSS, the system's own high-water mark."""
        if self.source == "cuda":
            return max([self._peak(), *self.peaks.values()])
        high = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return max(high if sys.platform == "darwin" else high * 1024, _resident())

    def events(self) -> list[PhaseMemory]:
        """One record a phase, in the order they first ran."""
        return [
            PhaseMemory(phase=phase, peak=peak, reserved=self._reserved.get(phase), memory_source=self.source)
            for phase, peak in self.peaks.items()
        ]

    def _peak(self) -> int:
        if self.source == "cuda":
            import torch

            return int(torch.cuda.max_memory_allocated())
        return _resident()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error is an allocator's: CUDA's, torch's on the CPU, bitsandbytes', Python's own."""
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    # torch's CPU allocator and bitsandbytes raise a plain RuntimeError.
    text = str(error)
    return isinstance(error, RuntimeError) and ("can't allocate memory" in text or "out of memory" in text.lower())


def _resident() -> int:
    """Resident bytes of this process; the high-water mark where the system has no /proc."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        high = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return high if sys.platform == "darwin" else high * 1024
    return pages * os.sysconf("SC_PAGE_SIZE")
