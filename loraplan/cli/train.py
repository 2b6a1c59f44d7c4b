"""`loraplan train`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from loraplan.cli.output import fail, print_failures, style
from loraplan.cli.parameters import FORMAT, VERSIONS

if TYPE_CHECKING:
    from loraplan.engine import Checker
    from loraplan.training.command import Wishes

EXPORTS = ("script", "accelerate", "slurm", "command", "manifest")
_FORMS = ("prompt_completion", "messages", "alpaca", "sharegpt", "text", "preference")


@click.command()
@click.argument("path", metavar="CONFIG", type=click.Path())
@click.option("--output-dir", metavar="DIR", help="Run directory.  [default: the next free one under runs/]")
@click.option("--overwrite", is_flag=True, help="Replace the run that --output-dir holds.")
@click.option("--resume", is_flag=True, help="Continue the run in --output-dir, or this config's newest one.")
@click.option("--dry-run", is_flag=True, help="Build everything up to the first step, then stop.")
@click.option("--fix", is_flag=True, help="Write the safe fixes into the config first, and show them.")
@click.option("--force", is_flag=True, help="Train in spite of errors that the check or the estimate reports.")
@click.option("--model", metavar="NAME|DIR", help="Base model, instead of the one that the config names.")
@click.option("--data", metavar="FILE|DIR|ID", multiple=True, help="Training data, instead of the config's.")
@click.option("--eval-data", metavar="FILE|DIR|ID", multiple=True, help="Held-out data, instead of the config's.")
@click.option("--data-form", type=click.Choice(_FORMS), help="How the rows of --data look.  [default: detected]")
@click.option("--skip-broken", is_flag=True, help="Leave broken rows out instead of stopping at them.")
@click.option("--stream/--no-stream", default=None, help="Read data while training.  [default: where memory is short]")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), help="Seed, instead of the config's.")
@click.option("--max-steps", type=click.IntRange(min=1), metavar="N", help="Optimizer steps, instead of the config's.")
@click.option("--merge", is_flag=True, help="Also write the merged 16-bit model, once its outputs agree.")
@click.option("--device", type=click.Choice(("auto", "cpu", "cuda")), default="auto", help="Where to train.")
@click.option("--processes", type=click.IntRange(min=1), metavar="N", help="Processes, one per card.")
@click.option(
    "--nodes", type=click.IntRange(min=1), default=1, metavar="N", help="Machines, all with this run's files."
)
@click.option("--node-rank", type=click.IntRange(min=0), default=0, metavar="K", help="Which machine this is, from 0.")
@click.option("--rendezvous", metavar="HOST:PORT", help="Where the first of several machines is reached.")
@click.option("--sample-prompt", "prompts", metavar="TEXT", multiple=True, help="Complete this before and after.")
@click.option("--no-samples", is_flag=True, help="Complete no prompts before and after.")
@click.option(
    "--report-to", type=click.Choice(("tensorboard", "wandb", "mlflow", "trackio", "none")), multiple=True,
    help="Also log there, instead of where the config says.",
)  # fmt: skip
@click.option("--run", metavar="NAME", help="Which run, where the config describes several.")
@click.option("--export", metavar="FILE|KIND", multiple=True, help=f"Write instead of training: {', '.join(EXPORTS)}.")
@click.option("--framework-version", "versions", type=VERSIONS, multiple=True, help="E.g. transformers=4.57.1.")
@click.option("--config-format", type=FORMAT, help="Read the file as this format instead of detecting it.")
@click.option("--isolated", is_flag=True, help="Ignore settings files and versions stated beside the config.")
@click.option("--plain", is_flag=True, help="A line per record instead of a progress bar.")
@click.option("-q", "--quiet", is_flag=True, help="Errors and the result only.")
@click.pass_context
def command(ctx: click.Context, /, **given: Any) -> None:
    """Train what a config describes, in whatever framework's dialect, and report what came of it.

    The config is checked (errors stop the run), its memory estimated against the card that is here, its run directory
    made; the trainer works in a process of its own. --export FILE.py writes the same run as a plain TRL script,
    FILE.yaml accelerate's config, FILE.sh or FILE.sbatch a Slurm job; --export command prints the launch command.

    Exit codes: 0 trained, 1 stopped by the check or the estimate, 2 cannot run, 3 out of memory, 4 loss not a number,
    130 or 143 interrupted with a checkpoint written.
    """
    from loraplan.training import TrainingError
    from loraplan.training.command import train

    wishes = _wishes(given)
    checker = _checker(given)
    findings = _check(checker, given)
    if findings and not given["force"]:
        errors = f"{findings} error{'s' * (findings > 1)}"
        click.echo(f"not trained: {errors} (--fix applies safe fixes, --force goes on)", err=True)
        ctx.exit(1)
    try:
        readings = checker.read(given["path"], format_name=given["config_format"])[1]
        ctx.exit(train(checker, readings, wishes))
    except TrainingError as error:
        fail(str(error))


def _checker(given: dict[str, Any]) -> Checker:
    from loraplan.context import Inputs
    from loraplan.engine import Checker, Overrides

    return Checker(Inputs(model=given["model"], versions=given["versions"]), Overrides(isolated=given["isolated"]))


def _check(checker: Checker, given: dict[str, Any]) -> int:
    """Check, fix where that is asked, show what is found; the number of errors left. Exits where nothing is read."""
    from loraplan.report import render
    from loraplan.result import Outcome

    path, form, quiet = given["path"], given["config_format"], given["quiet"]
    result = checker.check(path, format_name=form)
    assert result is not None  # a named file always has one
    if given["fix"]:
        from loraplan.cli.fixes import Fixer

        fixer = Fixer(checker, unsafe=False, diff=False, verbose=True)
        result = fixer.file(path, result, form)
        fixer.say(len(result.diagnostics), quiet=quiet, out=True)
    outcome = Outcome(files=[result])
    errors = outcome.count("error")
    if outcome.failures:
        print_failures(outcome, "auto", verbose=False)
        raise click.exceptions.Exit(2)
    if not quiet or errors:
        look = style("auto", quiet=quiet)
        for line in render(outcome, "text", look):
            click.echo(line, color=look.color)
    return errors


def _wishes(given: dict[str, Any]) -> Wishes:
    from loraplan.training.command import Wishes

    if given["resume"] and given["overwrite"]:
        raise click.UsageError("--resume continues a run and --overwrite replaces it: one of them")
    if given["overwrite"] and given["output_dir"] is None:
        raise click.UsageError("--overwrite needs --output-dir: which run is to be replaced")
    if given["nodes"] > 1 and (given["rendezvous"] is None or ":" not in given["rendezvous"]):
        raise click.UsageError("--nodes needs --rendezvous HOST:PORT, where the first machine is reached")
    if given["node_rank"] >= given["nodes"]:
        raise click.UsageError(f"--node-rank {given['node_rank']}: there are {given['nodes']} machines, from 0")
    left = {"path", "fix", "config_format", "versions", "isolated", "no_samples"}
    kept = {name: value for name, value in given.items() if name not in left}
    if given["no_samples"] or given["prompts"]:
        kept["prompts"] = given["prompts"]
    else:
        kept["prompts"] = None
    return Wishes(**kept)
