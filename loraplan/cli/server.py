"""`loraplan server`."""

from __future__ import annotations

import click

from loraplan.cli.output import fail


@click.command()
def command() -> None:
    """Run the language server on standard input and output, for editors."""
    try:
        from loraplan.server import start
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("pygls", "lsprotocol"):
            raise
        fail("the language server needs pygls: pip install 'loraplan[server]'")
    start()
