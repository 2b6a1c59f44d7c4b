"""`loraplan runs`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from loraplan.cli.output import fail

if TYPE_CHECKING:
    from loraplan.training.outcome import Outcome


@click.command()
@click.argument("paths", nargs=-1, metavar="[DIR | OLD NEW]", type=click.Path())
@click.option(
    "--format", "form", type=click.Choice(("text", "json")), default="text", help="Output format.", show_default=True
)
def command(paths: tuple[str, ...], form: str) -> None:
    """List past runs, or compare two.

    Without arguments the runs under runs/ are listed; with one, those in DIR, or the one that DIR is. With two run
    directories: what differed in their configs, in what they ran on, and in what came of them.
    """
    from loraplan.training import TrainingError, comparison, directory

    try:
        match paths:
            case (old, new):
                pair = _run(old), _run(new)
                if form == "json":
                    _json(comparison.values(*pair))
                else:
                    click.echo("\n".join(comparison.lines(*pair)))
                return
            case () | (_,):
                root = Path(paths[0]) if paths else Path(directory.ROOT)
                if paths and not root.is_dir():
                    fail(f"{root}: no such directory")
                found, unreadable = _all(directory.runs(root))
            case _:
                raise click.UsageError("name one directory to list, or two runs to compare")
    except TrainingError as error:
        fail(str(error))
    if form == "json":
        _json({"version": 1, "runs": [_values(run) for run in found], "unreadable": unreadable})
        return
    for text in unreadable:
        click.echo(f"warning: {text}", err=True)
    if not found:
        click.echo(f"no runs in {root}/")
    for line in _table(found):
        click.echo(line)


def _run(path: str) -> Outcome:
    from loraplan.training import outcome

    return outcome.read(Path(path))


def _all(paths: list[Path]) -> tuple[list[Outcome], list[str]]:
    from loraplan.training import TrainingError, outcome

    found, unreadable = [], []
    for path in paths:
        try:
            found.append(outcome.read(path))
        except TrainingError as error:
            unreadable.append(str(error))
    return found, unreadable


def _values(run: Outcome) -> dict[str, Any]:
    from loraplan.report.json import plain

    manifest = run.manifest
    return {
        "directory": str(run.directory),
        "config": manifest.config.path if manifest.config else None,
        "model": manifest.plan.model.name,
        "created": manifest.created,
        **plain(run.figures()),
    }


def _table(runs: list[Outcome]) -> list[str]:
    from loraplan.training.comparison import said

    rows: list[tuple[str, ...]] = [("run", "state", "steps", "loss", "eval loss", "tokens/s", "peak", "time", "model")]
    for run in runs:
        figures = run.figures()
        cells = [said(name, figures[name]) for name in
                 ("state", "steps", "last_loss", "eval_loss", "tokens_per_s", "peak_memory", "seconds")]  # fmt: skip
        name = (run.manifest.plan.model.name or "-").rstrip("/").rpartition("/")[2]
        rows.append((run.directory.name, *cells, name))
    if len(rows) == 1:
        return []
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    return ["  ".join(cell.ljust(wide) for cell, wide in zip(row, widths, strict=True)).rstrip() for row in rows]


def _json(values: dict[str, Any]) -> None:
    click.echo(json.dumps(values, indent=2, allow_nan=False))
