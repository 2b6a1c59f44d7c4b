"""An estimate as Markdown, for a pull request or a model card."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from loraplan.devices import Device
from loraplan.memory.fit import fit
from loraplan.memory.options import Option
from loraplan.memory.shares import gib, shares
from loraplan.memory.term import Estimate
from loraplan.report.memory_text import span


def lines(found: Estimate, device: Device | None, options: Iterable[Option] = ()) -> Iterator[str]:
    """The report of one run."""
    yield f"**Peak {gib(found.peak.bytes)} allocated**, in the {found.peak.name} phase ({found.stack})."
    yield ""
    yield "| counter | expected (range) |"
    yield "| --- | --- |"
    yield f"| allocated | {span(found.allocated)} |"
    yield f"| reserved by PyTorch | {span(found.reserved)} |"
    yield f"| on the device | {span(found.device)} |"
    if device is not None:
        verdict = fit(found, device)
        yield f"| {device.name} | **{verdict.word}**, {gib(verdict.usable)} usable |"
    yield ""
    yield "| phase | " + " | ".join(shares(found.peak)) + " | total |"
    yield "| --- |" + " --- |" * (len(shares(found.peak)) + 1)
    names = list(shares(found.peak))
    for phase in found.phases:
        sizes = shares(phase)
        shown_sizes = " | ".join(gib(sizes.get(name, 0)) for name in names)
        yield f"| {phase.name} | {shown_sizes} | {gib(phase.bytes)} |"
    for text in found.assumptions:
        yield f"\nAssumed: {text}."
    for gap in found.unknown:
        yield f"\nUnknown: {gap.what} ({gap.remedy})."
    shown = list(options)
    if shown:
        optimizers = list(dict.fromkeys(item.optimizer for item in shown))
        yield ""
        yield "| weights | checkpointing | " + " | ".join(optimizers) + " |"
        yield "| --- | --- |" + " --- |" * len(optimizers)
        rows: dict[tuple[str, str], list[Option]] = {}
        for item in shown:
            rows.setdefault((item.quantization, item.checkpointing), []).append(item)
        for (quantization, checkpointing), row in rows.items():
            cells = [
                gib(item.estimate.device.expected)
                + (f" {fit(item.estimate, device).word}" if device is not None else "")
                + (" (this run)" if item.current else "")
                for item in row
            ]
            yield f"| {quantization} | {checkpointing} | " + " | ".join(cells) + " |"
