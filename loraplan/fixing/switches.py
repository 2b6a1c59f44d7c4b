"""Target modules of formats that choose them by switches: which switches make a list of module names."""

from __future__ import annotations

from typing import Any

from loraplan.document import Node, Scalar, find
from loraplan.formats.reading import Reading

Switches = dict[str, Any]
"""Dotted key -> the value that it must have; keys that have it already are left out."""

FORMATS = frozenset(("torchtune", "litgpt"))


def switches(reading: Reading, value: Any) -> Switches | str:
    """The switches that adapt exactly these modules, or why none do."""
    return _torchtune(reading, value) if reading.format == "torchtune" else _litgpt(reading, value)


def meant(reading: Reading, value: Any) -> frozenset[str] | None:
    """The module names that a value of the target modules stands for in a format with switches."""
    if reading.format not in FORMATS:
        return None
    if value == "all-linear":
        return _everything(reading)
    return frozenset(value) if isinstance(value, tuple) else None


def _everything(reading: Reading) -> frozenset[str]:
    """Every linear layer but the head, which `all-linear` leaves out too."""
    if reading.format == "torchtune":
        attention, feed_forward = _torchtune_names(reading)
        return frozenset((*attention.values(), *feed_forward))
    from loraplan.formats.litgpt import switches as names

    table = names(reading.plan.model.name)
    return frozenset(name for switch, modules in table.items() if switch != "lora_head" for name in modules)


def _torchtune_names(reading: Reading) -> tuple[dict[str, str], tuple[str, ...]]:
    from loraplan.formats.torchtune import switches as names

    component = _node(reading, "model._component_")
    return names(component.text.rpartition(".")[2] if isinstance(component, Scalar) else "")


def _torchtune(reading: Reading, value: Any) -> Switches | str:
    wanted = meant(reading, value)
    if wanted is None:
        return "torchtune chooses modules by switches"
    attention, feed_forward = _torchtune_names(reading)
    now = reading.facts.get("torchtune_targets", ())
    mlp = frozenset(feed_forward) & wanted
    if mlp and len(mlp) < len(feed_forward):
        return "torchtune adapts all of an MLP or nothing of it"
    if other := wanted - {*attention.values(), *feed_forward, "lm_head"}:
        return f"torchtune has no switch for {min(other)}"
    if "lm_head" in wanted and "apply_lora_to_output" not in now:
        return "not every builder of torchtune takes apply_lora_to_output"
    chosen = tuple(name for name, module in attention.items() if module in wanted)
    if not chosen:
        return "torchtune adapts at least one projection of the attention"  # models/*/_component_builders.py@0.6.1
    found: Switches = {}
    if {attention[name] for name in now if name in attention} != wanted.intersection(attention.values()):
        found["model.lora_attn_modules"] = chosen
    for key, on in (("apply_lora_to_mlp", bool(mlp)), ("apply_lora_to_output", "lm_head" in wanted)):
        if on != (key in now):
            found[f"model.{key}"] = on
    return found


def _litgpt(reading: Reading, value: Any) -> Switches | str:
    from loraplan.formats.litgpt import switches as names

    wanted = meant(reading, value)
    if wanted is None:
        return "litgpt chooses modules by switches"
    table, now = names(reading.plan.model.name), reading.facts.get("litgpt_targets", ())
    if other := wanted - {name for modules in table.values() for name in modules}:
        return f"litgpt has no switch for {min(other)}"
    found: Switches = {}
    for switch, modules in table.items():
        part = wanted.intersection(modules)
        if part and len(part) < len(modules):
            return f"{switch} adapts all of {', '.join(modules)} or none"
        # Three switches stand for parts of one fused matrix: any of them adapts it.
        same = [other for other, others in table.items() if others == modules]
        if part and not any(other in now for other in same):
            found[switch] = True
        elif not part and switch in now:
            found[switch] = False
    return found


def _node(reading: Reading, key: str) -> Node | None:
    return find(reading.root, tuple(key.split(".")))
