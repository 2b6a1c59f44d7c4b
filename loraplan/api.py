"""The two functions for other programs: `read` a config into Plans, `check` it."""

from __future__ import annotations

from os import PathLike, fspath

from loraplan.context import Inputs
from loraplan.engine import Checker, Overrides
from loraplan.formats.reading import Reading
from loraplan.result import FileResult


def read(path: str | PathLike[str], text: str | None = None, *, format_name: str | None = None) -> list[Reading]:
    """Every run that a config describes; raises DocumentError, NotAConfig or SettingsError."""
    return Checker().read(fspath(path), text=text, format_name=format_name)[1]


def check(
    path: str | PathLike[str],
    text: str | None = None,
    *,
    format_name: str | None = None,
    model: str | None = None,
    gpu: str | None = None,
    dataset_size: int | None = None,
    baseline: str | None = None,
    versions: dict[str, str] | None = None,
    select: tuple[str, ...] | None = None,
    ignore: tuple[str, ...] = (),
    preview: bool = False,
    isolated: bool = False,
) -> FileResult:
    """Check one config; what could not be read is in the result's `failures`, nothing is raised for it."""
    checker = Checker(
        Inputs(
            model=model,
            gpu=gpu,
            dataset_size=dataset_size,
            baseline=baseline,
            versions=tuple((versions or {}).items()),
        ),
        Overrides(select=select, ignore=ignore, preview=preview, isolated=isolated),
    )
    result = checker.check(fspath(path), text=text, format_name=format_name)
    assert result is not None  # named files always have one
    return result
