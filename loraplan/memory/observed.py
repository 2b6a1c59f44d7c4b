"""From allocated bytes to what the allocator reserves and what nvidia-smi shows; widths come from measured runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loraplan.memory.term import Phase, Range

if TYPE_CHECKING:
    from loraplan.memory.setup import Setup
    from loraplan.memory.sharding import Shards

CONTEXT = 600 << 20
"""CUDA context, kernels and libraries of one process."""
POOLS = 384 << 20
"""What batches of varying length leave unused in the allocator's pools even where tensors are small."""
_LARGE = ("logits and loss", "output held by the loop", "inside one block", "saved activations")
MODEL = 0.03
"""Half width of the allocated range of stacks with many measured rows: nine of ten are nearer."""
MEASURED = {"TRL": MODEL, "transformers + PEFT": MODEL, "fsdp_qlora": MODEL, "litgpt": 0.05}
UNMEASURED = 0.08
"""Half width for stacks with few rows of known shape, or none."""
RESERVED_LOW, RESERVED, RESERVED_HIGH = 1.05, 1.12, 1.335
"""Reserved over allocated: the span of the measured rows of fixed length (fsdp_qlora, PEFT's method comparison)."""


_STATIC = (
    "base weights", "quantization statistics", "adapters", "optimizer state", "master weights", "communication buffers",
    "cuBLAS workspaces",
)  # fmt: skip


def ranges(run: Setup, phases: tuple[Phase, ...], peak: Phase, split: Shards) -> tuple[Range, Range, Range, bool]:
    """(allocated, reserved, device total, whether such runs were measured).

    Batches of varying length leave blocks that fit none of the later ones: the largest are those of the logits, which
    can stay a second time.
    """
    width = MEASURED.get(run.stack.name, UNMEASURED)
    low = width + sum([item.low for item in run.unknown])
    high = width + sum([item.high for item in run.unknown])
    evidence = not run.shape.irregular
    if not evidence or split.gpus > 8:
        low, high = low + 0.05, high + 0.05
    size = peak.bytes
    left = 0
    if not run.plan.data.packing and not run.stack.empties_cache:
        left = POOLS + sum([term.bytes for term in peak.terms if term.name in _LARGE])
    allocated = Range(int(size * (1 - min(low, 0.9))), size, int(size * (1 + high)))
    most = size * (RESERVED_HIGH + high - MODEL) + left
    reserved = Range(int(size * (RESERVED_LOW - min(low - MODEL, 0.9))), int(size * RESERVED), int(most))
    return allocated, reserved, _total(phases, peak, reserved, allocated, split, left), evidence


def _total(
    phases: tuple[Phase, ...], peak: Phase, reserved: Range, allocated: Range, split: Shards, left: int
) -> Range:
    """What nvidia-smi shows: context and libraries, and of what moves in a step a part that the allocator keeps.

    The allocator keeps the freed buffers of the logits. Shares: 73 runs on one GPU and 72 on several, packed to one
    length (foundation-model-stack/fms-acceleration @ 876e2ed refs), nine of ten within the range.
    """
    static = sum([term.bytes for term in peak.terms if term.name in _STATIC])
    moving = max(peak.bytes - static, 0)
    logits = max([term.bytes for phase in phases for term in phase.terms if term.name == "logits and loss"], default=0)
    many = split.gpus > 1
    expected = peak.bytes + int(900e6 + (0.1 if many else 0.06) * moving + (0.4 if many else 0.8) * logits)
    high = allocated.high + int(
        (4e9 if many else 1.3e9) + (0.25 if many else 0.1) * moving + (0.7 if many else 1.1) * logits
    )
    low = allocated.low + int(700e6)
    return Range(low, max(expected, reserved.expected), max(high + left, reserved.high))
