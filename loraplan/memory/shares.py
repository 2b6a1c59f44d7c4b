"""The terms of a phase by kind, for bars and sentences; sizes in words."""

from __future__ import annotations

from loraplan.memory.term import Phase

GIB = 1 << 30
KINDS: dict[str, tuple[str, ...]] = {
    "weights": (
        "base weights", "whole weights", "quantization statistics", "gathered weights",
        "one matrix before quantization", "master weights",
    ),
    "adapters": ("adapters", "autocast copies"),
    "optimizer": ("optimizer state", "step temporaries"),
    "gradients": ("gradients", "communication buffers"),
    "activations": (
        "checkpointed inputs", "saved activations", "inside one block", "inputs of the blocks and their gradients",
    ),
    "logits": ("logits and loss", "output held by the loop", "key-value cache"),
    "other": (),
}  # fmt: skip
"""Kind -> the names of its terms; what is in none is `other`."""


def gib(value: float) -> str:
    """`12.3 GiB`."""
    return f"{value / GIB:.1f} GiB" if abs(value) >= 10 * GIB else f"{value / GIB:.2f} GiB"


def shares(phase: Phase) -> dict[str, int]:
    """Kind -> bytes of a phase, empty kinds left out."""
    total: dict[str, int] = {}
    for term in phase.terms:
        kind = next((kind for kind, names in KINDS.items() if term.name in names), "other")
        total[kind] = total.get(kind, 0) + term.bytes
    return {kind: total[kind] for kind in KINDS if total.get(kind)}
