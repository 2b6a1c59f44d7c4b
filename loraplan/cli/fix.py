"""`loraplan fix`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from loraplan.cli.output import fail
from loraplan.cli.parameters import CODES, FORMAT, VERSIONS
from loraplan.rule import SEVERITIES, Severity

if TYPE_CHECKING:
    from loraplan.engine import Checker


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="FILES|DIRS|-", type=click.Path())
@click.option("-o", "--output", metavar="OUT", help="Write the corrected plan there as loraplan.yaml, or .json.")
@click.option("--unsafe-fixes", is_flag=True, help="Also fixes that change the training.")
@click.option("--diff", "show_diff", is_flag=True, help="Print what would change, and write nothing.")
@click.option(
    "--fail-on",
    type=click.Choice(SEVERITIES[::-1]),
    help="Least severity for exit code 1, and for unsafe fixes.  [default: warning]",
)
@click.option("--exit-non-zero-on-fix", is_flag=True, help="Exit with 1 if a file was changed.")
@click.option("--select", type=CODES, help="Only these rules: codes, prefixes or names, comma-separated; ALL for all.")
@click.option("--ignore", type=CODES, help="Not these rules.")
@click.option("--preview", is_flag=True, help="Also the preview rules and bands.")
@click.option("--model", metavar="NAME|DIR", help="Base model, instead of the one that the config names.")
@click.option("--gpu", metavar="NAME", help="GPU that the run is for, e.g. t4, a100-80gb.")
@click.option("--dataset-size", type=click.IntRange(min=1), metavar="N", help="Training examples.")
@click.option("--framework-version", "versions", type=VERSIONS, multiple=True, help="E.g. transformers=4.57.1.")
@click.option("--config-format", type=FORMAT, help="Read the files as this format instead of detecting it.")
@click.option(
    "--only-configs", is_flag=True, help="Pass over named files that are no configs or that settings exclude."
)
@click.option("--stdin-filename", metavar="NAME", help="Name of what is read from standard input.")
@click.option("--isolated", is_flag=True, help="Ignore settings files and versions stated beside the config.")
@click.option("--settings", metavar="FILE", help="Settings file to use instead of the nearest.")
@click.option("-v", "--verbose", is_flag=True, help="List what was fixed.")
@click.option("-q", "--quiet", is_flag=True, help="Findings only.")
@click.pass_context
def command(
    ctx: click.Context,
    paths: tuple[str, ...],
    output: str | None,
    unsafe_fixes: bool,
    show_diff: bool,
    fail_on: Severity | None,
    exit_non_zero_on_fix: bool,
    select: tuple[str, ...] | None,
    ignore: tuple[str, ...] | None,
    preview: bool,
    model: str | None,
    gpu: str | None,
    dataset_size: int | None,
    versions: tuple[tuple[str, str], ...],
    config_format: str | None,
    only_configs: bool,
    stdin_filename: str | None,
    isolated: bool,
    settings: str | None,
    verbose: bool,
    quiet: bool,
) -> None:
    """Write fixes into configs, as `check --fix` does; with -o leave them alone and write the corrected plan.

    OUT is in LoRAPlan's own format, with every value that is known, the framework's defaults among them.
    """
    if output is None:
        from loraplan.cli.check import command as check

        ctx.invoke(
            check, paths=paths, fix=not show_diff, unsafe_fixes=unsafe_fixes, show_diff=show_diff, select=select,
            ignore=ignore, preview=preview, model=model, gpu=gpu, dataset_size=dataset_size, versions=versions,
            config_format=config_format, only_configs=only_configs, stdin_filename=stdin_filename, isolated=isolated,
            settings=settings, verbose=verbose, quiet=quiet, fail_on=fail_on,
            exit_non_zero_on_fix=exit_non_zero_on_fix,
        )  # fmt: skip
        return
    if show_diff:
        raise click.UsageError("--diff and -o exclude each other")
    if len(paths) != 1:
        raise click.UsageError("-o takes one file")
    from loraplan.context import Inputs
    from loraplan.engine import Checker, Overrides

    checker = Checker(
        Inputs(model=model, gpu=gpu, dataset_size=dataset_size, versions=versions),
        Overrides(select, (), ignore or (), preview, settings, isolated),
    )
    name = (stdin_filename or "<stdin>") if paths[0] == "-" else paths[0]
    _plan(checker, paths[0], name, output, config_format, unsafe_fixes, fail_on or "warning", quiet)


def _plan(
    checker: Checker,
    path: str,
    name: str,
    output: str,
    config_format: str | None,
    unsafe: bool,
    least: Severity,
    quiet: bool,
) -> None:
    from loraplan.atomic import write
    from loraplan.document import DocumentError
    from loraplan.document.read import read_text
    from loraplan.failure import broken_fix
    from loraplan.fixing import fix_text
    from loraplan.fixing.plan_file import CannotWritePlanError, text_of

    try:
        text = read_text(path)
        done = fix_text(checker, name, text, unsafe=unsafe, least=least, format_name=config_format)
        if done is None:
            result = checker.check(name, text=text, format_name=config_format)
            failure = result.failures[0] if result is not None and result.failures else None
            fail(f"{name}: {failure.message if failure is not None else 'not a training config'}")
        for item, reason, _ in done.broken:
            title = item.fix.title if item.fix is not None else item.name
            failure = broken_fix(name, item.line, item.code, title, reason)
            fail("\n".join((f"{name}: {failure.message}", failure.remedy, *failure.details)))
        readings = checker.read(name, text=done.text, format_name=config_format)[1]
        if len(readings) != 1:
            fail(f"{name}: it describes {len(readings)} runs, and a plan is one")
        write(output, text_of(readings[0].plan, output))
    except (DocumentError, CannotWritePlanError) as error:
        fail(str(error))
    except OSError as error:
        fail(f"{output}: {error.strerror or error}")
    if not quiet:
        left = len(done.result.diagnostics)
        click.echo(f"{output}: fixed {len(done.applied)}, {left} remaining", err=True)
