"""`loraplan explain`."""

from __future__ import annotations

import json

import click

from loraplan.cli.output import fail


@click.command()
@click.argument("rule", metavar="CODE")
@click.option(
    "--format", "form", type=click.Choice(("text", "json")), default="text", help="Output format.", show_default=True
)
def command(rule: str, form: str) -> None:
    """Print a rule's page, by its code or name: what it reports, why, and on what evidence."""
    from loraplan.cli.catalogue import describe
    from loraplan.engine import Checker
    from loraplan.select import UnknownSelector
    from loraplan.settings import SettingsError

    try:
        checker = Checker()
        registry = checker.registry(checker.settings_for("."))
        code = registry.find(rule)
    except (UnknownSelector, SettingsError) as error:
        fail(str(error))
    found, page = registry.load(code), registry.page(code)
    if form == "json":
        click.echo(json.dumps({"version": 1, **describe(found), "page": page}, indent=2))
        return
    title, _, body = page.strip().partition("\n")
    facts = [
        ("severity", found.severity + (" (preview)" if found.preview else "")),
        ("reads", ", ".join(found.reads)),
        ("needs", ", ".join(found.needs)),
        ("options", ", ".join(f"{name} = {value}" for name, value in found.options.items())),
        ("replaces", ", ".join(found.suppresses)),
    ]
    click.echo(f"{found.code} {found.name}\n\n{title}\n")
    for name, value in facts:
        if value:
            click.echo(f"{name + ':':<10} {value}")
    click.echo(f"\n{body.strip()}\n\n## Sources\n")
    for item in found.evidence:
        click.echo(f"- {item.what} ({item.url}" + (f"; {item.checked})" if item.checked else ")"))
