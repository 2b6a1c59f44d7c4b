"""PEFT's default targets, and its translation of expert names to the fused parameters of transformers 5.

Sources: peft 0.21.2 utils/constants.py, utils/transformers_weight_conversion.py; transformers 5.23.0
conversion_mapping.py `_MODEL_TO_CONVERSION_PATTERN`.
"""

from __future__ import annotations

import json
import os
from functools import cache
from typing import Any, NamedTuple

from loraplan.arch.pattern import Pattern
from loraplan.arch.spec import ArchSpec


class Converted(NamedTuple):
    """A target list after the translation."""

    targets: tuple[str, ...]
    parameters: tuple[str, ...]
    moved: tuple[tuple[str, str], ...]
    """(entry, the parameter that it became)."""
    ranks: tuple[tuple[str, int], ...]
    """Rank pattern that the fused parameters get, as multiples of r."""


@cache
def _tables() -> dict[str, Any]:
    with open(os.path.join(os.path.dirname(__file__), "catalogue", "peft_targets.json"), "rb") as file:
        tables: dict[str, Any] = json.load(file)
    return tables


def default_targets(model_type: str) -> tuple[str, ...] | str | None:
    """What PEFT adapts when `target_modules` is absent; None where it has no entry and raises."""
    value = _tables()["lora"].get(model_type)
    return tuple(value) if isinstance(value, list) else value


def converted(targets: tuple[str, ...] | str | None, arch: ArchSpec) -> Converted | None:
    """The targets as PEFT rewrites them for this architecture; None for one that it leaves alone.

    Raises ValueError where only a part of a fused parameter is named, as PEFT does.
    """
    tables = _tables()
    base = tables["converted"].get(arch.model_type)
    if base is None:
        return None
    mapping: dict[str, str] = tables["conversions"][base]["parameters"]
    fused: dict[str, list[str]] = tables["conversions"][base]["fused"]
    if isinstance(targets, str):
        names = _resolve(targets, arch, mapping)
        if not names:
            return None
        targets = tuple(sorted(names))
    remaining, parameters, moved = [], [], []
    present: dict[str, set[str]] = {new: set() for new in fused}
    for target in targets or ():
        old = next((old for old in mapping if target == old or target.endswith(f".{old}")), None)
        if old is None:
            remaining.append(target)
            continue
        parameters.append(mapping[old])
        moved.append((target, mapping[old]))
        if mapping[old] in present:
            present[mapping[old]].add(old)
    ranks = []
    for new, needed in fused.items():
        missing = sorted(set(needed) - present[new])
        if present[new] and missing:
            names_present = ", ".join(sorted(present[new]))
            raise ValueError(f"{names_present} without {', '.join(missing)}: they are fused into {new}")
        if present[new]:
            ranks.append((rf".*\.{new}", len(needed)))
    return Converted(tuple(remaining), tuple(dict.fromkeys(parameters)), tuple(moved), tuple(ranks))


def _resolve(targets: str, arch: ArchSpec, mapping: dict[str, str]) -> set[str]:
    """A string of targets as last parts of names, as the version-4 model would have had them."""
    if targets.lower() == "all-linear":
        linear = (m for m in arch.modules if m.kind in ("Linear", "Conv1D") and m.part != "head")
        return {m.name.rpartition(".")[2] for m in linear} | mapping.keys()
    pattern = Pattern(targets)

    def fits(name: str, layers: tuple[int, ...] | None) -> bool:
        indices = layers if layers is not None and pattern.digits else (layers or (0,))[:1] + (layers or (0,))[-1:]
        return any(pattern.fullmatch(name.replace("{i}", str(index)).replace("{e}", "0")) for index in indices)

    names = set()
    for m in arch.modules:
        head, _, leaf = m.name.rpartition(".")
        if fits(m.name, m.layers):
            names.add(leaf)
        if m.kind != "Parameter":
            if fits(f"{m.name}.weight", m.layers):
                names.add("weight")
            if m.bias and fits(f"{m.name}.bias", m.layers):
                names.add("bias")
        while head:
            if fits(head, m.layers):
                names.add(head.rpartition(".")[2])
            head = head.rpartition(".")[0]
    for old, new in mapping.items():
        if old not in names:
            holders = ((m.name.removesuffix(f".{new}"), m.layers) for m in arch.modules if m.name.endswith(f".{new}"))
            if any(fits(f"{holder}.{old}", layers) for holder, layers in holders):
                names.add(old)
    return names
