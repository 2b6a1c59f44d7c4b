"""Where the closed form is coarser than a step, by how much at most, and why."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from loraplan.trace.setting import Setting

FUSED = {"phi3", "gpt_neox"}
STEP = ("forward", "loss", "backward")


class Explained(NamedTuple):
    """A difference above the tolerance that is understood."""

    why: str
    applies: Callable[[str, Setting], bool]
    phases: tuple[str, ...]
    most: float
    """Largest difference allowed, as a fraction."""


EXPLAINED = (
    Explained(
        "trl 1.16 kernels/chunked_logprob.py: the cast copy of an fp32 head's tile is rebound, so two are alive",
        lambda _, s: s.nf4 and s.upcast and s.loss == "chunked",
        ("loss",),
        0.06,
    ),
    Explained(
        "trl 1.16: a small model's own activations beside the tile of the chunked loss",
        lambda _, s: s.loss == "chunked" and s.checkpointing != "off",
        ("loss",),
        0.03,
    ),
    Explained(
        "peft 0.21 dora.py: in small models, the outputs beside two weights that are locals until the layer returns",
        lambda _, s: s.dora and s.adapter == "float32" and s.checkpointing != "off",
        ("forward",),
        0.04,
    ),
    Explained(
        "gemma2's capped scores are in bfloat16 under autocast where the stream is float32",
        lambda family, s: family == "gemma2" and s.autocast,
        STEP,
        0.04,
    ),
    Explained(
        "transformers 5.23 activations.py: NewGELUActivation is four operations, each of which keeps a tensor",
        lambda family, _: family == "phi",
        STEP,
        0.05,
    ),
    Explained(
        "a fused qkv output stays whole behind its view of the values, beside rotated queries and keys",
        lambda family, _: family in FUSED,
        STEP,
        0.12,
    ),
)


def bound(family: str, setting: Setting, phase: str, tolerance: float) -> float:
    """The largest difference that is allowed."""
    return max([tolerance, *(e.most for e in EXPLAINED if phase in e.phases and e.applies(family, setting))])
