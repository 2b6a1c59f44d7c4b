"""Nodes as the types that the tables name: numbers, booleans, names, lists of names, patterns, arguments."""

from __future__ import annotations

import json
import math
from typing import Any, Literal

from loraplan.document import Node, Scalar
from loraplan.formats.values import Loader, Unresolved, plain, to_bool, to_float

Problem = Literal["string-number", "wrong-type", "unresolved"]
EXPECTED = {"int": "a number", "float": "a number", "bool": "true or false"}
_DTYPES = {
    "bf16": "bfloat16", "bfloat16": "bfloat16",
    "fp16": "float16", "float16": "float16", "half": "float16",
    "fp32": "float32", "float32": "float32", "float": "float32",
}  # fmt: skip
_LARGEST = 2**63


def typed(node: Node, kind: str, loader: Loader) -> tuple[Any, Problem | None]:
    """A node's value as `kind`, None where absent or unusable, and what is wrong with it.

    `string-number`: a number that the loader gives as text; its value is returned all the same.
    """
    if kind == "text":  # a template: its braces are no placeholders of the config
        return (node.text if isinstance(node, Scalar) and plain(node, loader) is not None else None), None
    value = plain(node, loader)
    if value is None or value == "":
        return None, None
    if isinstance(value, Unresolved):
        return None, "unresolved"
    match kind:
        case "int" | "float":
            return _number(value, kind)
        case "bool":
            flag = to_bool(value)
            return flag, None if flag is not None else "wrong-type"
        case "present":
            return bool(value), None
        case "str" | "lower":
            return _text(value, lower=kind == "lower"), None
        case "dtype":
            return dtype(value), None
        case "strs":
            return _strings(value), None
        case "targets":
            return (value if isinstance(value, str) else _strings(value)), None
        case "ints":
            return _integers(value), None
        case "floats":
            return _numbers(value), None
        case "numbers":
            return _pattern(value), None
        case "pairs":
            return _pairs(value), None
        case "arguments":
            return _arguments(value, loader)
    raise ValueError(f"unknown type {kind!r} in a table")


def _number(value: Any, kind: str) -> tuple[Any, Problem | None]:
    number = None if isinstance(value, bool) else to_float(value)
    if number is None:
        return None, None if isinstance(value, list | dict) else "wrong-type"
    problem: Problem | None = "string-number" if isinstance(value, str) else None
    if kind == "int":
        if not math.isfinite(number):
            return None, "wrong-type"
        if isinstance(number, float) and number.is_integer() and abs(number) < _LARGEST:
            return int(number), problem
    return number, problem


def _text(value: Any, *, lower: bool) -> str | None:
    if isinstance(value, list | dict):
        return None
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text.lower() if lower else text


def dtype(value: Any) -> str | None:
    """A dtype's one name: `bf16` and `torch.bfloat16` are `bfloat16`; other names are kept."""
    if not isinstance(value, str) or isinstance(value, Unresolved) or not value:
        return None
    name = value.strip().lower().removeprefix("torch.")
    return _DTYPES.get(name, name)


def _strings(value: Any) -> tuple[str, ...] | None:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    if isinstance(value, list):
        return tuple(str(item) for item in value if isinstance(item, str | int | float))
    return None


def _integers(value: Any) -> tuple[int, ...] | None:
    numbers = [to_float(item) for item in (value if isinstance(value, list) else [value])]
    return tuple(int(item) for item in numbers if item is not None and abs(item) < _LARGEST) or None


def _pattern(value: Any) -> dict[str, float] | None:
    """Name -> number."""
    if not isinstance(value, dict):
        return None
    pairs = {str(name): to_float(number) for name, number in value.items()}
    return {name: number for name, number in pairs.items() if number is not None} or None


def _numbers(value: Any) -> tuple[float, ...] | None:
    if isinstance(value, str):
        value = value.split(",")
    numbers = [to_float(item) for item in (value if isinstance(value, list) else [value])]
    return tuple(float(item) for item in numbers if item is not None) or None


def _pairs(value: Any) -> str | None:
    """`a=1,b=2`, which a mapping may stand for."""
    if isinstance(value, dict):
        return ",".join(f"{name}={item}" for name, item in value.items()) or None
    return _text(value, lower=False)


def _arguments(value: Any, loader: Loader) -> tuple[dict[str, float | str] | None, Problem | None]:
    """Name -> number or word, from a mapping or from JSON; None where there is anything else in it."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None, None
    found: dict[str, float | str] = {}
    for name, item in value.items() if isinstance(value, dict) else ():
        if isinstance(item, Unresolved):
            return None, "unresolved"
        if item is None:
            continue
        number = to_float(item) if loader == "yaml-1.1" or not isinstance(item, str) else None  # 1e-6 is text there
        if number is None and not isinstance(item, str):
            return None, None
        found[str(name)] = item if number is None else float(number)
    return found or None, None
