"""What the command line says over the config, as Plan values with their origin."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from loraplan.datasets.files import beside
from loraplan.plan import Plan, get


class Override(NamedTuple):
    """A field and its value, with the option that gives it."""

    field: str
    value: Any
    option: str


class Merged(NamedTuple):
    """A Plan with its overrides, and the words for the origin of each overridden field."""

    plan: Plan
    said: dict[str, str]


def apply(plan: Plan, overrides: list[Override]) -> Merged:
    """The Plan with the overrides; what stood there before is named."""
    said = {}
    for item in overrides:
        before = get(plan, item.field)
        said[item.field] = f"{item.option} on the command line" + ("" if before is None else f" (config: {before})")
        plan = put(plan, item.field, item.value)
    return Merged(plan, said)


def put(plan: Plan, name: str, value: Any) -> Plan:
    """The Plan with one field set."""
    section, _, leaf = name.rpartition(".")
    if not section:
        return replace(plan, **{leaf: value})
    return replace(plan, **{section: replace(getattr(plan, section), **{leaf: value})})


def locate(plan: Plan, config: str) -> Plan:
    """The Plan with the paths of local files made absolute: the trainer may work in another directory.

    A path is read as seen from the config's folder, else from the working directory; a name that is neither is left.
    """
    kinds: dict[str, Callable[[str], bool]] = {
        "model.name": os.path.isdir,
        "adapter.resume_from": os.path.isdir,
        "data.chat_template": os.path.isfile,
        "distributed.deepspeed": os.path.isfile,
    }
    for name, exists in kinds.items():
        value = get(plan, name)
        if isinstance(value, str) and len(value) < 4096 and "\n" not in value:
            found = beside(value, config, exists)
            if found is not None:
                plan = put(plan, name, found)
    return plan
