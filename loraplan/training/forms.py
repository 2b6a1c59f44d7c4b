"""How the rows of a config's data look: the form and the columns that axolotl, LLaMA-Factory, torchtune and TRL name.

What a config leaves open is detected from the first row, and shown.
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from loraplan.datasets import UnknownSizeError
from loraplan.datasets.files import beside
from loraplan.datasets.portions import Raw, sections, text
from loraplan.formats.reading import Reading
from loraplan_trainer.manifest import Form


class Layout(NamedTuple):
    """A form, or None where it is to be detected; `columns` as in the manifest's data source."""

    form: Form | None = None
    columns: dict[str, str] = {}  # noqa: RUF012 - never changed


# axolotl 0.19.0 prompt_strategies/: the types that are the same rows by another name.
_AXOLOTL: dict[str, Form] = {
    "alpaca": "alpaca",
    "chat_template": "messages",
    "completion": "text",
    "sharegpt": "sharegpt",
}
# torchtune 0.6.1 datasets/*.py: builders by the rows they read.
_TORCHTUNE: dict[str, Form] = {
    "alpaca_dataset": "alpaca",
    "alpaca_cleaned_dataset": "alpaca",
    "text_completion_dataset": "text",
    "preference_dataset": "preference",
}
# torchtune's names of an alpaca row's and a text row's columns are the trainer's.
_LLAMAFACTORY = {"prompt": "instruction", "query": "input", "response": "output", "system": "system"}


def layouts(reading: Reading) -> list[Layout]:
    """One per data set, in the order of `datasets.portions.taken`; shorter where the format says nothing of rows."""
    raw = Raw(reading)
    try:
        match reading.format:
            case "axolotl":
                return [_axolotl(item) for item in sections(raw("datasets"))]
            case "torchtune":
                return [_torchtune(item) for item in sections(raw("dataset"))]
            case "llamafactory":
                return _llamafactory(reading, raw)
    except UnknownSizeError:
        return []
    return []


def _axolotl(item: dict[str, Any]) -> Layout:
    kind = text(item.get("type")) or ""
    form = _AXOLOTL.get(kind.partition(".")[0])
    columns: dict[str, str] = {}
    for key, name in (("field_messages", "messages"), ("field_instruction", "instruction"), ("field", "text"),
                      ("field_output", "output")):  # fmt: skip
        column = text(item.get(key))
        if column is not None and column != name:
            columns[name] = column
    if form == "messages" and columns.get("messages") in ("conversations", "conversation"):
        return Layout()  # both spellings of a turn occur under this name
    return Layout(form, columns)


def _torchtune(item: dict[str, Any]) -> Layout:
    component = (text(item.get("_component_")) or "").rpartition(".")[2]
    given = item.get("column_map") or {}
    columns = {str(name): str(column) for name, column in given.items()} if isinstance(given, dict) else {}
    column = text(item.get("column"))
    if column is not None and component == "text_completion_dataset" and column != "text":
        columns["text"] = column
    return Layout(_TORCHTUNE.get(component), columns)


def _llamafactory(reading: Reading, raw: Raw) -> list[Layout]:
    """`formatting` and `columns` of each name's entry in dataset_info.json (0.9.5 data/parser.py)."""
    folder = beside(raw.text("dataset_dir") or "data", reading.document.path, os.path.isdir)
    if folder is None:
        return []
    from loraplan.datasets.llamafactory import entries

    known = entries(os.path.join(folder, "dataset_info.json")) or {}
    return [_entry(known.get(name.strip())) for name in reading.plan.data.datasets or ()]


def _entry(entry: Any) -> Layout:
    if not isinstance(entry, dict):
        return Layout()
    given = entry.get("columns") or {}
    if not isinstance(given, dict):
        return Layout()
    if entry.get("formatting", "alpaca") == "sharegpt":
        column = text(given.get("messages"))
        return Layout("messages", {"messages": column} if column not in (None, "messages") and column else {})
    if entry.get("ranking"):
        return Layout("preference", {name: given[name] for name in ("chosen", "rejected") if text(given.get(name))})
    columns = {name: str(given[key]) for key, name in _LLAMAFACTORY.items() if text(given.get(key)) not in (None, name)}
    if "response" in given and "prompt" in given and given.get("prompt") == "text":
        return Layout("text", {"text": str(given["prompt"])})
    return Layout("alpaca", columns)
