"""YAML parser errors in plain words: what is wrong, where, and what to do; loaded only when a file is broken."""

from __future__ import annotations

import re

from yaml import MarkedYAMLError, YAMLError
from yaml.reader import Reader

from loraplan.document import MAX_DEPTH

_NO_SPACE = re.compile(r"[ ]*(?:- +)*[\w.-]+:(?=[^\s:/\\])")
_TABBED = re.compile(r"[ ]*\t")

# Part of the parser's message (libyaml's or the pure parser's) -> what to say instead, and the remedy.
_KNOWN: tuple[tuple[str, str, str], ...] = (
    (
        "mapping values are not allowed",
        "a ':' where no key can stand",
        "indent the line like its neighbours, or quote the value that contains ': '",
    ),
    ("could not find expected ':'", "a key without ':'", "write 'key: value'"),
    ("expected hexdecimal", "an unknown escape after '\\' in double quotes", "use single quotes around the value"),
    ("expected alphabetic or numeric", "a '*' or '&' without a name", "quote the value"),
    ("found undefined tag handle", "a tag with an unknown handle", "quote the value if it starts with '!'"),
    ("unknown escape character", "an unknown escape after '\\' in double quotes", "use single quotes around the value"),
    ("did not find expected '-' indicator", "this line does not continue the list above", "start it with '- '"),
    (
        "block sequence entries are not allowed",
        "a '- ' where no list item can stand",
        "put the list on the lines below its key",
    ),
    ("found incompatible YAML document", "a %YAML directive of an unknown version", "remove the %YAML line"),
    (
        "did not find expected key",
        "this is no continuation of the lines above",
        "align the line with its neighbours; quote a value that contains quotes, braces or ': '",
    ),
    (
        "but found",
        "this is no continuation of the lines above",
        "align the line with its neighbours; quote a value that contains quotes, braces or ': '",
    ),
    ("did not find expected ',' or", "a ',' or a closing bracket is missing", "close the bracket or add the comma"),
    ("expected ',' or", "a ',' or a closing bracket is missing", "close the bracket or add the comma"),
    (
        "exceeded maximum nesting depth",  # the parser's own limit, since PyYAML 6.0.4
        f"nested more than {MAX_DEPTH} levels deep",
        "check that this is a training config",
    ),
    (
        "did not find expected node content",
        "a value is missing after a bracket, comma or tag",
        "complete the value",
    ),
)


def explain(error: YAMLError, text: str, base: int) -> tuple[str, str, int]:
    """Message, remedy and character offset; `base` is what the parser's marks lack (a byte order mark)."""
    if not isinstance(error, MarkedYAMLError):
        # Counted in bytes by libyaml and in characters by the pure reader: search again.
        bad = Reader.NON_PRINTABLE.search(text, base)
        offset = bad.start() if bad else 0
        shown = f"U+{ord(text[offset]):04X}" if bad else "a control character"
        return f"the character {shown} is not allowed in YAML", "remove the character", offset
    problem = error.problem or str(error)
    mark, opened = error.problem_mark or error.context_mark, error.context_mark
    offset = min(mark.index + base, len(text)) if mark else 0
    line_start = text.rfind("\n", 0, offset) + 1
    if tab := _TABBED.match(text, line_start):
        number = text.count("\n", 0, line_start) + 1
        return f"line {number} is indented with a tab", "use spaces", tab.end() - 1
    if "cannot start any token" in problem:
        return _bad_start(text[offset : offset + 1], offset)
    if opened and "quoted" in (error.context or "") and "end of stream" in problem:
        return "a quote that is never closed", "close the quote", opened.index + base
    if opened and not text[offset:].strip() and "flow" in (error.context or ""):
        start = min(opened.index + base, max(len(text) - 1, 0))
        return "a bracket that is never closed", "close the bracket", start
    if "could not find expected ':'" in problem and opened:
        offset = min(opened.index + base, len(text))
        line_start = text.rfind("\n", 0, offset) + 1
    if "expected ':'" in problem or "mapping values" in problem:
        before = text.rfind("\n", 0, max(line_start - 1, 0)) + 1
        if found := _NO_SPACE.match(text, line_start) or _NO_SPACE.match(text, before):
            return "no space after ':'", "write 'key: value'", found.end() - 1
    if "expected ',' or" in problem and opened and text.count("\n", opened.index, offset):
        number = text.count("\n", 0, opened.index + base) + 1
        return f"the bracket opened on line {number} is not closed before this", "close it", offset
    for part, message, remedy in _KNOWN:
        if part in problem:
            return message, remedy, offset
    return f"invalid YAML: {problem}", "correct the line or quote the value", offset


def _bad_start(character: str, offset: int) -> tuple[str, str, int]:
    if character == "\t":
        return "a tab where YAML allows only spaces", "use spaces", offset
    if character == "%":
        return "'%' cannot start a value", "render the template first, or quote the value", offset
    return f"{character!r} cannot start a value", "quote the value", offset
