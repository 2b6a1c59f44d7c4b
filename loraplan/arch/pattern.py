"""Regular expressions from a config, matched against module names without the risk of running for hours.

Python's matcher backtracks: `(a+)+b` or ten `.*` in a row can take longer than the age of the universe on one name.
Patterns that could are run as a set of positions instead, whose work is bounded by pattern length times name length
squared; what that cannot express is refused.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable
from typing import Any

MAX_PATTERN = 4000
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")


class BadPattern(ValueError):
    """A regular expression that is invalid, or that cannot be run in bounded time."""


class Pattern:
    """A regular expression for whole module names. `digits` tells whether it treats some digits unlike others."""

    __slots__ = ("_match", "digits", "source")

    def __init__(self, source: str) -> None:
        if len(source) > MAX_PATTERN:
            raise BadPattern(f"the pattern is longer than {MAX_PATTERN} characters")
        self.source = source
        plain = source.replace("0-9", "")
        self.digits = any(c.isdigit() for c in plain) and any(c.isdigit() for c in re.sub(r"\{\d*,?\d*\}", "", plain))
        try:
            with warnings.catch_warnings():  # `[[` compiles, with a warning about syntax to come
                warnings.simplefilter("ignore")
                compiled = re.compile(source)
        except (re.error, RecursionError, OverflowError) as error:
            raise BadPattern(str(error) or "too deeply nested") from None
        self._match: Callable[[str], object] = compiled.fullmatch
        if _could_explode(source):
            self._match = _bounded(source)

    def fullmatch(self, name: str) -> bool:
        return bool(self._match(name))


def is_plain(source: str) -> bool:
    """Whether a pattern is a bare module name, in which only the dot could mean something else."""
    return _PLAIN.issuperset(source)


def _could_explode(source: str) -> bool:
    """Whether a quantifier applies to a group, or more than three are unbounded: over about 1e5 steps a name."""
    unbounded = source.count("*") + source.count("+") + source.count(",}")
    return unbounded > 3 or any(pair in source for pair in (")*", ")+", "){"))


def _bounded(source: str) -> Callable[[str], bool]:
    """A matcher over sets of positions, from Python's own parse of the pattern."""
    from re import _parser  # type: ignore[attr-defined]

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = list(_parser.parse(source))
        _steps(tree, frozenset((0,)), "a")
    except RecursionError:
        raise BadPattern("too deeply nested") from None

    def match(name: str) -> bool:
        return len(name) in _steps(tree, frozenset((0,)), name)

    return match


def _steps(tree: Iterable[Any], starts: frozenset[int], text: str) -> frozenset[int]:
    """Where a sequence of parse nodes can end, begun at any of `starts`."""
    for operation, argument in tree:
        if not starts:
            break
        starts = _step(str(operation), argument, starts, text)
    return starts


def _step(operation: str, argument: Any, starts: frozenset[int], text: str) -> frozenset[int]:
    if operation in ("LITERAL", "NOT_LITERAL", "ANY", "IN"):
        return frozenset(at + 1 for at in starts if at < len(text) and _accepts(operation, argument, text[at]))
    if operation == "SUBPATTERN":
        if argument[1] or argument[2]:
            raise BadPattern("inline flags cannot be combined with this many repetitions")
        return _steps(argument[3], starts, text)
    if operation == "BRANCH":
        return frozenset().union(*(_steps(branch, starts, text) for branch in argument[1]))
    if operation in ("MAX_REPEAT", "MIN_REPEAT"):
        least, most, body = argument
        return _repeat(int(least), int(most), body, starts, text)
    if operation in ("ASSERT", "ASSERT_NOT"):
        direction, body = argument
        if direction < 0:
            raise BadPattern("a look-behind cannot be combined with this many repetitions")
        wanted = operation == "ASSERT"
        return frozenset(at for at in starts if bool(_steps(body, frozenset((at,)), text)) is wanted)
    if operation == "AT":
        place = str(argument)
        if place in ("AT_BEGINNING", "AT_BEGINNING_STRING"):
            return starts & {0}
        if place in ("AT_END", "AT_END_STRING"):
            return starts & {len(text)}
        inside = place == "AT_BOUNDARY"
        return frozenset(at for at in starts if _at_boundary(text, at) is inside)
    raise BadPattern(f"{operation.lower()} cannot be combined with this many repetitions")


def _repeat(least: int, most: int, body: Any, starts: frozenset[int], text: str) -> frozenset[int]:
    """Ends after `least` to `most` rounds; more rounds than characters change nothing."""
    bound = len(text) + 1
    for _ in range(min(least, bound)):
        starts = _steps(body, starts, text)
    ends, fresh = starts, starts
    for _ in range(min(most - min(least, most), bound)):
        fresh = _steps(body, fresh, text) - ends
        if not fresh:
            break
        ends |= fresh
    return ends


def _at_boundary(text: str, at: int) -> bool:
    def word(index: int) -> bool:
        return 0 <= index < len(text) and (text[index].isalnum() or text[index] == "_")

    return word(at - 1) is not word(at)


def _accepts(operation: str, argument: Any, character: str) -> bool:
    if operation == "LITERAL":
        return ord(character) == int(argument)
    if operation == "NOT_LITERAL":
        return ord(character) != int(argument)
    if operation == "ANY":
        return character != "\n"
    negated = found = False
    for kind, value in argument:
        name = str(kind)
        if name == "NEGATE":
            negated = True
        elif name == "LITERAL":
            found |= ord(character) == int(value)
        elif name == "RANGE":
            found |= value[0] <= ord(character) <= value[1]
        else:
            found |= _in_category(str(value), character)
    return found is not negated


def _in_category(category: str, character: str) -> bool:
    kind = category.removeprefix("CATEGORY_").removeprefix("NOT_")
    if kind == "DIGIT":
        inside = character.isdecimal()
    elif kind == "SPACE":
        inside = character.isspace()
    else:
        inside = character.isalnum() or character == "_"
    return inside is not ("NOT_" in category)
