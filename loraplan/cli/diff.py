"""`loraplan diff`."""

from __future__ import annotations

import json
import os
from typing import NoReturn

import click

from loraplan.cli.output import fail, style
from loraplan.cli.parameters import FORMAT, VERSIONS


@click.command()
@click.argument("old", metavar="OLD")
@click.argument("new", metavar="NEW")
@click.option("--model", metavar="NAME|DIR", help="Base model, instead of the one that the configs name.")
@click.option("--dataset-size", type=click.IntRange(min=1), metavar="N", help="Training examples.")
@click.option("--framework-version", "versions", type=VERSIONS, multiple=True, help="E.g. transformers=4.57.1.")
@click.option("--config-format", type=FORMAT, help="Read the files as this format instead of detecting it.")
@click.option("--isolated", is_flag=True, help="Ignore settings files and versions stated beside the config.")
@click.option(
    "--format", "form", type=click.Choice(("text", "json")), default="text", help="Output format.", show_default=True
)
@click.option("--color", type=click.Choice(("auto", "always", "never")), default="auto", help="Coloured text.")
def command(
    old: str,
    new: str,
    model: str | None,
    dataset_size: int | None,
    versions: tuple[tuple[str, str], ...],
    config_format: str | None,
    isolated: bool,
    form: str,
    color: str,
) -> None:
    """Show what changed between two configs, in effect and field by field.

    OLD and NEW are each a file, or REV:FILE for a file as a git revision has it. They may be of different frameworks.
    """
    from loraplan.context import Inputs
    from loraplan.document import DocumentError
    from loraplan.engine import Checker, Overrides
    from loraplan.formats import NotAConfig
    from loraplan.report.difference import lines, values
    from loraplan.settings import SettingsError

    checker = Checker(Inputs(model=model, dataset_size=dataset_size, versions=versions), Overrides(isolated=isolated))
    sides = []
    try:
        for name in (old, new):
            path, text = _source(name)
            readings = checker.read(path, text=text, format_name=config_format)[1]
            sides.append([(reading, checker.facts(reading)) for reading in readings])
    except NotAConfig as error:
        fail(f"{error.path}: " + (f"this is {error.looks_like}, not" if error.looks_like else "not recognised as")
             + " a training config")  # fmt: skip
    except (DocumentError, SettingsError) as error:
        fail(str(error))
    before, after = sides
    if len(before) != len(after):
        fail(f"{old} describes {len(before)} runs and {new} {len(after)}: which belong together is not known")
    pairs = list(zip(before, after, strict=True))
    if form == "json":
        runs = [values(left, right) for left, right in pairs]
        click.echo(json.dumps({"version": 1, "old": old, "new": new, "runs": runs}, indent=2, allow_nan=False))
        return
    look = style(color)
    for number, (left, right) in enumerate(pairs):
        if number:
            click.echo()
        for line in lines(left, right, (old, new), look.color):
            click.echo(line, color=look.color)


def _source(name: str) -> tuple[str, str | None]:
    """The path that a side is read as, and its text where that is not the file's own."""
    if os.path.exists(name) or ":" not in name:
        return name, None
    revision, _, path = name.partition(":")
    from loraplan.baseline import show

    text = show(path, revision) if revision and path and not revision.startswith("-") else None
    if text is None:
        _missing(name)
    return path, text


def _missing(name: str) -> NoReturn:
    fail(f"{name}: neither a file nor a file of a git revision")
