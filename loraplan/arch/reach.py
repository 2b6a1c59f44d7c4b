"""Which of an architecture's module patterns a list or pattern of names reaches, for all their layers at once.

A pattern that cannot tell one layer from another is decided once (peft 0.21.2 `tuners/tuners_utils.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from loraplan.arch.pattern import Pattern, is_plain
from loraplan.arch.spec import ArchSpec, Module

if TYPE_CHECKING:
    from loraplan.plan import Adapter


def real(arch: ArchSpec) -> list[Module]:
    """What PEFT can meet as a module: everything but bare parameters."""
    return [m for m in arch.modules if m.kind != "Parameter"]


def containers(arch: ArchSpec) -> list[Module]:
    """The modules that hold others, by the names of what they hold."""
    known = {m.name for m in arch.modules if m.kind != "Parameter"}
    found: dict[str, Module] = {}
    for m in arch.modules:
        head = m.name.rpartition(".")[0]
        while head and head not in found:
            if head not in known:
                found[head] = Module(head, "Other", (0,), layers=m.layers if "{i}" in head else None)
            head = head.rpartition(".")[0]
    return list(found.values())


def listed(entries: tuple[str, ...], modules: list[Module], used: set[str]) -> list[Module]:
    """The modules that a list reaches: an entry is the whole name or its end after a dot. `used` gains what matched."""
    numbered = {entry for entry in entries if has_digit(entry)}
    plain = {entry for entry in entries if "{" not in entry} - numbered
    hits: list[Module] = []
    for m in modules:
        found = plain.intersection(_ends(m.name))
        used |= found
        whole = bool(found)
        layers = []
        for layer in (m.layers if m.layers is not None else (-1,)) if numbered else ():
            name = m.name.replace("{i}", str(layer)).replace("{e}", "0")
            found = numbered.intersection(_ends(name))
            used |= found
            if found:
                layers.append(layer)
        if whole or (layers and m.layers is None):
            hits.append(m)
        elif layers:
            hits.append(m._replace(layers=tuple(layers)))
    return hits


def _ends(name: str) -> Iterator[str]:
    """The name and what follows each of its dots."""
    yield name
    dot = name.find(".")
    while dot >= 0:
        name = name[dot + 1 :]
        yield name
        dot = name.find(".")


def has_digit(text: str) -> bool:
    """Whether a name could tell layers apart."""
    return any(character.isdigit() for character in text)


def only(module: Module, test: Callable[[str], bool], digits: bool) -> Module | None:
    """The module with the layers whose names pass; None if none does. Without `digits`, equally long indices agree."""
    if module.layers is None:
        return module if test(module.name.replace("{e}", "0")) else None
    answers: dict[int, bool] = {}
    kept = []
    for layer in module.layers:
        group = layer if digits else -len(str(layer))
        if group not in answers:
            answers[group] = test(module.name.replace("{i}", str(layer)).replace("{e}", "0"))
        if answers[group]:
            kept.append(layer)
    if not kept:
        return None
    return module if len(kept) == len(module.layers) else module._replace(layers=tuple(kept))


def in_layers(modules: list[Module], adapter: Adapter) -> list[Module]:
    """`layers_to_transform`: the first numbered part of the name, or the one after `layers_pattern`, must be listed."""
    wanted = adapter.layers_to_transform
    if not wanted:
        return modules
    after = (adapter.layers_pattern,) if isinstance(adapter.layers_pattern, str) else adapter.layers_pattern or ()
    allowed = set(wanted)
    kept = []
    for m in modules:
        index = _layer_index(m.name.split("."), tuple(filter(None, after)))
        if index == "{i}" and m.layers is not None:
            layers = tuple(layer for layer in m.layers if layer in allowed)
            if layers:
                kept.append(m._replace(layers=layers))
        elif index is not None and index != "{i}" and int(index) in allowed:
            kept.append(m)
    return kept


def _layer_index(parts: list[str], after: tuple[str, ...]) -> str | None:
    """The part of a name that PEFT takes for the layer index; at least one part must follow it."""
    for place in range(1, len(parts) - 1):
        part = parts[place]
        if part == "{i}" or part.isdecimal():
            if after:
                if parts[place - 1] in after:
                    return part
            elif place >= 2:
                return part
    return None


def exclusion(adapter: Adapter) -> Callable[[Module], Module | None]:
    """The part of a module that `exclude_modules` and `modules_to_save` leave to the adapter."""
    excluded = adapter.exclude_modules
    pattern = Pattern(excluded) if isinstance(excluded, str) and excluded else None
    entries = excluded if isinstance(excluded, tuple) else ()
    saved = [entry for entry in adapter.modules_to_save or () if is_plain(entry)]
    odd = [Pattern(rf"(.*\.)?({e})(\..*)?") for e in adapter.modules_to_save or () if e and not is_plain(e)]
    digits = any(map(has_digit, (*entries, *saved))) or any(p.digits for p in (pattern, *odd) if p is not None)

    def test(name: str) -> bool:
        if pattern is not None and pattern.fullmatch(name):
            return False
        if any(name == entry or name.endswith(f".{entry}") for entry in entries):
            return False
        if any(f".{entry}." in f".{name}." for entry in saved):
            return False
        return not any(p.fullmatch(name) for p in odd)

    if pattern is None and not entries and not saved and not odd:
        return lambda module: module
    return lambda module: only(module, test, digits)


def without(modules: list[Module], keep: Callable[[Module], Module | None]) -> tuple[list[Module], list[Module]]:
    """(what is left, what was wholly taken out)."""
    left, dropped = [], []
    for m in modules:
        rest = keep(m)
        if rest is None:
            dropped.append(m)
        else:
            left.append(rest)
    return left, dropped
