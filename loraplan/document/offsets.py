"""Text and its UTF-8 form: byte offsets as character offsets, and what UTF-8 cannot hold."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable

from loraplan.document import Document, DocumentError, Syntax


def encode(text: str, path: str, syntax: Syntax) -> bytes:
    """The text as UTF-8; a lone surrogate, which no file can hold, is a DocumentError."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise DocumentError(
            path,
            "a character that Unicode does not allow (a lone surrogate)",
            "remove the character",
            Document(path, syntax, text, ()).position(error.start),
        ) from None


def character_offsets(text: str, data: bytes) -> Callable[[int], int]:
    """A function from byte offsets into `data` to character offsets into `text`, whose UTF-8 form it is."""
    if len(text) == len(data):
        return int
    ends, extra, surplus = [0], [0], 0
    for index, character in enumerate(text):
        if character > "\x7f":
            size = 2 if character < "\u0800" else 3 if character < "\U00010000" else 4
            surplus += size - 1
            ends.append(index + 1 + surplus)
            extra.append(surplus)
    return lambda offset: offset - extra[bisect_right(ends, offset) - 1]


def printable(text: str) -> str:
    """The text with pairs of surrogates joined and lone ones, which no output can hold, replaced by U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
