"""For a person at a terminal: finding, source line with a caret, where the value came from, why, and the remedy."""

from __future__ import annotations

from collections.abc import Iterator

from loraplan.origin import Default, Derived, Explicit
from loraplan.report import Style, counts, plural, skips, statistics
from loraplan.report.snippet import snippet
from loraplan.result import Diagnostic, Failure, FileResult, Outcome

_COLORS = {"error": "1;31", "warning": "1;33", "info": "1;36"}
_FEW = 5
"""With so many files at most, clean ones are named; with more they are counted."""


def render(outcome: Outcome, style: Style) -> Iterator[str]:
    """Every file's findings, infos last and short, then the summary."""
    paint = _Paint(style.color)
    few = len(outcome.files) <= _FEW
    for file in outcome.files:
        main = [item for item in file.diagnostics if item.severity != "info"]
        minor = [item for item in file.diagnostics if item.severity == "info"]
        for item in main:
            yield from finding(item, style, paint)
            yield ""
        for item in minor:
            yield from short(item, style, paint)
        if minor:
            yield ""
        if not file.diagnostics and not file.failures and not style.quiet and (few or style.verbose):
            yield clean(file, paint)
    if style.quiet:
        return
    if style.statistics:
        yield from statistics(outcome)
        yield ""
    yield from summary(outcome, style, paint)


def finding(item: Diagnostic, style: Style, paint: _Paint) -> Iterator[str]:
    """One finding in full."""
    yield headline(item, paint)
    margin = len(str(item.line))
    gutter = paint("34", f"{' ' * margin} |")
    length = item.end_column - item.column if item.end_line == item.line else len(item.source) - item.column + 1
    line, carets = snippet(item.source, item.column, length, style.width - margin - 3)
    yield gutter
    yield paint("34", f"{item.line} |") + (f" {line}" if line else "")
    yield f"{gutter} {paint(_COLORS[item.severity], carets)}"
    notes = [("from", came_from(item)), ("why", item.why), ("fix", remedy(item))]
    for name, text in notes:
        if text:
            yield from _note(name, text, margin, style, paint)


def short(item: Diagnostic, style: Style, paint: _Paint) -> Iterator[str]:
    """An info on one line, its remedy below."""
    if style.verbose:
        yield from finding(item, style, paint)
        return
    yield headline(item, paint)
    if text := remedy(item):
        yield from _note("fix", text, 1, style, paint)


def headline(item: Diagnostic, paint: _Paint) -> str:
    """`qlora.yml:3:13: warning ALP001 alpha 16 < rank 64: ...`."""
    where = paint("1", f"{printable(item.path)}:{item.line}:{item.column}:")
    run = f" [{printable(item.run)}]" if item.run else ""
    return f"{where} {paint(_COLORS[item.severity], f'{item.severity} {item.code}')}{run} {printable(item.message)}"


def came_from(item: Diagnostic) -> str:
    """Where the value comes from, in words; empty for a finding about a place and not about a value."""
    match item.origin:
        case Explicit(shared=True):
            return f"{item.key or item.field}, through an alias or variable that serves other places too"
        case Explicit():
            return f"{item.key or item.field}, written on line {item.line}"
        case Default() as default:
            return default_words(default)
        case Derived(how=how, fields=fields):
            return f"derived from {', '.join(fields)}: {how}" if fields else f"derived: {how}"
    return f"{item.key} is not set" if item.key else ""


def default_words(default: Default) -> str:
    """`axolotl default (axolotl 0.19.0 src/...)`, the version named once."""
    version = f" {default.versions}" if default.versions and default.versions not in default.source else ""
    return f"{default.framework}{version} default ({default.source})"


def remedy(item: Diagnostic) -> str:
    """What to do, and how safe the change is."""
    text = item.remedy
    if item.fix is not None:
        text = text or item.fix.title
        kind = {
            "safe": "safe",
            "unsafe": "unsafe: it changes what is trained",
            "show": "by hand",
        }[item.fix.applicability]
        text = f"{text} ({kind})"
    return text


def clean(file: FileResult, paint: _Paint) -> str:
    """`qlora.yml: axolotl, QLoRA r=32 on ...: no findings`."""
    runs = file.runs
    if len(runs) == 1:
        said = f"{runs[0].format}, {runs[0].summary}"
    else:
        formats = dict.fromkeys(run.format for run in runs)
        said = f"{', '.join(formats)}, {plural(len(runs), 'run')}"
    return f"{printable(file.path)}: {printable(said)}: {paint('32', 'no findings')}"


def summary(outcome: Outcome, style: Style, paint: _Paint) -> Iterator[str]:
    """The last lines: counts, skips, what was not recognised."""
    if outcome.recognised or not outcome.failures:
        parts = [paint("1", counts(outcome))]
        if outcome.suppressed:
            parts.append(f"{outcome.suppressed} silenced by comments")
        if outcome.unrecognised:
            parts.append(f"{plural(outcome.unrecognised, 'file')} not recognised as configs")
        yield "; ".join(parts)
    if text := skips(outcome.skipped):
        yield text + ("" if style.verbose else " (--verbose lists them)")
    if style.verbose:
        seen = dict.fromkeys((item.code, item.name, item.reason, item.path) for item in outcome.skipped)
        for code, name, reason, path in seen:
            yield f"  {printable(path)}: {code} {name}: {printable(reason)}"


def failure(item: Failure, verbose: bool, paint: _Paint) -> Iterator[str]:
    """What could not be checked, for standard error."""
    where = f"{item.path}:{item.position.line}:{item.position.column}" if item.position else item.path
    remedy = f"; {item.remedy}" if item.remedy else ""
    yield f"{paint('1', printable(where) + ':')} {paint('1;31', 'error:')} {printable(item.message)}{printable(remedy)}"
    details = item.details if verbose or item.kind != "bug" else item.details[:1]
    for detail in details:
        yield f"  {printable(detail)}"


class _Paint:
    """Colours text, or not."""

    def __init__(self, on: bool) -> None:
        self.on = on

    def __call__(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.on else text


def painter(color: bool) -> _Paint:
    """Colours for a stream that shows them, or none."""
    return _Paint(color)


def printable(text: str) -> str:
    """Text of a file without the characters that steer a terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)


def _note(name: str, text: str, margin: int, style: Style, paint: _Paint) -> Iterator[str]:
    head = f"{' ' * margin} = {name}: "
    room = max(style.width - len(head), 30)
    from textwrap import wrap  # 1 ms that a clean file need not cost

    lines = wrap(printable(text), room, break_long_words=False, break_on_hyphens=False) or [""]
    yield f"{' ' * margin} {paint('34', '=')} {paint('1', name)}: {lines[0]}"
    for line in lines[1:]:
        yield " " * len(head) + line
