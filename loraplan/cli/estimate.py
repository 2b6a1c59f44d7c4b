"""`loraplan estimate`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from loraplan.cli.output import fail, style, write_file
from loraplan.cli.parameters import FORMAT, VERSIONS

if TYPE_CHECKING:
    from loraplan.arch.spec import ArchSpec
    from loraplan.devices import Device
    from loraplan.memory.options import Axis
    from loraplan.memory.stack import Stack
    from loraplan.plan import Plan

METHODS = ("lora", "rslora", "dora", "lora-fa", "qlora", "qdora", "full")


@click.command()
@click.argument("path", metavar="[CONFIG|-]", required=False, type=click.Path())
@click.option("--gpu", metavar="NAME", help="Card to compare with, e.g. rtx-4090 or a100-80gb.")
@click.option("--gpus", type=click.IntRange(1, 1 << 16), metavar="N", help="GPUs, instead of what the config says.")
@click.option(
    "--strategy",
    type=click.Choice(("ddp", "fsdp", "fsdp2", "zero1", "zero2", "zero3")),
    help="How the run is spread over GPUs.",
)
@click.option("--offload", is_flag=True, help="Parameters and optimizer on the host (fsdp, zero).")
@click.option("--seq", type=click.IntRange(1, 1 << 24), metavar="N", help="Tokens of a sequence.")
@click.option("--batch", type=click.IntRange(1, 1 << 16), metavar="N", help="Sequences of a micro-batch.")
@click.option("--model", metavar="NAME|DIR", help="Base model, instead of the one that the config names.")
@click.option("--method", type=click.Choice(METHODS), help="Without a config: what is trained.")
@click.option("--r", type=click.IntRange(1, 1 << 16), metavar="N", help="LoRA rank.")
@click.option("--targets", metavar="NAMES", help="Adapted modules, comma-separated, or all-linear.")
@click.option("--optimizer", metavar="NAME", help="Optimizer by its framework's name.")
@click.option("--checkpointing", type=click.Choice(("off", "on", "offload")), help="Gradient checkpointing.")
@click.option("--packing/--no-packing", default=None, help="Whether sequences are packed to full length.")
@click.option("--stack", "framework", metavar="NAME", help="Training stack: trl, axolotl, unsloth, torchtune, ...")
@click.option(
    "--fact", "facts", multiple=True, metavar="NAME=VALUE", help="A fact of the stack, e.g. loss=pad or upcast=norms."
)
@click.option("--framework-version", "versions", type=VERSIONS, multiple=True, help="E.g. transformers=4.57.1.")
@click.option("--config-format", type=FORMAT, help="Read the file as this format instead of detecting it.")
@click.option("--sweep", metavar="AXES", help="Table over one or two quantities: seq=512..8192,batch=1..8.")
@click.option("--plot", type=click.Path(dir_okay=False), help="Draw the sweep as PNG or SVG (loraplan[plot]).")
@click.option("--explain", is_flag=True, help="Every term with its formula and source.")
@click.option("--no-options", is_flag=True, help="Leave out the table of other choices.")
@click.option("--online", is_flag=True, help="Ask the Hugging Face hub for a model that is unknown offline.")
@click.option("--isolated", is_flag=True, help="Ignore settings files and versions stated beside the config.")
@click.option(
    "--format", "form", type=click.Choice(("text", "json", "markdown", "html")), default="text", show_default=True,
    help="Output format.",
)  # fmt: skip
@click.option("--output-file", type=click.Path(dir_okay=False), help="Write there instead of standard output.")
@click.option("--color", type=click.Choice(("auto", "always", "never")), default="auto", help="Coloured text.")
def command(
    path: str | None,
    gpu: str | None,
    gpus: int | None,
    strategy: str | None,
    offload: bool,
    seq: int | None,
    batch: int | None,
    model: str | None,
    method: str | None,
    r: int | None,
    targets: str | None,
    optimizer: str | None,
    checkpointing: str | None,
    packing: bool | None,
    framework: str | None,
    facts: tuple[str, ...],
    versions: tuple[tuple[str, str], ...],
    config_format: str | None,
    sweep: str | None,
    plot: str | None,
    explain: bool,
    no_options: bool,
    online: bool,
    isolated: bool,
    form: str,
    output_file: str | None,
    color: str,
) -> None:
    """Predict the peak GPU memory of a run, where it goes, and whether it fits a card. No GPU and no torch needed.

    Reads a config, or without one takes --model and --method. Exit code 1 where the run does not fit the card.
    """
    from loraplan.cli.estimation import Changes, runs_of, runs_without_config
    from loraplan.devices import UnknownDevice, find
    from loraplan.memory.options import axes

    device = None
    if gpu is not None:
        try:
            device = find(gpu)
        except UnknownDevice as error:
            fail(str(error))
    wanted: tuple[Axis, ...] = ()
    if sweep is not None:
        try:
            wanted = axes(sweep)
        except ValueError as error:
            fail(f"--sweep: {error}")
    if plot is not None and not wanted:
        fail("--plot draws a sweep; add for example --sweep seq=512..8192,batch=1..8")
    changes = Changes(gpus, strategy, offload, seq, batch, r, targets, optimizer, checkpointing, packing, framework)
    if path is None:
        if model is None:
            fail("name a config, or a model: loraplan estimate --model meta-llama/Llama-3.1-8B --method qlora")
        runs = runs_without_config(model, method or "lora", changes, dict(versions), online=online)
    else:
        if method is not None:
            fail("--method is for runs without a config; a config says what is trained")
        runs = runs_of(path, model, changes, versions, config_format, online=online, isolated=isolated)
    if facts:
        from loraplan.memory.stack import with_facts

        said = dict(fact.partition("=")[::2] for fact in facts)
        try:
            runs = [run._replace(stack=with_facts(run.stack, said)) for run in runs]
        except ValueError as error:
            fail(f"--fact: {error}")
    code = 0
    chunks: list[str] = []
    found: list[dict[str, Any]] = []
    look = style("never" if output_file else color)
    for run in runs:
        if wanted:
            chunks.append(_sweep(run.plan, run.arch, run.stack, device, wanted, look, form, plot))
            continue
        text, values, fits = _one(run.plan, run.arch, run.stack, device, look, form, not no_options, explain)
        chunks.append(text)
        found.append(values)
        code = code if fits else 1
    text = "\n\n".join(chunks)
    if form == "json" and not wanted:
        text = json.dumps({"version": 1, "path": path, "runs": found}, indent=2, allow_nan=False)
    elif form == "html" and not wanted:
        from loraplan.report import memory_html

        text = memory_html.page(path or f"{model} {method or 'lora'}", chunks)
    if output_file is None:
        click.echo(text, color=look.color)
    else:
        write_file(output_file, text + "\n")
    raise SystemExit(code)


def _one(
    plan: Plan, arch: ArchSpec, stack: Stack, device: Device | None, look: Any, form: str, others: bool,
    explain: bool,
) -> tuple[str, dict[str, Any], bool]:  # fmt: skip
    """(text, JSON values, whether it fits) of one run."""
    from loraplan.memory.fit import fit
    from loraplan.memory.model import estimate
    from loraplan.memory.options import options

    found = estimate(plan, arch, device, stack=stack)
    shown = list(options(plan, arch, stack, device)) if others else []
    fits = device is None or fit(found, device).word != "does not fit"
    if form == "json":
        from loraplan.report.memory_json import values

        return "", values(found, device, shown), fits
    if form == "markdown":
        from loraplan.report import memory_markdown

        return "\n".join(memory_markdown.lines(found, device, shown)), {}, fits
    if form == "html":
        from loraplan.report import memory_html

        return "\n".join(memory_html.lines(found, device, shown)), {}, fits
    from loraplan.report import memory_text

    return "\n".join(memory_text.lines(found, device, look, shown, explained_by=stack if explain else None)), {}, fits


def _sweep(
    plan: Plan, arch: ArchSpec, stack: Stack, device: Device | None, wanted: tuple[Axis, ...], look: Any, form: str,
    plot: str | None,
) -> str:  # fmt: skip
    """The table of a sweep."""
    from itertools import product

    from loraplan.memory.model import estimate
    from loraplan.memory.options import swept
    from loraplan.report import memory_text

    cells = {}
    for values in product(*(axis.values for axis in wanted)):
        changed = plan
        for axis, value in zip(wanted, values, strict=True):
            changed = swept(changed, axis.name, value)
        cells[values] = estimate(changed, arch, device, stack=stack)
    names = tuple(axis.name for axis in wanted)
    if plot is not None:
        from loraplan.report.memory_plot import draw

        try:
            draw(names, cells, device, plot)
        except ImportError:
            fail('--plot needs matplotlib: pip install "loraplan[plot]"')
        except (OSError, ValueError) as error:
            fail(f"{plot}: {error}")
    if form == "json":
        from loraplan.memory.fit import fit

        return json.dumps(
            {
                "version": 1,
                "axes": list(names),
                "cells": [
                    {
                        **dict(zip(names, key, strict=True)),
                        "allocated_bytes": found.allocated.expected,
                        "device_bytes": found.device.expected,
                        "fit": None if device is None else fit(found, device).word,
                    }
                    for key, found in cells.items()
                ],
            },
            indent=2,
        )
    return "\n".join(memory_text.sweep(names, cells, device, look))
