"""Suppression comments: finding them, applying them, and reporting those that are unused or malformed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Literal, NamedTuple

from loraplan.document import Document, Span
from loraplan.result import Diagnostic

CODES: dict[str, str] = {
    "SUP001": "unused_suppression",
    "SUP002": "malformed_suppression",
}

_MARK = "loraplan:"
# Compiled on first use: most files have no such comment.
_MEANT = r"^\W*loraplan:|loraplan:\s*ignore"
_FORM = r"loraplan:\s*(ignore-file|ignore)\s*\[([^\]]*)\]"


class Suppression(NamedTuple):
    """One code of one comment. `line` is the line it silences, 0 for the whole file; `span` is the code's text."""

    code: str
    line: int
    span: Span


class Malformed(NamedTuple):
    """A comment that was meant as a suppression and is none."""

    span: Span
    message: str
    remedy: str


def comments(document: Document) -> Iterator[tuple[Span, str]]:
    """The comments that speak to LoRAPlan; the parser is asked only where the text has the word at all."""
    if _MARK not in document.text:
        return
    from loraplan.document.comments import comment_lines

    for span, text in comment_lines(document):
        if re.search(_MEANT, text):
            yield span, text


def parse(document: Document) -> tuple[list[Suppression], list[Malformed]]:
    """Every suppression of a document, and what was meant as one."""
    found: list[Suppression] = []
    malformed: list[Malformed] = []
    pending: list[tuple[int, list[tuple[str, Span]]]] = []
    for span, text in comments(document):
        line, column = document.position(span.start)
        alone = not document.line(line)[: column - 1].strip()
        matches = list(re.finditer(_FORM, text))
        if len(matches) < len(re.findall(_MEANT, text)):
            malformed.append(_malformed(span, text, "no `ignore[CODE]` follows `loraplan:`"))
        for match in matches:
            codes = [
                (item.strip(), Span(span.start + start, span.start + start + len(item.strip())))
                for item, start in _items(match[2], match.start(2))
                if item.strip()
            ]
            if not codes:
                malformed.append(_malformed(span, text, "the brackets name no code"))
            elif match[1] == "ignore-file":
                found.extend(Suppression(code, 0, where) for code, where in codes)
            elif alone:
                pending.append((line, codes))
            else:
                found.extend(Suppression(code, line, where) for code, where in codes)
    for line, codes in pending:
        target = _next_line(document, line)
        found.extend(Suppression(code, target, where) for code, where in codes)
    return found, malformed


def apply(
    document: Document,
    diagnostics: Iterable[Diagnostic],
    *,
    find: Callable[[str], str],
    ran: Callable[[str], bool],
) -> tuple[list[Diagnostic], int, list[tuple[Literal["SUP001", "SUP002"], Span, str, str]]]:
    """The findings left, how many were silenced, and what to report about the comments themselves.

    `find` gives a rule's code from its code or name and raises for others; `ran` says whether a rule judged this file.
    """
    suppressions, malformed = parse(document)
    reports: list[tuple[Literal["SUP001", "SUP002"], Span, str, str]] = [
        ("SUP002", item.span, item.message, item.remedy) for item in malformed
    ]
    silencing: dict[tuple[str, int], list[Suppression]] = {}
    for item in suppressions:
        try:
            silencing.setdefault((find(item.code), item.line), []).append(item)
        except LookupError as error:
            reports.append(("SUP002", item.span, str(error), "write a code that `loraplan rules` lists"))
    used: set[tuple[str, int]] = set()
    left: list[Diagnostic] = []
    silenced = 0
    for diagnostic in diagnostics:
        keys = {(diagnostic.code, diagnostic.line), (diagnostic.code, 0)} & silencing.keys()
        used |= keys
        if keys:
            silenced += 1
        else:
            left.append(diagnostic)
    for key, items in silencing.items():
        for item in items if key not in used else items[1:]:
            again = key in used
            if again or ran(key[0]):
                message = f"`{item.code}` is named twice" if again else f"no {key[0]} finding to silence here"
                reports.append(("SUP001", item.span, message, "remove it from the comment"))
    return left, silenced, reports


def _malformed(span: Span, text: str, message: str) -> Malformed:
    match = re.search(_MEANT, text)
    start = span.start + text.index(_MARK, match.start() if match else 0)
    return Malformed(Span(start, span.start + len(text.rstrip())), message, "write `loraplan: ignore[CODE]`")


def _items(text: str, start: int) -> Iterator[tuple[str, int]]:
    """The comma-separated parts with the offset of each one's first character that is no blank."""
    for part in text.split(","):
        yield part, start + len(part) - len(part.lstrip())
        start += len(part) + 1


def _next_line(document: Document, line: int) -> int:
    """The next line that is neither blank nor a comment."""
    last = document.position(len(document.text)).line
    for number in range(line + 1, last + 1):
        stripped = document.line(number).strip()
        if stripped and not stripped.startswith(("#", "//")):
            return number
    return line
