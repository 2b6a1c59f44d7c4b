"""An estimate as one HTML page without scripts: a bar for each phase, the ranges, every term, the options."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape

from loraplan.devices import Device
from loraplan.memory.fit import fit
from loraplan.memory.options import Option
from loraplan.memory.shares import gib, shares
from loraplan.memory.term import Estimate, Phase
from loraplan.report.memory_text import span

_COLORS = {
    "weights": "#4c78a8", "adapters": "#b279a2", "optimizer": "#72b7b2", "gradients": "#54a24b",
    "activations": "#eeca3b", "logits": "#e45756", "other": "#9d9da1",
}  # fmt: skip
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 62rem; padding: 0 1rem; color: #1b1b1f }
table { border-collapse: collapse; margin: 1rem 0 } td, th { padding: .25rem .8rem; border-bottom: 1px solid #ddd }
th { text-align: left } td.n { text-align: right; font-variant-numeric: tabular-nums }
.bar { display: flex; height: 1.5rem; background: #eee; border-radius: 3px; overflow: hidden; flex: 1 }
.row { display: flex; gap: .8rem; align-items: center; margin: .3rem 0 } .row b { width: 6rem }
.row span.t { width: 6rem; text-align: right } .key i { display: inline-block; width: .8rem; height: .8rem;
margin: 0 .3rem 0 1rem; border-radius: 2px } .fits { color: #2b7a2b } .tight { color: #9a6700 } .no { color: #b42318 }
details { margin: 1rem 0 } code { font-size: 13px } .src { color: #666; font-size: 13px }
@media (prefers-color-scheme: dark) { body { background: #17171a; color: #e6e6ea } .bar { background: #333 }
td, th { border-color: #3a3a40 } .src { color: #999 } .fits { color: #6fcf6f } .tight { color: #e3b341 }
.no { color: #ff8a80 } }
"""


def page(title: str, runs: Iterable[str]) -> str:
    """One page of all runs of a file."""
    head = f'<html lang="en"><meta charset="utf-8"><title>{escape(title)}: memory</title><style>{_STYLE}</style>'
    return "\n".join(("<!doctype html>", head, f"<h1>{escape(title)}</h1>", *runs, "</html>"))


def lines(found: Estimate, device: Device | None, options: Iterable[Option] = ()) -> Iterator[str]:
    """The part of one run."""
    yield f"<p><b>Peak {gib(found.peak.bytes)} allocated</b>, in the {found.peak.name} phase ({escape(found.stack)})."
    if device is not None:
        verdict = fit(found, device)
        kind = {"fits": "fits", "tight": "tight", "does not fit": "no"}[verdict.word]
        yield f'On {escape(device.name)}, {gib(verdict.usable)} usable: <b class="{kind}">{verdict.word}</b>.'
    yield "</p>"
    whole = max([phase.bytes for phase in found.phases] + ([device.usable_bytes] if device else []))
    for phase in found.phases:
        yield _bar(phase, whole)
    yield '<p class="key">' + "".join(f'<i style="background:{c}"></i>{n}' for n, c in _COLORS.items()) + "</p>"
    yield "<table><tr><th>counter<th>expected (range)</tr>"
    for name, value in (
        ("allocated", found.allocated),
        ("reserved by PyTorch", found.reserved),
        ("on the device", found.device),
    ):
        yield f'<tr><td>{name}<td class="n">{span(value)}</tr>'
    yield "</table>"
    for text in found.assumptions:
        yield f"<p>Assumed: {escape(text)}.</p>"
    for gap in found.unknown:
        yield f"<p>Unknown: {escape(gap.what)} ({escape(gap.remedy)}).</p>"
    yield from _options(list(options), device)
    for phase in found.phases:
        yield f"<details><summary>{phase.name}: {phase.bytes:,} bytes</summary><table>"
        for term in phase.terms:
            yield (
                f'<tr><td class="n">{term.bytes:,}<td>{escape(term.name)}<td><code>{escape(term.formula)}</code>'
                f'<div class="src">{escape(term.source)}</div></tr>'
            )
        yield "</table></details>"


def _bar(phase: Phase, whole: int) -> str:
    parts = "".join(
        f'<div style="width:{100 * size / whole:.2f}%;background:{_COLORS[name]}" title="{name} {gib(size)}"></div>'
        for name, size in shares(phase).items()
    )
    total = f'<span class="t">{gib(phase.bytes)}</span>'
    return f'<div class="row"><b>{phase.name}</b><div class="bar">{parts}</div>{total}</div>'


def _options(options: list[Option], device: Device | None) -> Iterator[str]:
    if not options:
        return
    optimizers = list(dict.fromkeys(item.optimizer for item in options))
    yield (
        "<h2>The same run with other choices</h2><table><tr><th>weights<th>checkpointing"
        + "".join(f"<th>{name}" for name in optimizers)
        + "</tr>"
    )
    rows: dict[tuple[str, str], list[Option]] = {}
    for item in options:
        rows.setdefault((item.quantization, item.checkpointing), []).append(item)
    for (quantization, checkpointing), row in rows.items():
        cells = ""
        for item in row:
            word = fit(item.estimate, device).word if device is not None else ""
            kind = {"fits": "fits", "tight": "tight", "does not fit": "no"}.get(word, "")
            text = gib(item.estimate.device.expected) + (f" {word}" if word else "")
            cells += f'<td class="n {kind}">' + (f"<b>{text}</b>" if item.current else text)
        yield f"<tr><td>{escape(quantization)}<td>{checkpointing}{cells}</tr>"
    yield "</table><p>Expected memory on the device; the run as it is configured is in bold.</p>"
