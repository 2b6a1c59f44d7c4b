"""Two runs beside each other: what differed in the config, the surroundings and the outcome."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from loraplan.context import words
from loraplan.derived import number
from loraplan.report.json import plain
from loraplan.training.display import duration
from loraplan.training.outcome import Difference, Outcome, differences
from loraplan.training.prediction import gib


def config(old: Outcome, new: Outcome) -> list[Difference]:
    """What was asked for: Plan fields, seed, data and processes."""
    found = differences(old.manifest.plan, new.manifest.plan)
    pairs: list[tuple[str, Any, Any]] = [
        ("seed", old.manifest.seed, new.manifest.seed),
        ("processes", old.manifest.processes, new.manifest.processes),
        ("data files", _data(old), _data(new)),
    ]
    if any(item.name == "run.seed" for item in found):
        pairs = pairs[1:]
    return found + [Difference(name, left, right) for name, left, right in pairs if left != right]


def surroundings(old: Outcome, new: Outcome) -> list[Difference]:
    """What it ran on: device, package versions, the repository's commit."""
    left, right = (_versions(run) for run in (old, new))
    return [
        Difference(name, left.get(name), right.get(name))
        for name in dict.fromkeys([*left, *right])
        if left.get(name) != right.get(name)
    ]


def results(old: Outcome, new: Outcome) -> list[Difference]:
    """What came of it; figures that are the same included."""
    left, right = old.figures(), new.figures()
    return [Difference(name, left[name], right[name]) for name in left if name not in ("device", "memory_source")]


def values(old: Outcome, new: Outcome) -> dict[str, Any]:
    """The comparison as plain values, for JSON."""
    parts = {"config": config(old, new), "surroundings": surroundings(old, new), "outcome": results(old, new)}
    return {
        "version": 1,
        "old": str(old.directory),
        "new": str(new.directory),
        **{
            name: [{"name": item.name, "old": plain(item.old), "new": plain(item.new)} for item in found]
            for name, found in parts.items()
        },
    }


def lines(old: Outcome, new: Outcome) -> Iterator[str]:
    """The comparison as text."""
    yield f"old: {old.directory}"
    yield f"new: {new.directory}"
    for title, found in (
        ("config", config(old, new)), ("surroundings", surroundings(old, new)), ("outcome", results(old, new)),
    ):  # fmt: skip
        yield ""
        if not found:
            yield f"{title}: the same"
            continue
        yield f"{title}:"
        wide = max(len(item.name) for item in found)
        room = max(len(said(item.name, item.old)) for item in found)
        for item in found:
            left, right = said(item.name, item.old), said(item.name, item.new)
            same = item.old == item.new
            yield f"  {item.name:<{wide}}  {left:<{room}}  {'=' if same else '-> ' + right}".rstrip()


def said(name: str, value: Any) -> str:
    """A figure as people read it."""
    if value is None:
        return "-"
    if name in ("peak_memory", "predicted_memory"):
        return gib(value)
    if name == "seconds":
        return duration(value)
    if name == "tokens_per_s":
        return f"{value:,.0f}"
    if name.endswith("loss") and isinstance(value, float):  # the config has fused_loss and completion_only_loss
        return f"{value:.4f}"
    if name == "trainable":
        return f"{value:,}"
    return number(value) if isinstance(value, float) else words(value)


def _data(run: Outcome) -> tuple[str, ...]:
    return tuple(f"{item.source}@{item.sha256[:12]}" if item.sha256 else item.source for item in run.manifest.data)


def _versions(run: Outcome) -> dict[str, str]:
    manifest = run.manifest
    found = dict(run.start.versions if run.start else manifest.versions)
    if run.start is not None:
        found = {"device": run.start.device, **found}
    if manifest.git is not None:
        found["git commit"] = manifest.git.commit[:12] + (" with changes" if manifest.git.dirty else "")
    return found
