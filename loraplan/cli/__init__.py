"""The command line: a group that imports a command's module only when that command runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn, cast

import click

from loraplan import __version__

# Command -> one line for the group's help; the module has the command's name.
COMMANDS = {
    "check": "Check configs and report what is wrong at its line.",
    "fix": "Write fixes into configs, or a corrected plan beside them.",
    "estimate": "Predict peak GPU memory, where it goes, and whether it fits a card.",
    "train": "Train what a config describes, in a process of its own, and report what came of it.",
    "runs": "List past training runs, or compare two.",
    "demo": "Train a small pretrained model on a CPU in minutes, and see what it learned.",
    "show": "Show what a config will really train, and where every value comes from.",
    "diff": "Show what changed between two configs: in effect, and field by field.",
    "explain": "Print a rule's page: what it reports, why, and on what evidence.",
    "rules": "List every rule.",
    "models": "List the base models whose architecture is known offline.",
    "server": "Run the language server, for editors.",
    "completion": "Print a shell's completion script.",
}
INTERRUPTED = 130
BROKEN_PIPE = 141


class LazyGroup(click.Group):
    """Commands by name from `COMMANDS`; a wrong one gets the nearest name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        return cast("click.Command", import_module(f"loraplan.cli.{cmd_name}").command)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from difflib import get_close_matches

            close = get_close_matches(args[0], COMMANDS, n=1, cutoff=0.6)
            if close:
                hint = f" Did you mean {close[0]!r}?"
            elif os.path.exists(args[0]):
                hint = f" Did you mean 'loraplan check {args[0]}'?"
            else:
                hint = f" Commands: {', '.join(COMMANDS)}."
            raise click.UsageError(f"no such command {args[0]!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", prog_name="loraplan", message="%(prog)s %(version)s")
def cli() -> None:
    """Check a LoRA or QLoRA fine-tuning config before spending GPU hours on it."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = _run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader went away: nothing is left to say, and the interpreter's own flush must not complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = BROKEN_PIPE
    sys.exit(code)


def _run(arguments: Sequence[str] | None) -> int:
    out = sys.stdout
    try:
        result: Any = cli.main(arguments, prog_name="loraplan", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return 2
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except SystemExit:
        if sys.stdout is out:  # a completion script's answer
            raise
        return BROKEN_PIPE  # click has seen the pipe close, and put a stream in place that may be flushed
    return result if isinstance(result, int) else 0
