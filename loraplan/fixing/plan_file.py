"""A Plan as LoRAPlan's own config, `loraplan.yaml` or JSON; written so that reading it gives the same Plan."""

from __future__ import annotations

import json
from typing import Any

from loraplan.document import Document
from loraplan.fixing.spelling import spellings
from loraplan.fixing.verify import same
from loraplan.formats import loraplan_yaml
from loraplan.formats.values import Unresolved
from loraplan.plan import Plan, get, ordered_names


class CannotWritePlanError(Exception):
    """A Plan with a value that a config cannot hold; the message names it."""


def text_of(plan: Plan, path: str) -> str:
    """The config; JSON where the path ends so."""
    values = {name: value for name in ordered_names() if _known(value := get(plan, name))}
    written = _json(values) if path.lower().endswith(".json") else _yaml(values)
    document = _parsed(written, path)
    read = next(iter(loraplan_yaml.read(document.roots[0], document, "loraplan", {})))
    for name, value in values.items():
        if not same(get(read.plan, name), value):
            raise CannotWritePlanError(f"{name} cannot be written as {value!r}")
    return written


def _known(value: Any) -> bool:
    """Whether a value says something; what is known only at run time does not."""
    if isinstance(value, tuple):
        return all(map(_known, value))
    if isinstance(value, dict):
        return all(map(_known, value.values()))
    if isinstance(value, str):  # a template would be read as one, so it is left out
        return not isinstance(value, Unresolved) and "${" not in value and "{{" not in value
    return value is not None


def _parsed(text: str, path: str) -> Document:
    from loraplan.document.read import read

    return read(path, text, "json" if path.lower().endswith(".json") else "yaml")


def _nested(values: dict[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {"loraplan": loraplan_yaml.VERSION}
    for name, value in values.items():
        section, _, leaf = name.rpartition(".")
        if section:
            nested.setdefault(section, {})[leaf] = _whole(value)
        else:
            nested[leaf] = _whole(value)
    return nested


def _whole(value: Any) -> Any:
    """Whole floats as integers, as people write a rank."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) >= 1 else value


def _json(values: dict[str, Any]) -> str:
    try:
        return json.dumps(_nested(values), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    except ValueError as error:
        raise CannotWritePlanError("JSON has no infinite numbers") from error


def _yaml(values: dict[str, Any]) -> str:
    lines: list[str] = []
    for key, value in _nested(values).items():
        if isinstance(value, dict):
            lines.append(f"{key}:")
            lines += [f"  {leaf}: {_spelt(f'{key}.{leaf}', item)}" for leaf, item in value.items()]
        else:
            lines.append(f"{key}: {_spelt(key, value)}")
    return "\n".join(lines) + "\n"


def _spelt(name: str, value: Any) -> str:
    for written in spellings(value, "yaml"):
        return written
    raise CannotWritePlanError(f"{name} cannot be written as {value!r}")
