"""From allocated bytes to what the allocator reserves and what nvidia-smi shows; widths come from measured runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from loraplan.memory.head import PIECES
from loraplan.memory.term import Phase, Range

if TYPE_CHECKING:
    from loraplan.devices import Device
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
RESERVED, RESERVED_FULL = 0.12, 0.2
"""Half width of the reserved range: nine of ten replays, and the width of the allocated range. Replays of full
fine-tuning with checkpointing differ more."""
SEGMENTS, SEGMENTS_WHOLE = 100 << 20, 300 << 20
"""Bytes that segments leave unused in any run, with a loss in pieces and on whole logits."""
_CACHED = {(False, True): 0.02, (False, False): 0.05, (True, True): 0.13, (True, False): 0.22}
"""(Checkpointing, loss in pieces): the share of what moves in a step that stays reserved beside it.

Fitted to replays through the allocator's own rules (bench/allocator.py, docs/allocator.md). What is recomputed asks
for blocks of many sizes, and large logits leave segments that smaller requests cut up.
"""
_CACHED_FULL = {(False, True): 0.1, (False, False): 0.07, (True, True): 0.19, (True, False): 0.3}
"""The same of full fine-tuning."""
_CACHED_VARYING = {(False, True): 0.2, (False, False): 0.16, (True, True): 0.3, (True, False): 0.35}
"""The same where batches have many lengths: a longer one fits none of the blocks that are cached."""
KEPT = 0.05
"""Of the tensors: what lies between them in segments and cannot be given back; medians of replays are 0.01 to 0.06."""
_KEPT_HIGH = {(False, True): 0.05, (False, False): 0.10, (True, True): 0.13, (True, False): 0.24}
"""The same where it is largest: 95th percentiles of the replays."""
_KEPT_FULL = 0.2, 0.29
"""Full fine-tuning with checkpointing, the peak not in the optimizer's step: of what moves; of the tensors, at most.

The first step's optimizer makes its states in segments that activations have left, which then cannot be given back.
The share is that which three of four replays exceed; a published run that still ran (0.24) is above it, one of those
that ran out of memory (0.19) beside it (fms-acceleration, Mistral 7B, batch 16).
"""


_STATIC = (
    "base weights", "whole weights", "quantization statistics", "adapters", "optimizer state", "master weights",
    "communication buffers", "cuBLAS workspaces",
)  # fmt: skip


def moving(phase: Phase) -> int:
    """Bytes of a phase that come and go within a step; the rest stays from step to step."""
    return max(phase.bytes - sum([term.bytes for term in phase.terms if term.name in _STATIC]), 0)


class Ranges(NamedTuple):
    """The counters of a run, and whether such runs were measured."""

    allocated: Range
    needed: Range
    reserved: Range
    device: Range
    evidence: bool


def ranges(run: Setup, phases: tuple[Phase, ...], peak: Phase, split: Shards, device: Device | None) -> Ranges:
    """From the tensors at the peak to what a GPU shows.

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
    left, cached = 0, _CACHED_FULL if run.full else _CACHED
    if not run.plan.data.packing and not run.stack.empties_cache:
        cached = _CACHED_VARYING
        left = POOLS + sum([term.bytes for term in peak.terms if term.name in _LARGE])
    allocated = Range(int(size * (1 - min(low, 0.9))), size, int(size * (1 + high)))
    regime = (run.checkpointing, run.loss in PIECES)
    moved = moving(peak)
    expected = size + (SEGMENTS if regime[1] else SEGMENTS_WHOLE) + int(cached[regime] * moved)
    half = RESERVED_FULL if run.full and run.checkpointing else RESERVED
    least = max(int(expected * (1 - half - min(low - MODEL, 0.75))), allocated.low)
    reserved = Range(least, expected, int(expected * (1 + half + high - MODEL)) + left)
    needed = _needed(run, peak, allocated, regime, moved)
    total = _total(phases, peak, reserved, allocated, split, left, moved)
    if device is not None and needed.expected + CONTEXT <= device.usable_bytes:
        # At the card's end the allocator gives back what it had cached, down to what is needed.
        usable = device.usable_bytes
        reserved, total = _within(reserved, usable, needed.expected), _within(total, usable, needed.expected + CONTEXT)
    return Ranges(allocated, needed, reserved, total, evidence)


def _within(range_: Range, most: int, needed: int) -> Range:
    low = min(range_.low, needed) if range_.expected > most else range_.low
    return Range(low, min(range_.expected, most), min(range_.high, most))


def _needed(run: Setup, peak: Phase, allocated: Range, regime: tuple[bool, bool], moved: int) -> Range:
    """What PyTorch must be able to reserve: tensors, and what of their segments cannot be given back."""
    share, most = 0.0, _KEPT_HIGH[regime]
    if run.full and run.checkpointing:
        in_step = peak.name == "optimizer"
        share, most = (0.0, _KEPT_HIGH[True, True]) if in_step else _KEPT_FULL
    expected = allocated.expected + max(int(KEPT * allocated.expected), int(share * moved))
    high = max(int(allocated.high * (1 + KEPT)), int(allocated.expected * (1 + most)), expected)
    return Range(allocated.low, expected, high)


def _total(
    phases: tuple[Phase, ...], peak: Phase, reserved: Range, allocated: Range, split: Shards, left: int,
    moved: int,
) -> Range:  # fmt: skip
    """What nvidia-smi shows: context and libraries, and of what moves in a step a part that the allocator keeps.

    The allocator keeps the freed buffers of the logits. Shares: 73 runs on one GPU and 72 on several, packed to one
    length (foundation-model-stack/fms-acceleration @ 876e2ed refs), nine of ten within the range.
    """
    ends = [phase for phase in phases if phase.name in ("loss", "evaluation")]
    logits = max([term.bytes for phase in ends for term in phase.terms if term.name == "logits and loss"], default=0)
    many = split.gpus > 1
    expected = peak.bytes + int(900e6 + (0.1 if many else 0.06) * moved + (0.4 if many else 0.8) * logits)
    high = allocated.high + int(
        (4e9 if many else 1.3e9) + (0.25 if many else 0.1) * moved + (0.7 if many else 1.1) * logits
    )
    low = allocated.low + int(700e6)
    return Range(low, max(expected, reserved.expected), max(high + left, reserved.high))
