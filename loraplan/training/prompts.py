"""The prompts that a run is sampled on before and after: the first ones of its own data."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from loraplan_trainer.data.forms import Broken, Chat, ChatPair, Example, Pair, Preference, Reader, detect
from loraplan_trainer.data.rows import rows
from loraplan_trainer.failure import CannotRun
from loraplan_trainer.manifest import DataSource

COUNT = 2
_LONGEST = 2000
"""Characters; a longer prompt takes long on a CPU and says no more."""
_LOOKED_AT = 50
_LARGE_BYTES = 1 << 28
"""A JSON list is read as a whole; prompts are not worth that of a larger one."""


def first_prompts(data: tuple[DataSource, ...], count: int = COUNT) -> tuple[str, ...]:
    """The first prompts of the held-out data, or of the training data where none are held out; of local files only."""
    held_out = [source for source in data if source.role == "eval"]
    found: list[str] = []
    for source in held_out or data:
        if source.kind != "file" or source.source.endswith(".parquet") or _is_large(source.source):
            continue
        found += _of(source, count - len(found))
        if len(found) >= count:
            break
    return tuple(found)


def _is_large(path: str) -> bool:
    return path.endswith(".json") and os.path.exists(path) and os.path.getsize(path) > _LARGE_BYTES


def _of(source: DataSource, count: int) -> list[str]:
    found: list[str] = []
    try:
        for number, row in enumerate(rows(source)):
            if len(found) >= count or number >= _LOOKED_AT:
                break
            if row.value is None:
                continue
            form = source.form or detect(row.value)
            if form is None:
                return found
            try:
                prompt = (
                    _instruction(row.value)
                    if form == "alpaca"
                    else _prompt(Reader(source, form, conversational=False).read(row.value))
                )
            except Broken:
                continue
            if prompt and len(prompt) <= _LONGEST and prompt not in found:
                found.append(prompt)
    except CannotRun:  # said, with its place, when the run reads the data
        return found
    return found


def _prompt(example: Example) -> str | None:
    match example:
        case Pair(prompt=prompt) | Preference(prompt=str() as prompt):
            return prompt
        case Chat(messages=messages) | ChatPair(prompt=messages) | Preference(prompt=list() as messages):
            return next((str(item["content"]) for item in messages if item["role"] == "user"), None)
    return None


def _instruction(row: Mapping[str, Any]) -> str:
    """Of an Alpaca row without its wording, which the trainer puts around it."""
    return "\n".join(str(row[name]) for name in ("instruction", "input") if row.get(name))
