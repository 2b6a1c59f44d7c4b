"""`loraplan models`."""

from __future__ import annotations

import json

import click

from loraplan.cli.output import fail


@click.command()
@click.argument("query", required=False, default="")
@click.option(
    "--format", "form", type=click.Choice(("text", "json")), default="text", help="Output format.", show_default=True
)
def command(query: str, form: str) -> None:
    """List the base models whose architecture is known offline; QUERY is a part of the name."""
    from loraplan.arch.catalogue import names
    from loraplan.arch.sources import resolve, suggest

    wanted = query.lower()
    found = [name for name in names() if wanted in name.lower()]
    if not found and query:
        spec = resolve(query, base_dir=None)
        if spec is None:
            close = suggest(query)
            fail(f"no model like {query!r}" + (f"; did you mean {close!r}?" if close else ""))
        found = [query]
    rows = []
    for name in found:
        spec = resolve(name, base_dir=None)
        if spec is not None:
            rows.append((name, spec))
    if form == "json":
        models = [
            {
                "name": name,
                "same_as": spec.name if spec.name != name else None,
                "model_type": spec.model_type,
                "parameters": spec.parameters or None,
                "layers": spec.num_layers,
                "hidden_size": spec.hidden_size,
                "intermediate_size": spec.intermediate_size,
                "heads": spec.num_heads,
                "kv_heads": spec.num_kv_heads,
                "vocab_size": spec.vocab_size,
                "experts": spec.num_experts,
                "tied_embeddings": spec.tied_embeddings,
                "max_positions": spec.max_positions,
                "prequantized": spec.prequantized,
                "source": spec.source,
            }
            for name, spec in rows
        ]
        click.echo(json.dumps({"version": 1, "models": models}, indent=2))
        return
    wide = max((len(name) for name, _ in rows), default=0)
    for name, spec in rows:
        size = f"{spec.parameters / 1e9:.4g}B" if spec.parameters else "?"
        experts = f", {spec.num_experts} experts" if spec.num_experts else ""
        click.echo(f"{name:<{wide}}  {size:>7}  {spec.model_type}, {spec.num_layers} x {spec.hidden_size}{experts}")
