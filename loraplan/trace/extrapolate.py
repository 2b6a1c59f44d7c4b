"""Memory of a deep model from two shallow ones: each phase is affine in the number of layers.

Layers repeat with a period (one for most models; six where every sixth layer attends to everything), perhaps after a
few that do not. Two depths that end at the same place of the period as the full model give its intercept and slope.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from loraplan.trace.model import kinds_of, with_layers
from loraplan.trace.setting import Setting
from loraplan.trace.step import Trace, trace

SHALLOWEST = 2
"""The first layer keeps less: nothing before it needs a gradient."""


@dataclass(frozen=True, slots=True)
class Bytes:
    """Bytes of a phase at full depth."""

    size: int
    by_kind: dict[str, int]


@dataclass(frozen=True, slots=True)
class Extrapolated:
    """Live bytes of a step at the depth of the config."""

    phases: dict[str, Bytes]
    depths: tuple[int, int]
    period: int
    trainable: int
    shallow: Trace
    """The step of the less shallow model, to look into."""

    @property
    def peak(self) -> int:
        return max(phase.size for phase in self.phases.values())


def depths_of(kinds: Sequence[object]) -> tuple[int, int, int]:
    """Two depths to trace, the shallowest that tell, and the period of the layers."""
    count = len(kinds)
    found = [(count, count, 1)]
    for period in range(1, count // 2 + 1):
        start = max((index + 1 for index in range(count - period) if kinds[index] != kinds[index + period]), default=0)
        if count - start >= 2 * period:  # fewer are no repetition
            low = count - (count - max(SHALLOWEST, start + 1)) // period * period
            if low + period <= count:
                found.append((low, low + period, period))
    return min(found, key=lambda depths: depths[1])


def extrapolate(config: Any, setting: Setting) -> Extrapolated:
    """Trace a step at two depths; models that are no deeper are traced as they are."""
    layers: int = config.num_hidden_layers
    low, high, period = depths_of(kinds_of(config))
    first = trace(with_layers(config, low), setting)
    second = trace(with_layers(config, high), setting) if high > low else first
    periods = (layers - low) // (high - low) if high > low else 0
    phases = {}
    for name, phase in first.phases.items():
        other = second.phases[name]
        kinds = sorted({*phase.by_kind, *other.by_kind})
        added = {kind: other.by_kind.get(kind, 0) - phase.by_kind.get(kind, 0) for kind in kinds}
        by_kind = {kind: phase.by_kind.get(kind, 0) + periods * added[kind] for kind in kinds}
        phases[name] = Bytes(phase.size + periods * (other.size - phase.size), by_kind)
    trainable = first.trainable + periods * (second.trainable - first.trainable)
    return Extrapolated(phases, (low, high), period, trainable, second)
