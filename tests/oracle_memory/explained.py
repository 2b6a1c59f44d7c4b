"""Where the closed form is coarser than a step, by how much at most, and why."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from loraplan.trace.setting import Setting

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
        0.045,
    ),
    Explained(
        "peft 0.21 dora.py: beside few tokens the copies of one layer's weights are the most, not all alive at once",
        lambda _, s: s.dora and s.checkpointing != "off",
        ("forward",),
        0.03,
    ),
    Explained(
        "the same in a model of 14M parameters",
        lambda family, s: family == "gpt_neox" and s.dora and s.checkpointing != "off",
        ("forward", "backward"),
        0.1,
    ),
    Explained(
        "40 MiB of a model of 14M parameters: not looked into",
        lambda family, s: family == "gpt_neox" and s.adapter == "bfloat16",
        ("backward",),
        0.04,
    ),
    Explained(
        "gemma2's capped scores are in bfloat16 under autocast where the stream is float32",
        lambda family, s: family == "gemma2" and s.autocast,
        STEP,
        0.04,
    ),
)


def bound(family: str, setting: Setting, phase: str, tolerance: float) -> float:
    """The largest difference that is allowed."""
    return max([tolerance, *(e.most for e in EXPLAINED if phase in e.phases and e.applies(family, setting))])
