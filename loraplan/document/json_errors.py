"""JSON errors in plain words: what is wrong, where, and what to do; loaded only when a file is broken."""

from __future__ import annotations

import re
from json import JSONDecodeError

_PYTHON_WORDS = {"True": "true", "False": "false", "None": "null"}


def explain(error: JSONDecodeError, body: str) -> tuple[str, str, int]:
    """Message, remedy and offset into `body` for an error of the standard library's decoder."""
    problem, offset = error.msg, min(error.pos, len(body))
    before = body[:offset].rstrip()
    rest = body[offset:].lstrip()
    if problem == "Extra data":
        if rest[:1] in ("{", "["):
            return "several JSON values in one file, as in a data file", "name the training config", offset
        return "text after the end of the JSON value", "remove it", offset
    if "trailing comma" in problem or (rest[:1] in ("}", "]") and before.endswith(",")):
        at = offset if body[offset : offset + 1] == "," else len(before) - 1
        return "a trailing comma, which JSON loaders refuse", "remove the comma", at
    if problem.startswith(("Unterminated string", "Invalid control character")):
        start = offset if problem.startswith("Unterminated") else body.rfind('"', 0, offset)
        if problem.startswith("Unterminated") or body[offset : offset + 1] in ("\n", "\r"):
            return "a string that is never closed on its line", "close the quote", max(start, 0)
        return "a control character in a string", "write it as an escape such as \\t", offset
    if problem.startswith("Invalid \\"):
        return "an unknown escape after '\\' in a string", "double the backslash", offset
    if not rest:
        return "the text ends before the JSON value does", "close every bracket and quote", len(before)
    if rest[0] == "'":
        return "single quotes", "use double quotes", offset
    if word := re.match(r"True|False|None", rest):
        return f"{word[0]} is Python, not JSON", f"write {_PYTHON_WORDS[word[0]]}", offset
    if "property name" in problem:
        return "a key without double quotes", 'write "key": value', offset
    if "':'" in problem:
        return "a ':' is missing after the key", 'write "key": value', offset
    if "','" in problem:
        return "a ',' or a closing bracket is missing before this", "add it", offset
    return "no JSON value stands here", "write a string, number, true, false, null, list or object", offset
