"""An estimate for a person at a terminal: a bar against the card, the phase that peaks, the ranges, the options."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from loraplan.devices import Device
from loraplan.memory.fit import fit
from loraplan.memory.options import Option
from loraplan.memory.shares import GIB, gib, shares
from loraplan.memory.stack import Stack
from loraplan.memory.term import Estimate, Range
from loraplan.report import Style
from loraplan.report.text import painter

# How a kind is drawn: its letter where there is no colour, its colour.
_DRAWN = {
    "weights": ("W", "44"), "adapters": ("A", "45"), "optimizer": ("O", "46"), "gradients": ("G", "42"),
    "activations": ("a", "43"), "logits": ("L", "41"), "other": ("o", "47"),
}  # fmt: skip


def span(found: Range) -> str:
    """`12.3 GiB (11.9 to 13.0)`."""
    return f"{gib(found.expected)} ({found.low / GIB:.1f} to {found.high / GIB:.1f})"


def lines(
    found: Estimate,
    device: Device | None,
    style: Style,
    options: Iterable[Option] = (),
    *,
    explained_by: Stack | None = None,
) -> Iterator[str]:
    """The whole report of one run; with the stack that it was made with, every term and fact."""
    paint = painter(style.color)
    peak = found.peak
    per = f" on each of {found.gpus} GPUs" if found.gpus > 1 else ""
    yield paint("1", f"peak {gib(peak.bytes)} allocated{per}, in the {peak.name} phase") + f"  ({found.stack})"
    yield ""
    yield from bar(found, device, style)
    yield ""
    yield f"  {'allocated':<24}{span(found.allocated)}"
    yield f"  {'reserved by PyTorch':<24}{span(found.reserved)}"
    yield f"  {'shown by nvidia-smi':<24}{span(found.device)}"
    if found.host:
        yield f"  {'host memory':<24}{gib(found.host)}"
    if device is not None:
        verdict = fit(found, device)
        color = {"fits": "1;32", "tight": "1;33", "does not fit": "1;31"}[verdict.word]
        left = f"{gib(verdict.free)} free" if verdict.free >= 0 else f"{gib(-verdict.free)} too much"
        yield f"  {device.name}: {paint(color, verdict.word)}, {left} of {gib(verdict.usable)} usable"
        if verdict.word == "tight":
            yield "  fragments may take what is free: PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True leaves fewer"
    yield ""
    yield from phases(found, style)
    for text in found.assumptions:
        yield f"  assumed: {text}"
    for gap in found.unknown:
        yield f"  unknown: {gap.what} ({gap.remedy})"
    if not found.in_evidence:
        yield "  outside what was measured: the ranges are wider"
    if explained_by is not None:
        yield ""
        yield from explained(found, style)
        yield ""
        yield from facts(explained_by, style)
    shown = list(options)
    if shown:
        yield ""
        yield from table(shown, device, style)


def bar(found: Estimate, device: Device | None, style: Style) -> Iterator[str]:
    """The peak phase as a bar, against the card where there is one."""
    paint = painter(style.color)
    parts = shares(found.peak)
    total = sum(parts.values())
    whole = max(device.usable_bytes, total) if device is not None else total
    columns = max(min(style.width - 4, 100), 20)
    drawn, used, carried = "", 0, 0.0
    for kind, size in parts.items():
        letter, color = _DRAWN[kind]
        carried += size / whole * columns
        cells = round(carried) - used
        used += cells
        drawn += paint(color, " " * cells) if style.color else letter * cells
    yield "  " + drawn + "·" * (columns - used)
    names = [
        (paint(_DRAWN[kind][1], " ") if style.color else _DRAWN[kind][0]) + f" {kind} {gib(size)}"
        for kind, size in parts.items()
    ]
    line = " "
    for name in names:
        if len(line) + len(name) > max(style.width, 60) and line.strip():
            yield line.rstrip()
            line = " "
        line += f" {name}  "
    yield line.rstrip()


def phases(found: Estimate, style: Style) -> Iterator[str]:
    """One line a phase."""
    paint = painter(style.color)
    for phase in found.phases:
        mark = "<- peak" if phase is found.peak else ""
        yield f"  {phase.name:<12}{gib(phase.bytes):>12}  {paint('1', mark)}".rstrip()


def explained(found: Estimate, style: Style) -> Iterator[str]:
    """Every term with formula and source, the symbols last."""
    paint = painter(style.color)
    for phase in found.phases:
        yield paint("1", f"{phase.name}: {phase.bytes:,} bytes")
        for term in phase.terms:
            yield f"  {term.bytes:>18,}  {term.name}"
            if term.formula:
                yield f"  {'':>18}  = {term.formula}"
            if term.source:
                yield f"  {'':>18}    {paint('2', term.source)}"
    yield "where " + ", ".join(
        f"{name} = {value:,g}" if value < 1e6 else f"{name} = {int(value):,}" for name, value in found.symbols
    )


def facts(stack: Stack, style: Style) -> Iterator[str]:
    """What the stack was taken to do, and where that is written."""
    paint = painter(style.color)
    yield paint("1", f"facts of {stack.name} (--fact NAME=VALUE changes one)")
    sources = dict(stack.sources)
    for name, value in stack._asdict().items():
        if name not in ("name", "sources"):
            shown = (
                "+".join(value)
                if isinstance(value, tuple)
                else str(value).lower()
                if isinstance(value, bool)
                else value
            )
            source = f"  {paint('2', sources[name])}" if name in sources else ""
            yield f"  {name} = {shown if shown != '' else 'nothing'}{source}"


def table(options: list[Option], device: Device | None, style: Style) -> Iterator[str]:
    """Quantization and checkpointing down, optimizers across; `*` is the run as it is."""
    paint = painter(style.color)
    optimizers = list(dict.fromkeys(item.optimizer for item in options))
    yield paint("1", f"  {'weights':<14}{'checkpointing':<15}" + "".join(f"{name:>26}" for name in optimizers)).rstrip()
    rows: dict[tuple[str, str], list[Option]] = {}
    for item in options:
        rows.setdefault((item.quantization, item.checkpointing), []).append(item)
    colors = {"fits": "32", "tight": "33", "does not fit": "31"}
    for (quantization, checkpointing), row in rows.items():
        cells = ""
        for item in row:
            text = ("*" if item.current else "") + gib(item.estimate.device.expected)
            if device is not None:
                word = fit(item.estimate, device).word
                cells += paint(colors[word], f"{text + ' ' + word:>26}")
            else:
                cells += f"{text:>26}"
        yield f"  {quantization:<14}{checkpointing:<15}{cells}"
    yield "  expected memory on the device; * is this run"


def sweep(
    names: tuple[str, ...], cells: dict[tuple[int, ...], Estimate], device: Device | None, style: Style
) -> Iterator[str]:
    """A swept quantity down, a second one across."""
    paint = painter(style.color)
    colors = {"fits": "32", "tight": "33", "does not fit": "31"}
    down = list(dict.fromkeys(key[0] for key in cells))
    across = list(dict.fromkeys(key[1:] for key in cells))
    corner = names[0] if len(names) == 1 else f"{names[0]} \\ {names[1]}"
    yield paint("1", f"{corner:>14}" + "".join(f"{key[0] if key else 'device':>14}" for key in across))
    for value in down:
        line = f"{value:>14}"
        for key in across:
            found = cells[(value, *key)]
            text = f"{gib(found.device.expected):>14}"
            line += paint(colors[fit(found, device).word], text) if device is not None else text
            if device is not None and not style.color:
                line += {"fits": " ", "tight": "?", "does not fit": "!"}[fit(found, device).word]
        yield line
    if device is not None and not style.color:
        yield f"expected memory on the device; on {device.name} ? is tight, ! does not fit"
