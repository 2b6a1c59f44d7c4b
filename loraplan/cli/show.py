"""`loraplan show`."""

from __future__ import annotations

import json

import click

from loraplan.cli.output import fail, style
from loraplan.cli.parameters import FORMAT, VERSIONS


@click.command()
@click.argument("path", metavar="FILE|-", type=click.Path())
@click.option("--all", "unset", is_flag=True, help="Also fields that nothing sets.")
@click.option("--model", metavar="NAME|DIR", help="Base model, instead of the one that the config names.")
@click.option("--dataset-size", type=click.IntRange(min=1), metavar="N", help="Training examples.")
@click.option("--framework-version", "versions", type=VERSIONS, multiple=True, help="E.g. transformers=4.57.1.")
@click.option("--config-format", type=FORMAT, help="Read the file as this format instead of detecting it.")
@click.option("--stdin-filename", metavar="NAME", help="Name of what is read from standard input.")
@click.option("--online", is_flag=True, help="Ask the Hugging Face hub for a model that is unknown offline.")
@click.option("--isolated", is_flag=True, help="Ignore settings files and versions stated beside the config.")
@click.option(
    "--format", "form", type=click.Choice(("text", "json")), default="text", help="Output format.", show_default=True
)
@click.option("--color", type=click.Choice(("auto", "always", "never")), default="auto", help="Coloured text.")
def command(
    path: str,
    unset: bool,
    model: str | None,
    dataset_size: int | None,
    versions: tuple[tuple[str, str], ...],
    config_format: str | None,
    stdin_filename: str | None,
    online: bool,
    isolated: bool,
    form: str,
    color: str,
) -> None:
    """Show what a config will really train, and where every value comes from.

    Each value is one that the file writes, a default of its framework, or derived from others; quantities that follow
    (scaling, batch, steps, trainable parameters) stand at the end.
    """
    from loraplan.context import Inputs
    from loraplan.document import DocumentError
    from loraplan.document.read import read_text
    from loraplan.engine import Checker, Overrides
    from loraplan.formats import NotAConfig
    from loraplan.report.plan import lines, values
    from loraplan.settings import SettingsError

    checker = Checker(
        Inputs(model=model, dataset_size=dataset_size, versions=versions, online=online), Overrides(isolated=isolated)
    )
    try:
        text = read_text("-") if path == "-" else None
        name = (stdin_filename or "<stdin>") if path == "-" else path
        readings = checker.read(name, text=text, format_name=config_format)[1]
        facts = [checker.facts(reading) for reading in readings]
    except NotAConfig as error:
        if error.looks_like:
            fail(f"{error.path}: this is {error.looks_like}, not a training config")
        looked_for = "\n  ".join(error.looked_for)
        fail(f"{error.path}: not recognised as a training config; these were looked for:\n  {looked_for}")
    except (DocumentError, SettingsError) as error:
        fail(str(error))
    pairs = list(zip(readings, facts, strict=True))
    if form == "json":
        runs = [values(reading, known, unset=unset) for reading, known in pairs]
        click.echo(json.dumps({"version": 1, "path": name, "runs": runs}, indent=2, allow_nan=False))
        return
    look = style(color)
    for number, (reading, known) in enumerate(pairs):
        if number:
            click.echo()
        for line in lines(reading, known, look, unset=unset):
            click.echo(line, color=look.color)
