"""The source line under a finding, with a caret line under the value; tabs, wide characters and long lines included."""

from __future__ import annotations

import unicodedata

_TAB = "    "
_ELLIPSIS = "..."


def snippet(source: str, column: int, length: int, width: int) -> tuple[str, str]:
    """The line and its caret line, at most `width` cells wide, the marked part kept in sight.

    `column` is 1-based in characters, `length` in characters of this line.
    """
    start = min(max(column - 1, 0), len(source))
    end = min(max(start + max(length, 1), start + 1), max(len(source), start + 1))
    line = source
    width = max(width, 20)
    if _cells(line) > width:
        line, start, end = _window(line, start, end, width)
    shown = "".join(_shown(character) for character in line)
    before = sum(_cells(character) for character in line[:start])
    marked = max(sum(_cells(character) for character in line[start:end]), 1)
    return shown.rstrip(), " " * before + "^" * min(marked, max(width - before, 1))


def _window(line: str, start: int, end: int, width: int) -> tuple[str, int, int]:
    """The part of a long line around what is marked, with an ellipsis for what is left out."""
    room = width - 2 * len(_ELLIPSIS)
    first = start
    while first > 0 and _cells(line[first - 1 : min(end, start + room)]) < room * 2 // 3:
        first -= 1
    left = "" if first == 0 else _ELLIPSIS
    last = first
    cells = 0
    while last < len(line) and cells + _cells(line[last]) <= room:
        cells += _cells(line[last])
        last += 1
    right = _ELLIPSIS if last < len(line) else ""
    shift = len(left) - first
    return left + line[first:last] + right, start + shift, min(end, last) + shift


def _shown(character: str) -> str:
    if character == "\t":
        return _TAB
    # Control and format characters (escape sequences, bidirectional overrides) must not reach a terminal.
    return character if character.isprintable() else "?"


def _cells(text: str) -> int:
    return sum(
        4
        if character == "\t"
        else 0
        if unicodedata.combining(character)
        else 2
        if unicodedata.east_asian_width(character) in "WF"
        else 1
        for character in text
    )
