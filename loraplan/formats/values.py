"""Typing of raw scalars as each framework's loader types them; raw text never reaches a rule."""

from __future__ import annotations

import re
from typing import Any, Literal

from loraplan.document import Mapping, Node, Scalar, Sequence

Loader = Literal["yaml-1.1", "yaml-1.2", "literal"]
"""`yaml-1.1`: PyYAML's SafeLoader; `yaml-1.2`: OmegaConf, ruamel (`2e-4` is a float); `literal`: the syntax types it
itself (JSON, TOML, Python; shell words, which argparse converts)."""

# The 1.1 forms are those of PyYAML 6.0.3 yaml/resolver.py: `1e5`, `-.5` and `0o17` are strings there, `1:30` is 90.
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9_]*)\Z")
_INT_OTHER = re.compile(r"[-+]?(?:0b[01_]+|0[0-7_]+|0x[0-9a-fA-F_]+)\Z")
_INT_OCTAL_12 = re.compile(r"[-+]?0o[0-7_]+\Z")
_BASE_60 = re.compile(r"[-+]?(?:[1-9][0-9_]*(?::[0-5]?[0-9])+|[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*)\Z")
_FLOAT_11 = re.compile(r"(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?)\Z")
_FLOAT_12 = re.compile(r"[-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_SPECIAL = {sign + word: sign + "inf" for sign in ("", "+", "-") for word in (".inf", ".Inf", ".INF")} | dict.fromkeys(
    (".nan", ".NaN", ".NAN"), "nan"
)
_TRUE_11 = frozenset("yes Yes YES true True TRUE on On ON".split())
_FALSE_11 = frozenset("no No NO false False FALSE off Off OFF".split())
_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_MAX_DIGITS = 400


class Unresolved(str):
    """A value known only at run time: an expression, `${...}`, `{{ ... }}`. Its text, so that messages can show it."""


def scalar_value(scalar: Scalar, loader: Loader) -> Any:
    """None, bool, int, float, str, or Unresolved, as `loader` would give it."""
    text = scalar.text
    if scalar.style == "expression":
        return Unresolved(text)
    if ("${" in text or "{{" in text) and scalar.style != "block":
        return Unresolved(text)
    tag = scalar.tag
    if tag is not None:
        kind = tag.rpartition(":")[2].lstrip("!")
        if kind == "str":
            return text
        if kind == "null":
            return None
        if kind == "bool":
            return text.lower() in ("true", "yes", "on")
        if kind == "int":
            number = _number(text, "yaml-1.2")
            return text if number is None else number
        if kind == "float":
            return _tagged_float(text)
        if loader != "literal":
            return Unresolved(text) if kind != "timestamp" else text
    if scalar.style != "plain" or loader == "literal":
        return text
    if text in _NULL:
        return None
    if text in _TRUE_11:
        return True if loader == "yaml-1.1" or text.lower() == "true" else text
    if text in _FALSE_11:
        return False if loader == "yaml-1.1" or text.lower() == "false" else text
    number = _number(text, loader)
    return text if number is None else number


def _number(text: str, loader: Loader) -> int | float | None:
    if len(text) > _MAX_DIGITS:
        return None
    if _INT.match(text):
        return int(text.replace("_", ""))
    if _INT_OTHER.match(text) or (loader != "yaml-1.1" and _INT_OCTAL_12.match(text)):
        return _other_base(text)
    if (_FLOAT_11 if loader == "yaml-1.1" else _FLOAT_12).match(text):
        try:
            return float(text.replace("_", ""))
        except ValueError:
            return None
    if loader == "yaml-1.1" and ":" in text and _BASE_60.match(text):
        return _base_60(text)
    if (special := _SPECIAL.get(text)) is not None:
        return float(special)
    return None


def _tagged_float(text: str) -> float | str:
    """A float by its tag, whose form is then free: JSON's `NaN`, TOML's `inf`, YAML's `!!float 2`."""
    number = _number(text, "yaml-1.2")
    try:
        return float(text if number is None else number)
    except (ValueError, OverflowError):
        return text


def _base_60(text: str) -> int | float:
    """YAML 1.1's sexagesimal numbers, summed as PyYAML 6.0.3 yaml/constructor.py does."""
    digits = text.replace("_", "")
    sign = -1 if digits.startswith("-") else 1
    kind = float if "." in digits else int
    total, weight = kind(0), 1
    for part in reversed(digits.lstrip("+-").split(":")):
        total += kind(part) * weight
        weight *= 60
    return sign * total


def _other_base(text: str) -> int | None:
    digits = text.replace("_", "").lower()
    sign = -1 if digits.startswith("-") else 1
    digits = digits.lstrip("+-")
    if digits.isdigit() and len(digits) > 1:
        digits = "0o" + digits[1:]
    try:
        return sign * int(digits, 0)
    except ValueError:
        return None


def to_float(value: Any) -> float | None:
    """As `float(value)` where a framework coerces: numbers and numeric strings, not booleans."""
    if isinstance(value, bool) or value is None or isinstance(value, Unresolved):
        return None
    if isinstance(value, int) and abs(value) > 10**300:
        return None
    if isinstance(value, int | float):
        return value
    if isinstance(value, str) and len(value) <= _MAX_DIGITS:
        try:
            number = float(value.strip())
        except ValueError:
            return None
        return int(number) if number.is_integer() and "." not in value and "e" not in value.lower() else number
    return None


def to_bool(value: Any) -> bool | None:
    """As argparse's and pydantic's lenient booleans."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float) and value in (0, 1):
        return bool(value)
    if isinstance(value, str) and not isinstance(value, Unresolved):
        lowered = value.strip().lower()
        if lowered in ("true", "yes", "on", "1", "t", "y"):
            return True
        if lowered in ("false", "no", "off", "0", "f", "n"):
            return False
    return None


def plain(node: Node, loader: Loader, depth: int = 64) -> Any:
    """A node as plain Python values; below `depth` levels None, so that hostile nesting stays cheap."""
    if isinstance(node, Scalar):
        return scalar_value(node, loader)
    if depth <= 0:
        return None
    if isinstance(node, Sequence):
        return [plain(item, loader, depth - 1) for item in node.items]
    assert isinstance(node, Mapping)
    return {entry.key.text: plain(entry.value, loader, depth - 1) for entry in node.entries}
