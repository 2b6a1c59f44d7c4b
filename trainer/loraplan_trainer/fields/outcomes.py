"""What can become of a field, and the judges that most fields share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from loraplan.plan import Plan
from loraplan_trainer.situation import Situation


@dataclass(frozen=True)
class Honoured:
    """By which argument of which library, or by which part of the trainer."""

    text: str


@dataclass(frozen=True)
class NoEffect:
    """Why the value does nothing here."""

    text: str


@dataclass(frozen=True)
class Refused:
    """Why the run does not start, and what to write instead."""

    text: str


Outcome = Honoured | NoEffect | Refused


Judge = Callable[[Any, Plan, Situation], Outcome]


def always(text: str) -> Judge:
    """Honoured whatever the value is."""
    return lambda _value, _plan, _situation: Honoured(text)


def never(text: str) -> Judge:
    """Without effect whatever the value is."""
    return lambda _value, _plan, _situation: NoEffect(text)


def choice(text: str, *values: str, instead: str) -> Judge:
    """Honoured where the value is one of a few, else refused."""

    def judge(value: Any, _plan: Plan, _situation: Situation) -> Outcome:
        return Honoured(text) if value in values else Refused(f"{value!r} is not among {', '.join(values)}; {instead}")

    return judge


def only_false(text: str, otherwise: Outcome) -> Judge:
    """Honoured where the switch is off."""
    return lambda value, _plan, _situation: otherwise if value else Honoured(text)


def quantized_bits(plan: Plan) -> int | None:
    """4 or 8 where the base weights are to be quantized, else None."""
    quantization = plan.quantization
    if quantization.bits in (4, 8):
        return int(quantization.bits)
    if quantization.load_in_4bit:
        return 4
    return 8 if quantization.load_in_8bit else None


def mutates_base(init: str | None) -> bool:
    """Whether an initialisation moves part of the base weights into the adapter."""
    return init is not None and (init == "olora" or init.startswith("pissa"))
