"""Expansion of shell words as bash does it: quotes, variables with defaults, arrays, splitting at blanks.

Every character keeps its offset in the file, so that a value that came through a variable points at its literal. What
only running the script could tell (`$1`, `$(...)`) makes the word an expression, as written; a word that is
arithmetic with known variables is its result.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from loraplan.document import Span, Style
from loraplan.document.shell_arithmetic import evaluate

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BRACES = re.compile(r"(?<!\$)\{[^{}\s]*\}")
_ANSI = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "'": "'", '"': '"'}
_MARK = "\ue000"
"""Stands in a variable's value before what is not known, so that the words around it stay known."""
_MAX_FIELDS = 10_000
_MAX_LENGTH = 200_000


class Field(NamedTuple):
    """One word after expansion. `at` has the offset of every character of `text`, and is empty for an expression."""

    text: str
    at: tuple[int, ...]
    span: Span
    style: Style = "plain"
    shared: bool = False
    rest: bool = False
    """Stands for any number of words, none included (`"$@"`, an unknown `$EXTRA_ARGS`)."""
    joined: bool = False
    """The value of `--key=value`."""

    def part(self, start: int, text: str) -> Field:
        """The field from character `start` on, as value of `--key=value`, for a word that was quoted as a whole."""
        if start >= len(self.at):
            return self._replace(text=self.text[start:], at=(), span=Span(self.span.end, self.span.end), joined=True)
        at = self.at[start:]
        if not self.span.start <= at[0] <= at[-1] < self.span.end or (self.shared and at[-1] - at[0] != len(at) - 1):
            return self._replace(text=self.text[start:], at=at, joined=True)
        begin, end = at[0], at[-1] + 1
        if text[begin - 1] == text[end : end + 1] and text[begin - 1] in "'\"" and end < self.span.end:
            begin, end = begin - 1, end + 1
        style: Style = "quoted" if text[begin] in "'\"" else "plain"
        return self._replace(text=self.text[start:], at=at, span=Span(begin, end), style=style, joined=True)


Value = list[Field] | Field | None
"""Of a variable: an array, a string, or None for what only running the script could tell."""
Scope = dict[str, Value]


class _Segment(NamedTuple):
    text: str
    at: tuple[int, ...]
    span: Span | None
    """Of the whole value, quotes included, where the segment is the whole of a variable's value."""
    style: Style = "plain"
    shared: bool = False


def unknown(value: Value) -> bool:
    """Whether a variable's value depends, in whole or in part, on something outside of the script."""
    return value is None or (isinstance(value, Field) and (value.style == "expression" or _MARK in value.text))


def clean(field: Field) -> Field:
    """The field as a command gets it: an expression where a part is unknown."""
    if _MARK not in field.text:
        return field
    return field._replace(text=field.text.replace(_MARK, ""), at=(), style="expression")


class _Unknown(Exception):
    """The word depends on something outside of the script."""


