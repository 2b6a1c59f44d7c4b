"""Line plots as SVG text, for reports that need no network and no library. Knows nothing of training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

_WIDTH, _HEIGHT = 640, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 34, 36
_TICKS = 5


class Series(NamedTuple):
    """A named line; points whose value is not finite leave a gap."""

    name: str
    points: Sequence[tuple[float, float]]
    color: str
    marked: bool = False
    """With a dot at each point: few of them, far apart."""


def plot(title: str, across: str, series: Sequence[Series]) -> str:
    """An SVG element, `title` above the lines and `across` below; text and grid have the page's own colour."""
    finite = [(x, y) for line in series for x, y in line.points if math.isfinite(x) and math.isfinite(y)]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" '
        f'height="{_HEIGHT}" role="img" aria-label="{escape(title)}" font-family="system-ui, sans-serif" '
        'font-size="12">'
    )
    parts = [
        head,
        f'<text x="{_LEFT}" y="18" font-size="14" font-weight="600" fill="currentColor">{escape(title)}</text>',
    ]
    if not finite:
        parts.append(f'<text x="{_LEFT}" y="{_HEIGHT / 2}" fill="currentColor">nothing was logged</text></svg>')
        return "".join(parts)
    horizontal = _Axis.of([x for x, _ in finite], _LEFT, _WIDTH - _RIGHT, exact=True)
    vertical = _Axis.of([y for _, y in finite], _HEIGHT - _BOTTOM, _TOP)
    for value in vertical.ticks:
        y = vertical.at(value)
        parts.append(
            f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{_WIDTH - _RIGHT}" y2="{y:.1f}" stroke="currentColor" '
            f'stroke-opacity="0.15"/><text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end" '
            f'fill="currentColor">{label(value, vertical.step)}</text>'
        )
    for value in horizontal.ticks:
        x = horizontal.at(value)
        parts.append(
            f'<text x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 16}" text-anchor="middle" '
            f'fill="currentColor">{label(value, horizontal.step)}</text>'
        )
    parts.append(
        f'<text x="{(_LEFT + _WIDTH - _RIGHT) / 2}" y="{_HEIGHT - 4}" text-anchor="middle" fill="currentColor" '
        f'fill-opacity="0.7">{escape(across)}</text>'
    )
    parts += [_drawn(line, horizontal, vertical) for line in series]
    if len(series) > 1:
        parts.append(_legend(series))
    return "".join([*parts, "</svg>"])


class _Axis(NamedTuple):
    """Values mapped to pixels, with round ticks."""

    low: float
    high: float
    start: float
    end: float
    step: float

    @classmethod
    def of(cls, values: Sequence[float], start: float, end: float, *, exact: bool = False) -> _Axis:
        """An axis around values; `exact` ends at the outermost ones, else it goes on to the next tick."""
        low, high = min(values), max(values)
        if high - low <= abs(high) * 1e-12:  # one value: room around it
            pad = abs(high) * 0.1 or 1.0
            low, high = low - pad, high + pad
        step = _step((high - low) / _TICKS)
        if not exact:
            low, high = math.floor(low / step) * step, math.ceil(high / step) * step
        return cls(low, high, start, end, step)

    def at(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    @property
    def ticks(self) -> list[float]:
        first = math.ceil(self.low / self.step - 1e-9)
        last = math.floor(self.high / self.step + 1e-9)
        return [number * self.step for number in range(first, last + 1)]


def _step(rough: float) -> float:
    """The next of 1, 2, 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))


def label(value: float, step: float) -> str:
    """A tick's number with the digits that tell it from the next; small and large ones with a power of ten."""
    if value == 0 or abs(value) < step / 1e6:
        return "0"
    if step < 1e-3 or abs(value) >= 1e6:
        mantissa, _, exponent = f"{value:.1e}".partition("e")
        return f"{mantissa.removesuffix('.0')}e{int(exponent)}"
    return f"{value:,.{max(0, -math.floor(math.log10(step) + 1e-9))}f}"


def _drawn(line: Series, horizontal: _Axis, vertical: _Axis) -> str:
    runs: list[list[str]] = [[]]
    for x, y in line.points:
        if not (math.isfinite(x) and math.isfinite(y)):
            runs.append([])
            continue
        runs[-1].append(f"{horizontal.at(x):.1f},{vertical.at(y):.1f}")
    parts = []
    for run in filter(None, runs):
        if len(run) > 1:
            parts.append(
                f'<polyline points="{" ".join(run)}" fill="none" stroke="{line.color}" stroke-width="1.8" '
                'stroke-linejoin="round"/>'
            )
        if len(run) == 1 or line.marked:
            for point in run:
                left, _, top = point.partition(",")
                parts.append(f'<circle cx="{left}" cy="{top}" r="3" fill="{line.color}"/>')
    return "".join(parts)


def _legend(series: Sequence[Series]) -> str:
    """Names at the top right, the last one outermost."""
    x: float = _WIDTH - _RIGHT
    parts = []
    for line in reversed(series):
        x -= 7 * len(line.name)
        parts.append(
            f'<text x="{x:.0f}" y="18" fill="currentColor">{escape(line.name)}</text>'
            f'<line x1="{x - 22:.0f}" y1="14" x2="{x - 6:.0f}" y2="14" stroke="{line.color}" stroke-width="3"/>'
        )
        x -= 36
    return "".join(parts)
