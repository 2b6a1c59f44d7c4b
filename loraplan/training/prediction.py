"""The memory that a run will take on the cards that are here, before anything is loaded."""

from __future__ import annotations

from typing import NamedTuple

from loraplan.arch.spec import ArchSpec
from loraplan.memory.fit import fits_in
from loraplan.memory.model import estimate
from loraplan.memory.options import options
from loraplan.memory.stack import Stack, stack_for
from loraplan.memory.term import Range
from loraplan.plan import Plan
from loraplan.training.hardware import Card
from loraplan_trainer.manifest import Predicted

# The estimate's instants -> the trainer's measured phases; the loss is within its forward pass.
PHASES = {"load": "load", "forward": "forward", "loss": "forward", "backward": "backward", "optimizer": "step"}
_GIB = 1 << 30


class Prediction(NamedTuple):
    """What is expected, in words too; `fits` None where there is no card to compare with.

    `predicted` counts tensors, as torch's allocator does and the trainer measures; the card holds a context besides.
    """

    predicted: Predicted | None
    fits: bool | None
    words: str
    suggestions: tuple[str, ...] = ()


def predict(plan: Plan, arch: ArchSpec | None, card: Card | None) -> Prediction:
    """The peak of one process of a run on one card, or of its tensors where it trains on the CPU."""
    if arch is None:
        return Prediction(None, None, "memory not estimated: the model's architecture is unknown")
    stack = stack_for("trl")
    found = estimate(plan, arch, stack=stack)
    phases: dict[str, int] = {}
    for item in found.phases:
        name = PHASES.get(item.name)
        if name is not None:
            phases[name] = max(phases.get(name, 0), int(item.bytes))
    tensors, whole = found.allocated, found.device
    predicted = Predicted(total=tensors.expected, low=tensors.low, high=tensors.high, phases=phases)
    if card is None:
        return Prediction(predicted, None, f"on a GPU its tensors would peak at about {_span(tensors)}")
    free = card.total - card.used
    word = fits_in(found, free).word
    suggestions = () if word == "fits" else _suggestions(plan, arch, stack, free)
    words = f"about {_span(whole)} as nvidia-smi counts, of {gib(card.total)}"
    return Prediction(predicted, word != "does not fit", words, suggestions)


def _span(counter: Range) -> str:
    return f"{gib(counter.expected)} ({gib(counter.low)} to {gib(counter.high)})"


def _suggestions(plan: Plan, arch: ArchSpec, stack: Stack, free: int) -> tuple[str, ...]:
    """The combinations of quantization, checkpointing and optimizer that fit, the largest first: nearest to asked."""
    found = [item for item in options(plan, arch, stack) if fits_in(item.estimate, free).word == "fits"]
    found.sort(key=lambda item: -item.estimate.device.expected)
    return tuple(
        f"{item.quantization}, checkpointing {item.checkpointing}, {item.optimizer}: "
        f"about {gib(item.estimate.device.expected)}"
        for item in found[:3]
    )


def gib(size: float) -> str:
    """Bytes as `7.31 GiB`, small ones as `48 MiB`."""
    return f"{size / _GIB:.2f} GiB" if size >= _GIB / 10 else f"{size / (1 << 20):.0f} MiB"