class Expander:
    """Expands words of `text` with the variables of `scope`."""

    def __init__(self, text: str, scope: Scope) -> None:
        self.text = text
        self.scope = scope
        self.allowance = 2_000_000
        """Characters that variables may still come to, so that a long one used often stays cheap."""

    def fields(self, start: int, end: int, *, split: bool = True, depth: int = 0) -> list[Field]:
        """The words that the raw word at [start, end) becomes; with `split` false (an assignment) exactly one."""
        raw = self.text[start:end]
        if raw.startswith(("$((", "$(expr", '"$((', '"$(expr')):
            result = evaluate(raw.strip('"'), self._digits)
            if result is not None and len(result) <= end - start:
                return [Field(result, tuple(range(start, start + len(result))), Span(start, end))]
        try:
            return self._expand(start, end, split, depth)
        except _Unknown:
            bare = raw.strip()
            quoted = len(bare) > 1 and bare[0] == bare[-1] and bare[0] in "'\""
            inner = bare[1:-1] if quoted else bare
            name = inner.lstrip("$").strip("{}")
            several = inner.startswith(("$@", "$*", "${@", "${*")) or "[@]" in inner or "[*]" in inner
            rest = split and (several or (not quoted and inner[:1] == "$" and name.isidentifier()))
            return [Field(inner, (), Span(start, end), "expression", False, rest)]

    def _digits(self, name: str) -> str | None:
        """A variable's text, for arithmetic."""
        value = self.scope.get(name)
        return value.text if isinstance(value, Field) and not unknown(value) else None

    def _expand(self, start: int, end: int, split: bool, depth: int) -> list[Field]:
        done: list[Field] = []
        segments: list[_Segment] = []
        quoted = False
        text, here = self.text, start
        if depth > 8 or (split and _branching(text, start, end)):
            raise _Unknown
        while here < end:
            char = text[here]
            if char == "\\":
                if text[here + 1 : here + 2] not in ("\n", "") and here + 1 < end:
                    segments.append(_Segment(text[here + 1], (here + 1,), None))
                here += 2
            elif char == "'":
                stop = text.find("'", here + 1, end)
                stop = end if stop < 0 else stop
                segments.append(_Segment(text[here + 1 : stop], tuple(range(here + 1, stop)), None))
                quoted, here = True, stop + 1
            elif char == '"':
                quoted = True
                here = self._double(here + 1, end, segments, done, depth, split)
            elif char == "$" and text[here + 1 : here + 2] == "'":
                here = self._ansi(here + 2, end, segments)
                quoted = True
            elif char == "$" and text[here + 1 : here + 2] == '"':
                here += 1
            elif char in "$`":
                value, here = self._dollar(here, end, depth, split)
                if isinstance(value, list):
                    self._splice(value, segments, done)
                elif value is not None:
                    self._split(value, segments, done, split)
            else:
                stop = here + 1
                while stop < end and text[stop] not in "\\'\"`$":
                    stop += 1
                segments.append(_Segment(text[here:stop], tuple(range(here, stop)), None))
                here = stop
            if len(done) > _MAX_FIELDS:
                raise _Unknown
        if segments or (quoted and not done and "[@]" not in text[start:end]):
            done.append(self._join(segments, Span(start, end), quoted))
        elif not split and not done:
            done.append(Field("", (), Span(start, end)))
        return done

    def heredoc(self, start: int, end: int) -> Field:
        """A here-document's text as a variable's value."""
        segments: list[_Segment] = []
        try:
            self._double(start, end, segments, [], 0, False, "")
            return self._join(segments, Span(start, end), False)
        except _Unknown:
            return Field(self.text[start:end], (), Span(start, end), "expression")

    def _double(
        self,
        here: int,
        end: int,
        segments: list[_Segment],
        done: list[Field],
        depth: int,
        split: bool,
        closing: str = '"',
    ) -> int:
        """A double-quoted string from after its opening quote; returns the offset after the closing one."""
        text = self.text
        while here < end and text[here] != closing:
            char = text[here]
            if char == "\\" and here + 1 < end and text[here + 1] in '$`"\\\n':
                if text[here + 1] != "\n":
                    segments.append(_Segment(text[here + 1], (here + 1,), None))
                here += 2
            elif char in "$`":
                value, here = self._dollar(here, end, depth, split)
                if isinstance(value, list):
                    self._splice(value, segments, done)
                elif value is not None:
                    if split and _MARK in value.text:
                        raise _Unknown
                    segments.append(_Segment(value.text, value.at, value.span, value.style, True))
            else:
                stop = here + 1
                while stop < end and text[stop] not in '\\"`$':
                    stop += 1
                segments.append(_Segment(text[here:stop], tuple(range(here, stop)), None))
                here = stop
        return here + 1

    def _ansi(self, here: int, end: int, segments: list[_Segment]) -> int:
        text = self.text
        while here < end and text[here] != "'":
            if text[here] == "\\" and here + 1 < end:
                escaped = _ANSI.get(text[here + 1])
                if escaped is None:
                    raise _Unknown
                segments.append(_Segment(escaped, (here + 1,), None))
                here += 2
            else:
                segments.append(_Segment(text[here], (here,), None))
                here += 1
        return here + 1

    def _dollar(self, here: int, end: int, depth: int, split: bool) -> tuple[Value, int]:
        """The value of the expansion that starts here, and the offset after it.

        Raises _Unknown, except in an assignment, where what is unknown becomes a marked piece.
        """
        try:
            return self._expansion(here, end, depth)
        except _Unknown:
            if split or depth:
                raise
        stop = self._stop(here, end)
        return Field(_MARK + self.text[here:stop], (here, *range(here, stop)), Span(here, stop)), stop

    def _stop(self, here: int, end: int) -> int:
        """Where an expansion ends."""
        text, following = self.text, self.text[here + 1 : here + 2]
        if text[here] == "`":
            stop = text.find("`", here + 1, end)
            return end if stop < 0 else stop + 1
        if following == "{":
            return self._closing(here + 2, end) + 1
        if following == "(":
            level = 0
            for index in range(here + 1, end):
                level += (text[index] == "(") - (text[index] == ")")
                if level == 0:
                    return index + 1
            return end
        name = _NAME.match(text, here + 1, end)
        return name.end() if name else min(here + 2, end)

    def _expansion(self, here: int, end: int, depth: int) -> tuple[Value, int]:
        text = self.text
        if text[here] == "`":
            raise _Unknown
        following = text[here + 1 : here + 2] if here + 1 < end else ""
        if following == "{":
            stop = self._closing(here + 2, end)
            return self._braced(here + 2, stop, depth), stop + 1
        name = _NAME.match(text, here + 1, end)
        if name:
            value = self._lookup(name[0])
            if isinstance(value, list):
                value = value[0] if value else None
            return value, name.end()
        if following in ("(", "@", "*", "#", "?", "$", "!", "-") or following.isdigit():
            raise _Unknown
        return Field("$", (here,), Span(here, here + 1)), here + 1

    def _closing(self, here: int, end: int) -> int:
        depth = 1
        while here < end:
            char = self.text[here]
            if char == "\\":
                here += 1
            elif char == "'" and depth == 1:
                stop = self.text.find("'", here + 1, end)
                here = stop if stop > 0 else here
            elif char == "{":
                depth += 1
            elif char == "}":
                depth -= 1
                if depth == 0:
                    return here
            here += 1
        raise _Unknown

    def _lookup(self, name: str) -> Value:
        value = self.scope.get(name)
        if unknown(value) and not (isinstance(value, Field) and _MARK in value.text and len(value.text.split()) > 1):
            raise _Unknown
        cost = (
            sum(len(item.text) + 20 for item in value) if isinstance(value, list) else len(value.text) if value else 0
        )
        self.allowance -= cost
        if self.allowance < 0:
            raise _Unknown
        return value

    def _braced(self, start: int, stop: int, depth: int) -> Value:
        """What `${...}` means, for the text between the braces."""
        text = self.text
        name = _NAME.match(text, start, stop) or re.compile(r"[0-9]+").match(text, start, stop)
        if name is None:
            raise _Unknown
        after = text[name.end() : stop]
        value = self.scope.get(name[0])
        known = not unknown(value)
        if not after or after[0] == "?" or after[:2] == ":?":
            value = self._lookup(name[0])
            return (value[0] if value else None) if isinstance(value, list) else value
        if after in ("[@]", "[*]"):
            value = self._lookup(name[0])
            return value if isinstance(value, list) else [value] if value is not None else []
        if after[0] == "[" and after[-1] == "]" and after[1:-1].isdecimal():
            value = self._lookup(name[0])
            items = value if isinstance(value, list) else [value] if value is not None else []
            index = int(after[1:-1]) if len(after) < 8 else len(items)
            return items[index] if index < len(items) else None
        operator = after[:2] if after[0] == ":" else after[:1]
        if operator not in (":-", "-", ":=", "="):
            raise _Unknown
        first = value[0] if isinstance(value, list) and value else value
        if known and isinstance(first, Field) and (first.text or operator[0] != ":"):
            return first
        if value is not None and not known:
            raise _Unknown
        found = self.fields(name.end() + len(operator), stop, split=False, depth=depth + 1)
        if unknown(found[0]):
            raise _Unknown
        return found[0]

    def _splice(self, items: list[Field], segments: list[_Segment], done: list[Field]) -> None:
        """An array that is a word of its own."""
        if segments:
            raise _Unknown
        done.extend(item._replace(shared=True) for item in items)

    def _split(self, value: Field, segments: list[_Segment], done: list[Field], split: bool) -> None:
        if not split or not any(char in " \t\n" for char in value.text):
            if value.text or not split:
                segments.append(_Segment(value.text, value.at, value.span, value.style, True))
            return
        position, pieces = 0, list(_pieces(value.text))
        for start, stop in pieces:
            if start > position and segments:
                done.append(self._join(segments, value.span, False))
                segments.clear()
            at = value.at[start:stop]
            # a value put together from several places has its pieces in any order
            span = Span(at[0], at[-1] + 1) if at[0] <= at[-1] else value.span
            segments.append(_Segment(value.text[start:stop], at, span, "plain", True))
            position = stop
        if position < len(value.text) and segments:
            done.append(self._join(segments, value.span, False))
            segments.clear()

    def _join(self, segments: list[_Segment], word: Span, quoted: bool) -> Field:
        shared = any(segment.shared for segment in segments)
        filled = [segment for segment in segments if segment.text] or segments[:1]
        text = "".join(segment.text for segment in filled)
        if len(text) > _MAX_LENGTH:
            raise _Unknown
        at = tuple(offset for segment in filled for offset in segment.at)
        if len(filled) == 1 and filled[0].span is not None:
            return Field(text, at, filled[0].span, filled[0].style, True)
        return Field(text, at, word, "quoted" if quoted else "plain", shared)


def _branching(text: str, start: int, end: int) -> bool:
    """Whether an unquoted word has a brace expansion, `{a,b}` or `{1..3}`."""
    if text[start] in "'\"":
        return False
    return any("," in match[0] or ".." in match[0] for match in _BRACES.finditer(text, start, end))


def _pieces(text: str) -> Iterator[tuple[int, int]]:
    for match in re.finditer(r"[^ \t\n]+", text):
        yield match.span()
