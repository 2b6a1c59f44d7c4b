"""`loraplan check`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from loraplan.cli.output import fail, print_failures, style, write_file
from loraplan.cli.parameters import CODES, FORMAT, VERSIONS
from loraplan.context import Inputs
from loraplan.engine import Checker, Overrides
from loraplan.report import FORMATS, Format, render
from loraplan.result import FileResult, Outcome
from loraplan.rule import SEVERITIES, Severity

if TYPE_CHECKING:
    from loraplan.cli.fixes import Fixer


@click.command()
@click.argument("paths", nargs=-1, metavar="[FILES|DIRS|-]", type=click.Path())
@click.option(
    "--format",
    "--output-format",
    "form",
    type=click.Choice(FORMATS),
    default="text",
    help="Output format.",
    show_default=True,
)
@click.option("-o", "--output-file", metavar="FILE", help="Write the report there, in one step.")
@click.option("--baseline-findings", metavar="FILE", help="Report only findings that are not in this file.")
@click.option("--write-baseline-findings", metavar="FILE", help="Accept today's findings: write them there.")
@click.option("--fix", is_flag=True, help="Write the safe fixes into the files.")
@click.option("--unsafe-fixes", is_flag=True, help="With --fix or --diff: also those that change the training.")
@click.option("--diff", "show_diff", is_flag=True, help="Print what --fix would change, and write nothing.")
@click.option("--select", type=CODES, help="Only these rules: codes, prefixes or names, comma-separated; ALL for all.")
@click.option("--extend-select", type=CODES, help="These rules too.")
@click.option("--ignore", type=CODES, help="Not these rules.")
@click.option("--preview", is_flag=True, help="Also the preview rules and bands.")
@click.option("--model", metavar="NAME|DIR", help="Base model, instead of the one that the config names.")
@click.option("--gpu", metavar="NAME", help="GPU that the run is for, e.g. t4, a100-80gb.")
@click.option("--dataset-size", type=click.IntRange(min=1), metavar="N", help="Training examples.")
@click.option(
    "--baseline", metavar="FILE|REV", help="Earlier version to compare with.  [default: last committed version]"
)
@click.option("--framework-version", "versions", type=VERSIONS, multiple=True, help="E.g. transformers=4.57.1.")
@click.option("--config-format", type=FORMAT, help="Read the files as this format instead of detecting it.")
@click.option(
    "--only-configs", is_flag=True, help="Pass over named files that are no configs or that settings exclude."
)
@click.option("--stdin-filename", metavar="NAME", help="Name of what is read from standard input.")
@click.option(
    "--fail-on", type=click.Choice(SEVERITIES[::-1]), help="Least severity for exit code 1.  [default: warning]"
)
@click.option("--exit-zero", is_flag=True, help="Exit with 0 whatever is found; 2 stays for what cannot be read.")
@click.option("--exit-non-zero-on-fix", is_flag=True, help="With --fix: exit with 1 if a file was changed.")
@click.option("--statistics", is_flag=True, help="Count the findings of each rule.")
@click.option("--online", is_flag=True, help="Ask the Hugging Face hub for models that are unknown offline.")
@click.option("--isolated", is_flag=True, help="Ignore settings files and versions stated beside the config.")
@click.option("--settings", metavar="FILE", help="Settings file to use instead of the nearest.")
@click.option("-v", "--verbose", is_flag=True, help="List skipped rules and clean files; show infos in full.")
@click.option("-q", "--quiet", is_flag=True, help="Findings only.")
@click.option("--color", type=click.Choice(("auto", "always", "never")), default="auto", help="Coloured text.")
@click.pass_context
def command(
    ctx: click.Context,
    paths: tuple[str, ...],
    form: Format,
    output_file: str | None,
    baseline_findings: str | None,
    write_baseline_findings: str | None,
    fix: bool,
    unsafe_fixes: bool,
    show_diff: bool,
    select: tuple[str, ...] | None,
    extend_select: tuple[str, ...] | None,
    ignore: tuple[str, ...] | None,
    preview: bool,
    model: str | None,
    gpu: str | None,
    dataset_size: int | None,
    baseline: str | None,
    versions: tuple[tuple[str, str], ...],
    config_format: str | None,
    only_configs: bool,
    stdin_filename: str | None,
    fail_on: Severity | None,
    exit_zero: bool,
    exit_non_zero_on_fix: bool,
    statistics: bool,
    online: bool,
    isolated: bool,
    settings: str | None,
    verbose: bool,
    quiet: bool,
    color: str,
) -> None:
    """Check training configs and report what is wrong, at its line and column.

    FILES are configs of any framework; DIRS are searched for them; - reads standard input. Without any, the current
    directory is searched. Exit codes: 0 clean, 1 a finding at or above --fail-on, 2 something could not be checked.
    """
    checker = Checker(
        Inputs(model=model, gpu=gpu, dataset_size=dataset_size, baseline=baseline, versions=versions, online=online),
        Overrides(select, extend_select or (), ignore or (), preview, settings, isolated),
    )
    outcome = Outcome(exit_zero=exit_zero)
    fixer = _fixer(checker, fix, unsafe_fixes, show_diff, verbose)
    _check(checker, outcome, paths or (".",), stdin_filename, config_format, only_configs, fail_on, fixer)
    look = style(color, verbose=verbose, quiet=quiet, statistics=statistics)
    if write_baseline_findings is not None:
        from loraplan.accepted import written

        write_file(write_baseline_findings, written(outcome, write_baseline_findings))
        baseline_findings = write_baseline_findings
    if baseline_findings is not None:
        _accept(outcome, baseline_findings, quiet)
    if output_file is not None:
        look = look._replace(color=False)
    lines = list(render(outcome, form, look))
    if output_file is not None:
        write_file(output_file, "".join(f"{line}\n" for line in lines))
    elif lines and not show_diff:
        # Fixed text from standard input has standard output to itself.
        click.echo("\n".join(lines), color=look.color, err=fixer is not None and "-" in paths)
    if not outcome.files and not only_configs:
        click.echo(f"warning: no training config found in {', '.join(paths or ('.',))}", err=True)
    print_failures(outcome, color, verbose)
    if fixer is not None:
        fixer.say(len(outcome.diagnostics), quiet=quiet, out=form == "text" and "-" not in paths)
        if show_diff:
            ctx.exit(2 if outcome.failures else int(fixer.would and not exit_zero))
        if exit_non_zero_on_fix and fixer.fixed and not outcome.exit_code:
            ctx.exit(1)
    ctx.exit(outcome.exit_code)


def _fixer(checker: Checker, fix: bool, unsafe: bool, diff: bool, verbose: bool) -> Fixer | None:
    if not fix and not diff:
        if unsafe:
            raise click.UsageError("--unsafe-fixes needs --fix or --diff")
        return None
    from loraplan.cli.fixes import Fixer

    return Fixer(checker, unsafe, diff, verbose)


def _accept(outcome: Outcome, path: str, quiet: bool) -> None:
    from loraplan.accepted import BadFile, take
    from loraplan.report import plural

    try:
        count = take(outcome, path)
    except BadFile as error:
        fail(str(error))
    if not quiet:
        click.echo(f"{plural(count, 'finding')} accepted by {path}", err=True)


def _check(
    checker: Checker,
    outcome: Outcome,
    paths: tuple[str, ...],
    stdin_filename: str | None,
    config_format: str | None,
    only_configs: bool,
    fail_on: Severity | None,
    fixer: Fixer | None,
) -> None:
    from loraplan.discover import may_be_config, targets
    from loraplan.settings import SettingsError

    at = stdin_filename if paths[0] == "-" else paths[0]
    try:
        settings = checker.settings_for(at if at and os.path.exists(at) else ".")
        checker.prepare(settings)
    except SettingsError as error:
        fail(str(error))
    outcome.fail_on = fail_on or settings.fail_on or "warning"
    if fixer is not None:
        fixer.least = outcome.fail_on
    for target in targets(paths, lambda path: checker.settings_for(path).excludes(path)):
        result: FileResult | None
        if target.path == "-":
            if fixer is None:
                result = checker.check_stdin(stdin_filename, config_format)
            else:
                result = fixer.stdin(stdin_filename, config_format)
        elif not only_configs or not target.named or not os.path.exists(target.path):
            result = checker.check(target.path, format_name=config_format, named=target.named)
        elif may_be_config(target.path) and not checker.settings_for(target.path).excludes(target.path):
            result = checker.check(target.path, format_name=config_format, named=False)
        else:
            result = None
        if result is None:
            outcome.unrecognised += 1
        else:
            if fixer is not None and target.path != "-":
                result = fixer.file(target.path, result, config_format)
            outcome.files.append(result)
