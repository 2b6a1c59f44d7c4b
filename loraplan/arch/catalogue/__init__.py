"""The bundled models: published names, mirrors and pre-quantized copies, each with the facts of its `config.json`.

`models.json` has four parts: `sources`, where facts come from; `rows`, each [index of its source, the keys of a
`config.json` that differ from the class defaults or that we want to state]; `models`, published name -> row; and
`aliases`, lower-case names of the same shapes that no rule below recognises -> [published name, index of the source
that says so].
"""

from __future__ import annotations

import json
import os
from functools import cache
from typing import Any, NamedTuple

_SUFFIXES = (
    ("-unsloth-bnb-4bit", "bnb-4bit"), ("-bnb-4bit", "bnb-4bit"), ("-bnb-nf4", "bnb-4bit"), ("-bnb-8bit", "bnb-8bit"),
    ("-gptq-int4", "gptq"), ("-gptq-int8", "gptq"), ("-gptq-4bit", "gptq"), ("-gptq", "gptq"),
    ("-awq-int4", "awq"), ("-awq", "awq"), ("-aqlm-2bit-1x16", "aqlm"), ("-nvfp4", "nvfp4"), ("-fp8-dynamic", "fp8"),
    ("-fp8-block", "fp8"), ("-fp8", "fp8"), ("-4bit", "4bit"), ("-8bit", "8bit"), ("-bnb-nf4-bf16", "bnb-4bit"),
    ("-dequantized", ""), ("-bf16", ""),
)  # fmt: skip
"""What is appended to a model's name when its weights are stored otherwise; an empty kind is not quantized."""
_MIRRORS = frozenset(
    "unsloth nousresearch mlx-community alpindale thebloke axolotl-ai-co ista-daslab solidrust casperhansen"
    " hugging-quants axolotl-quants neuralmagic redhatai nvidia dreamgenx huggyllama mistral-community"
    " lmstudio-community".split()
)
"""Organisations that publish copies of other people's models under their own names."""


class Row(NamedTuple):
    """A model found in the catalogue."""

    name: str
    config: dict[str, Any]
    source: str
    prequantized: str | None


@cache
def _table() -> dict[str, Any]:
    with open(os.path.join(os.path.dirname(__file__), "models.json"), "rb") as file:
        table: dict[str, Any] = json.load(file)
    return table


@cache
def _lowered() -> dict[str, str]:
    """Lower-case name -> published name."""
    return {name.lower(): name for name in _table()["models"]}


@cache
def _by_title() -> dict[str, str]:
    """Lower-case last part of the name -> published name, where only one row's model has it."""
    titles: dict[str, str] = {}
    rows: dict[str, int] = {}
    models = _table()["models"]
    for name, row in models.items():
        title = name.rpartition("/")[2].lower()
        if title in titles and rows[title] != row:
            titles[title] = ""
        else:
            titles.setdefault(title, name)
            rows[title] = row
    return titles


def lookup(name: str) -> Row | None:
    """The row of a model by its name in any case, an alias, a mirror's or quantizer's copy, or a path's last parts."""
    given = name.strip().replace("\\", "/").rstrip("/").lower()
    found, quantization = _find(given), None
    if found is None:
        for suffix, kind in _SUFFIXES:
            if given.endswith(suffix):
                found, quantization = _find(given.removesuffix(suffix)), kind
                found = found or (_copied(given.removesuffix(suffix)) if kind else None)
                if found is not None:
                    break
    if found is None:
        return None
    published, note = found
    return _row(published, note, quantization)


def names() -> list[str]:
    """Every published name, sorted."""
    return sorted(_table()["models"], key=str.lower)


def all_rows() -> list[Row]:
    """Every row, for listings and tests."""
    return [_row(name, "", None) for name in names()]


def suggest(name: str) -> list[str]:
    """Published names like this one, best first; at most three."""
    from difflib import get_close_matches

    given = name.strip().lower()[:200]
    lowered = _lowered()
    close = get_close_matches(given, lowered, n=3, cutoff=0.8)
    if not close and "/" not in given:
        titles = {title: published for title, published in _by_title().items() if published}
        return [titles[title] for title in get_close_matches(given, titles, n=3, cutoff=0.8)]
    return [lowered[match] for match in close]


def _row(published: str, note: str, quantization: str | None) -> Row:
    table = _table()
    source, config = table["rows"][table["models"][published]]
    if quantization == "":
        config = {key: value for key, value in config.items() if key != "quantization_config"}
    return Row(published, config, f"catalogue{note}: {table['sources'][source]}", quantization or None)


def _find(given: str) -> tuple[str, str] | None:
    """(published name, how it was recognised)."""
    table, lowered = _table(), _lowered()
    if given in lowered:
        return lowered[given], ""
    alias = table["aliases"].get(given)
    if alias is not None:
        return alias[0], f", by alias ({table['sources'][alias[1]]})"
    organisation, _, title = given.rpartition("/")
    if not title:
        return None
    published = _by_title().get(title)
    here = organisation.count("/") > 0 or given.startswith(("/", ".", "~", "checkpoints/", "models/"))
    if not published and here:
        alias = table["aliases"].get(f"unsloth/{title}")  # names that are short, as directories' names are
        published = alias[0] if alias is not None else None
    if not published:
        return None
    if organisation in _MIRRORS or organisation == "meta-llama":
        return published, ", by mirror"
    if here:
        tail = "/".join(given.split("/")[-2:])
        return lowered.get(tail, published), ", by the directory's name"
    return None


def _copied(given: str) -> tuple[str, str] | None:
    """Another organisation's quantized copy, once its suffix is taken off: the rest is a model's name exactly."""
    organisation, _, title = given.rpartition("/")
    published = _by_title().get(title) if organisation and "/" not in organisation else None
    return (published, ", by the name of a quantized copy") if published else None
