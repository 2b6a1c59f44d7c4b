"""Every field of the Plan and what becomes of its value here: honoured, refused, or without effect and why.

The rule: a value that would change what is learned is honoured or refused. One that changes only speed, memory or
bookkeeping may be without effect, and is then said to be. Needs no torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from loraplan.plan import Plan, get, ordered_names
from loraplan_trainer.failure import CannotRun
from loraplan_trainer.fields import adapter, examples, loading, running, training
from loraplan_trainer.fields.outcomes import Honoured, Judge, NoEffect, Outcome, Refused
from loraplan_trainer.situation import Situation

TABLE: dict[str, Judge] = {
    **training.JUDGES, **loading.JUDGES, **adapter.JUDGES, **examples.JUDGES, **running.JUDGES,
}  # fmt: skip


def judge(plan: Plan, situation: Situation) -> Iterator[tuple[str, Any, Outcome]]:
    """Every field that has a value, in the Plan's order, with its value and what becomes of it."""
    for name in ordered_names():
        value = get(plan, name)
        if value is not None:
            yield name, value, TABLE[name](value, plan, situation)


def accept(plan: Plan, situation: Situation) -> list[tuple[str, Any, Honoured | NoEffect]]:
    """What `judge` says of a Plan that can be trained. Raises CannotRun, naming every refused field."""
    accepted: list[tuple[str, Any, Honoured | NoEffect]] = []
    refused: list[str] = []
    if plan.model.name is None:
        refused.append("model.name: no model is named; name one, or a directory that holds one")
    for name, value, outcome in judge(plan, situation):
        if isinstance(outcome, Refused):
            refused.append(f"{name}: {outcome.text}")
        else:
            accepted.append((name, value, outcome))
    if refused:
        raise CannotRun("this plan cannot be trained as it stands:\n" + "\n".join(f"  {line}" for line in refused))
    return accepted
