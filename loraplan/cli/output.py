"""Terminals: colour, width, standard input, errors on standard error."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import click

from loraplan.report import Style
from loraplan.result import Outcome

_WIDTH = 100


def colored(choice: str, stream: object) -> bool:
    """Whether to colour: as told, else by NO_COLOR (no-color.org), FORCE_COLOR, TERM and the stream."""
    if choice != "auto":
        return choice == "always"
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return os.environ.get("TERM") != "dumb" and bool(getattr(stream, "isatty", lambda: False)())


def width() -> int:
    """Columns of the terminal; COLUMNS where set; 100 where the output is no terminal."""
    given = os.environ.get("COLUMNS", "")
    if given.isdigit() and int(given) > 0:
        return max(int(given), 40)
    try:
        return min(max(os.get_terminal_size(sys.stdout.fileno()).columns, 40), 160)
    except (OSError, ValueError):
        return _WIDTH


def style(color: str, *, verbose: bool = False, quiet: bool = False, statistics: bool = False) -> Style:
    """How this standard output should be written to."""
    return Style(colored(color, sys.stdout), width(), verbose, quiet, statistics)


def print_failures(outcome: Outcome, color: str, verbose: bool) -> None:
    """What could not be checked, on standard error."""
    if not any(file.failures for file in outcome.files):
        return
    from loraplan.report.text import failure, painter

    on = colored(color, sys.stderr)
    for item in dict.fromkeys(outcome.failures):
        for line in failure(item, verbose, painter(on)):
            click.echo(line, err=True, color=on)


def fail(message: str) -> NoReturn:
    """End with an error and exit code 2."""
    raise click.ClickException(message)


def write_file(path: str, text: str) -> None:
    """Write a report in one step, or end with exit code 2."""
    from loraplan.atomic import write

    try:
        write(path, text)
    except OSError as error:
        fail(f"{path}: {error.strerror or error}")
