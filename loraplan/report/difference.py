"""What differs between two versions of a config, for `loraplan diff`: in effect, and field by field."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from loraplan.context import Facts, words
from loraplan.derived import finite, number
from loraplan.formats.reading import Reading
from loraplan.origin import Default
from loraplan.plan import get, ordered_names
from loraplan.report.json import origin as origin_values
from loraplan.report.json import plain
from loraplan.report.plan import quantities
from loraplan.report.text import default_words, painter, printable


class Change(NamedTuple):
    """A quantity or field with its values in both versions."""

    name: str
    old: Any
    new: Any
    note: str = ""


def effects(old: tuple[Reading, Facts], new: tuple[Reading, Facts]) -> list[Change]:
    """What follows from the Plans and differs: scaling, parameters, step size, batch, steps, targets, quantization."""
    before, after = _effects(*old), _effects(*new)
    found = []
    for name in dict.fromkeys([*before, *after]):
        left, right = before.get(name), after.get(name)
        if left != right:
            found.append(Change(name, left, right, _ratio(left, right)))
    return found


def _effects(reading: Reading, facts: Facts) -> dict[str, Any]:
    plan = reading.plan
    found: dict[str, Any] = {item.name: item.value for item in quantities(reading, facts)}
    rate, alpha = finite(plan.optimizer.learning_rate), finite(plan.adapter.alpha)
    found["step size (learning rate x alpha)"] = None if rate is None or alpha is None else finite(rate * alpha)
    targets = plan.adapter.target_modules
    found["targets"] = tuple(sorted(targets)) if isinstance(targets, tuple) else targets
    bits = plan.quantization.bits
    found["quantization"] = "none" if bits is None else f"{words(bits)} bits"
    return found


def fields(old: Reading, new: Reading) -> list[Change]:
    """Fields of the Plan that differ, defaults named as such."""
    found = []
    for name in ordered_names():
        left, right = get(old.plan, name), get(new.plan, name)
        if left != right:
            found.append(Change(name, left, right, _origins(old, new, name)))
    return found


def lines(old: tuple[Reading, Facts], new: tuple[Reading, Facts], names: tuple[str, str], color: bool) -> Iterator[str]:
    """Both kinds of difference as text, under the names that the user gave."""
    paint = painter(color)
    run = f" [{printable(new[0].name)}]" if new[0].name else ""
    yield paint("1", f"{printable(names[0])} -> {printable(names[1])}{run}")
    in_effect, in_fields = effects(old, new), fields(old[0], new[0])
    if not in_effect and not in_fields:
        yield "no difference"
        return
    wide = max(len(item.name) for item in (*in_effect, *in_fields))
    for title, changes, absent in (("effect", in_effect, "unknown"), ("fields", in_fields, "not set")):
        yield ""
        yield paint("1", f"{title}:" if changes else f"{title}: no difference")
        for item in changes:
            note = paint("2", f"  ({printable(item.note)})") if item.note else ""
            yield f"  {item.name:<{wide}}  {_words(item.old, absent)} -> {_words(item.new, absent)}{note}"


def values(old: tuple[Reading, Facts], new: tuple[Reading, Facts]) -> dict[str, Any]:
    """Both kinds of difference as plain values, for JSON."""
    return {
        "run": new[0].name,
        "effect": [
            {"name": item.name, "old": plain(item.old), "new": plain(item.new)} for item in effects(old, new)
        ],
        "fields": [
            {
                "field": item.name,
                "old": plain(item.old),
                "new": plain(item.new),
                "old_origin": origin_values(old[0].origins.get(item.name)),
                "new_origin": origin_values(new[0].origins.get(item.name)),
            }
            for item in fields(old[0], new[0])
        ],
    }  # fmt: skip


def _words(value: Any, absent: str) -> str:
    if value is None:
        return absent
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else printable(words(value))


def _ratio(old: Any, new: Any) -> str:
    left, right = (finite(item) if isinstance(item, int | float) else None for item in (old, new))
    if left is None or right is None or left <= 0 or right <= 0:
        return ""
    return f"x{number(float(f'{right / left:.3g}'))}"


def _origins(old: Reading, new: Reading, name: str) -> str:
    said = []
    for when, reading in (("old", old), ("new", new)):
        origin = reading.origins.get(name)
        if isinstance(origin, Default):
            said.append(f"{when}: {default_words(origin)}")
    return "; ".join(said)
