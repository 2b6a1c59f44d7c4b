"""A sweep as a picture; matplotlib comes with the extra `plot`."""

from __future__ import annotations

from pathlib import Path

from loraplan.devices import Device
from loraplan.memory.term import Estimate

GIB = 1 << 30


def draw(names: tuple[str, ...], cells: dict[tuple[int, ...], Estimate], device: Device | None, path: str) -> None:
    """Write a PNG or SVG; raises ImportError without matplotlib, ValueError for another ending."""
    target = Path(path)
    ending = target.suffix.lower()
    if ending not in (".png", ".svg"):
        raise ValueError("the picture's name must end in .png or .svg")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    plane = figure.add_subplot()
    down = list(dict.fromkeys(key[0] for key in cells))
    for rest in dict.fromkeys(key[1:] for key in cells):
        found = [cells[(value, *rest)] for value in down]
        label = f"{names[1]} {rest[0]}" if rest else None
        (line,) = plane.plot(down, [item.device.expected / GIB for item in found], marker="o", label=label)
        low, high = ([getattr(item.device, side) / GIB for item in found] for side in ("low", "high"))
        plane.fill_between(down, low, high, alpha=0.15, color=line.get_color())
    if device is not None:
        plane.axhline(device.usable_bytes / GIB, color="black", linestyle="--", linewidth=1, label=device.name)
    plane.set_xscale("log", base=2)
    plane.set_xticks(down, [str(value) for value in down])
    plane.set_xlabel(names[0])
    plane.set_ylabel("memory on the device, GiB")
    plane.set_ylim(bottom=0)
    if plane.get_legend_handles_labels()[0]:
        plane.legend()
    temporary = target.with_name(f".{target.name}.new")
    try:
        figure.savefig(temporary, dpi=150, format=ending.removeprefix("."))
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
