"""From allocated bytes to what the allocator reserves and what nvidia-smi shows: ranges, their widths from measured runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loraplan.memory.term import Range

if TYPE_CHECKING:
    from loraplan.memory.setup import Setup
    from loraplan.memory.sharding import Shards

CONTEXT = 600 << 20
"""CUDA context, kernels and libraries of one process."""


def ranges(run: Setup, peak: int, split: Shards) -> tuple[Range, Range, Range, bool]:
    """(allocated, reserved, device total, whether such runs were measured)."""
    low = 0.03 + sum(item.low for item in run.unknown)
    high = 0.03 + sum(item.high for item in run.unknown)
    evidence = not run.shape.irregular
    if not evidence or split.gpus > 8:
        low, high = low + 0.05, high + 0.05
    allocated = Range(int(peak * (1 - min(low, 0.9))), peak, int(peak * (1 + high)))
    reserved = Range(int(peak * (1.05 - low + 0.03)), int(peak * 1.19), int(peak * (1.335 + high - 0.03)))
    device = Range(reserved.low + (300 << 20), reserved.expected + CONTEXT, int(reserved.high * 1.1) + (1200 << 20))
    return allocated, reserved, device, evidence
