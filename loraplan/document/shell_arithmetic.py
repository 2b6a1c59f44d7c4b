"""Whole-number arithmetic of shell scripts: `$((A / B))` and `$(expr A / $B)`, with variables that are known."""

from __future__ import annotations

import re
from collections.abc import Callable

_WHOLE = re.compile(r"\$\(\((?P<double>[^()]*(?:\([^()]*\)[^()]*)*)\)\)|\$\(\s*expr\s+(?P<expr>[^()`|;&<>]+)\)")
_TOKEN = re.compile(r"\s*(?:(\d{1,12})|\$?\{?([A-Za-z_][A-Za-z0-9_]*)\}?|\\?([-+*/%()]))")
_MAX_TOKENS = 40
_LIMIT = 10**12


def evaluate(word: str, variable: Callable[[str], str | None]) -> str | None:
    """The number a word comes to that is one arithmetic expansion and nothing else; None where that is not known.

    `variable` gives the text of a variable, or None.
    """
    match = _WHOLE.fullmatch(word) if word.startswith("$(") else None
    if match is None:
        return None
    text = (match["double"] or match["expr"] or "").strip()
    tokens: list[int | str] = []
    here = 0
    while here < len(text):
        token = _TOKEN.match(text, here)
        if token is None or len(tokens) >= _MAX_TOKENS:
            return None
        number, name, sign = token.groups()
        if name is not None:
            number = variable(name)
            if number is None or not (number.isascii() and number.isdigit()) or len(number) > 12:
                return None
        if number is not None and number != "0" and number[0] == "0":
            return None  # octal to bash
        tokens.append(int(number) if number is not None else sign)
        here = token.end()
    try:
        value, rest = _sum(tokens, 0)
    except (ValueError, IndexError):
        return None
    return str(value) if rest == len(tokens) and 0 <= value < _LIMIT else None


def _sum(tokens: list[int | str], here: int) -> tuple[int, int]:
    value, here = _product(tokens, here)
    while here < len(tokens) and tokens[here] in ("+", "-"):
        other, after = _product(tokens, here + 1)
        value, here = (value + other if tokens[here] == "+" else value - other), after
    return value, here


def _product(tokens: list[int | str], here: int) -> tuple[int, int]:
    value, here = _atom(tokens, here)
    while here < len(tokens) and tokens[here] in ("*", "/", "%"):
        sign = tokens[here]
        other, here = _atom(tokens, here + 1)
        if abs(value) > _LIMIT or (sign != "*" and (other <= 0 or value < 0)):
            raise ValueError
        value = value * other if sign == "*" else value // other if sign == "/" else value % other
    return value, here


def _atom(tokens: list[int | str], here: int) -> tuple[int, int]:
    first = tokens[here]
    if isinstance(first, int):
        return first, here + 1
    if first != "(":
        raise ValueError
    value, here = _sum(tokens, here + 1)
    if tokens[here] != ")":
        raise ValueError
    return value, here + 1
