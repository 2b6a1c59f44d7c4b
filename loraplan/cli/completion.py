"""`loraplan completion`."""

from __future__ import annotations

import click


@click.command()
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
def command(shell: str) -> None:
    r"""Print the completion script of a shell.

    \b
    bash: loraplan completion bash > ~/.local/share/bash-completion/completions/loraplan
    zsh:  loraplan completion zsh > a file named _loraplan in a directory of $fpath
    fish: loraplan completion fish > ~/.config/fish/completions/loraplan.fish
    """
    from click.shell_completion import ShellComplete, get_completion_class

    from loraplan.cli import cli

    kind = get_completion_class(shell)
    assert kind is not None
    completer = kind(cli, {}, "loraplan", "_LORAPLAN_COMPLETE")
    # ShellComplete.source itself: bash's own override runs bash to learn its version.
    click.echo(ShellComplete.source(completer))
