"""The memory that a run will take on the cards that are here, before anything is loaded."""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple

from loraplan.arch.spec import ArchSpec
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
    try:
        model = importlib.import_module("loraplan.memory.model")
        stack = importlib.import_module("loraplan.memory.stack").stack_for("trl")
    except ImportError:
        return Prediction(None, None, "memory not estimated: this installation has no estimator")
    try:
        found: Any = model.estimate(plan, arch, stack=stack)
    except (ValueError, LookupError, ArithmeticError) as error:
        return Prediction(None, None, f"memory not estimated: {error}")
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
    suggestions = () if whole.high <= free else _suggestions(plan, arch, stack, card)
    words = f"about {_span(whole)} as nvidia-smi counts, of {gib(card.total)}"
    return Prediction(predicted, whole.low <= free, words, suggestions)


def _span(counter: Any) -> str:
    return f"{gib(counter.expected)} ({gib(counter.low)} to {gib(counter.high)})"


def _suggestions(plan: Plan, arch: ArchSpec, stack: Any, card: Card) -> tuple[str, ...]:
    """The combinations of quantization, checkpointing and optimizer that fit, the largest first: nearest to asked."""
    try:
        options = importlib.import_module("loraplan.memory.options").options
        found = [item for item in options(plan, arch, stack) if item.estimate.device.high <= card.total - card.used]
    except (ImportError, ValueError, LookupError, ArithmeticError):
        return ()
    found.sort(key=lambda item: -item.estimate.device.expected)
    return tuple(
        f"{item.quantization}, checkpointing {item.checkpointing}, {item.optimizer}: "
        f"about {gib(item.estimate.device.expected)}"
        for item in found[:3]
    )


def gib(size: float) -> str:
    """Bytes as `7.31 GiB`, small ones as `48 MiB`."""
    return f"{size / _GIB:.2f} GiB" if size >= _GIB / 10 else f"{size / (1 << 20):.0f} MiB"
