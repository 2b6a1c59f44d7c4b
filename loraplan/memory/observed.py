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


def ranges(run: Setup, peak: Phase, split: Shards) -> tuple[Range, Range, Range, bool]:
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
    device = Range(reserved.low + (CONTEXT >> 1), reserved.expected + CONTEXT, int(most * 1.05) + 2 * CONTEXT)
    return allocated, reserved, device, evidence
