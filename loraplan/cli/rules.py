"""`loraplan rules`."""

from __future__ import annotations

import json

import click

from loraplan.cli.output import fail


@click.command()
@click.option(
    "--format", "form", type=click.Choice(("text", "json")), default="text", help="Output format.", show_default=True
)
def command(form: str) -> None:
    """List every rule: code, severity, name, what it says."""
    from loraplan.cli.catalogue import describe
    from loraplan.engine import Checker
    from loraplan.settings import SettingsError

    try:
        checker = Checker()
        registry = checker.registry(checker.settings_for("."))
    except SettingsError as error:
        fail(str(error))
    rules = [registry.load(code) for code in registry.codes]
    if form == "json":
        click.echo(json.dumps({"version": 1, "rules": [describe(rule) for rule in rules]}, indent=2))
        return
    wide = max(len(rule.name) for rule in rules)
    for rule in rules:
        title = registry.page(rule.code).strip().partition("\n")[0]
        severity = f"{rule.severity}{'*' if rule.preview else ''}"
        click.echo(f"{rule.code}  {severity:<8}  {rule.name:<{wide}}  {title}")
    if any(rule.preview for rule in rules):
        click.echo("\n* preview: on with --preview, or when named with --select")
