"""What a config will really train, for `loraplan show`: every value with its origin, and what follows from them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from textwrap import shorten
from typing import Any, NamedTuple

from loraplan.context import Facts, words
from loraplan.derived import effective_batch, number, scaling, total_steps, warmup_steps
from loraplan.formats.reading import Reading
from loraplan.origin import Default, Derived, Explicit
from loraplan.plan import get, ordered_names
from loraplan.report import Style
from loraplan.report.json import origin as origin_values
from loraplan.report.json import plain
from loraplan.report.text import default_words, painter, printable
from loraplan.rule import Skip
from loraplan.run import describe, recognised


class Quantity(NamedTuple):
    """One thing that follows from the Plan; `value` None is unknown, and `how` then says what is missing."""

    name: str
    value: float | int | str | None
    how: str


def quantities(reading: Reading, facts: Facts) -> Iterator[Quantity]:
    """What a person wants to know before starting the run."""
    plan = reading.plan
    if plan.adapter.method != "none":
        yield Quantity("scaling", scaling(plan), "alpha / sqrt(r)" if plan.adapter.use_rslora else "alpha / r")
    yield Quantity("effective batch", effective_batch(plan), "examples per optimizer step, over all devices")
    examples = None
    try:
        examples = facts.dataset()
        yield Quantity("training examples", examples.examples, examples.how)
    except Skip as skip:
        yield Quantity("training examples", None, skip.reason)
    steps = total_steps(plan, examples.examples if examples else None)
    packed = "; packing makes their number depend on the tokenizer" if plan.data.packing else ""
    missing = f"needs max_steps, or epochs and the number of examples{packed}"
    yield Quantity("total steps", steps, "optimizer steps" if steps is not None else missing)
    warm = warmup_steps(plan, steps)
    yield Quantity("warm-up steps", warm, "optimizer steps" if warm is not None else "needs the total steps")
    yield from _parameters(reading, facts)


def _parameters(reading: Reading, facts: Facts) -> Iterator[Quantity]:
    adapter = reading.plan.adapter
    try:
        arch = facts.arch()
    except Skip as skip:
        yield Quantity("trainable parameters", None, skip.reason)
        return
    if adapter.method == "none":
        yield Quantity("trainable parameters", arch.parameters, f"all of {arch.name}")
        return
    from loraplan.arch.match import saved_modules

    matched = facts.matched()
    if adapter.method not in (None, "lora"):
        yield Quantity("trainable parameters", None, f"not known for {adapter.method}")
    elif adapter.r is None:
        yield Quantity("trainable parameters", None, "the rank is unknown")
    elif not matched.modules:
        yield Quantity("trainable parameters", None, matched.problem or "the targets match no module")
    else:
        names = {module.name.rpartition(".")[2] for module in matched.modules}
        lora = matched.parameters(adapter)
        saved = sum(
            (math.prod(module.shape) + (module.shape[-1] if module.bias else 0)) * module.copies
            for module in {
                module for found in saved_modules(adapter.modules_to_save or (), arch).values() for module in found
            }
        )
        parts = f"LoRA on {', '.join(sorted(names))}"
        if saved:
            parts += f"; {saved:,} of them copies in modules_to_save"
        if arch.parameters:
            parts += f"; {100 * (lora + saved) / arch.parameters:.3g} % of the model"
        yield Quantity("trainable parameters", lora + saved, parts)
    yield Quantity("model parameters", arch.parameters or None, f"{arch.name} ({arch.source})")


def values(reading: Reading, facts: Facts, *, unset: bool = False) -> dict[str, Any]:
    """A run as plain values, for JSON."""
    names = [name for name in ordered_names() if unset or get(reading.plan, name) is not None]
    return {
        **recognised(reading)._asdict(),
        "values": [
            {
                "field": name,
                "key": reading.keys.get(name),
                "value": plain(get(reading.plan, name)),
                "origin": _origin(reading, name),
            }
            for name in names
        ],
        "derived": [{**item._asdict(), "value": plain(item.value)} for item in quantities(reading, facts)],
    }


def _origin(reading: Reading, name: str) -> dict[str, Any] | None:
    origin = reading.origins.get(name)
    found = origin_values(origin)
    if found is not None and isinstance(origin, Explicit):
        found["line"], found["column"] = reading.document.position(origin.span.start)
    return found


def lines(reading: Reading, facts: Facts, style: Style, *, unset: bool = False) -> Iterator[str]:
    """A run as text: one block per section of the Plan, then what follows from it."""
    paint = painter(style.color)
    version = f"{reading.framework} {reading.version}" if reading.version else f"{reading.assumed_version} assumed"
    run = f" [{printable(reading.name)}]" if reading.name else ""
    by = reading.signature if reading.signature.startswith("named") else f"recognised by {reading.signature}"
    head = f"{printable(reading.document.path)}{run}: {reading.format}, {printable(by)}"
    yield paint("1", head)
    yield f"{printable(describe(reading))}; {version}"
    rows: list[tuple[str, str, str, str]] = []
    for name in ordered_names():
        value = get(reading.plan, name)
        if value is not None or unset:
            section = name.rpartition(".")[0]
            rows.append((section, name, printable(shorten(words(value), 60, placeholder=" ...")), where(reading, name)))
    wide = max((len(row[1]) for row in rows), default=0)
    room = max((len(row[2]) for row in rows if len(row[2]) <= 40), default=0)
    last = None
    for section, name, value, place in rows:
        if section != last:
            yield ""
            last = section
        yield f"  {name:<{wide}}  {value:<{room}}  {paint('2', printable(place))}".rstrip()
    yield ""
    found = list(quantities(reading, facts))
    wide = max(len(item.name) for item in found)
    for item in found:
        value = "unknown" if item.value is None else _figure(item.value)
        yield f"  {item.name:<{wide}}  {value:<{room}}  {paint('2', printable(item.how))}".rstrip()


def _figure(value: float | str) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return number(value) if isinstance(value, float) else value


def where(reading: Reading, name: str) -> str:
    """Where a field's value came from, in words."""
    match reading.origins.get(name):
        case Explicit(span=span, key_path=key_path, shared=shared):
            line, column = reading.document.position(span.start)
            key = ".".join(str(part) for part in key_path)
            return f"{key}, line {line}:{column}" + (", shared" if shared else "")
        case Default() as default:
            return default_words(default)
        case Derived(fields=fields, how=how):
            return f"derived from {', '.join(fields)}: {how}" if fields else f"derived: {how}"
    return ""
