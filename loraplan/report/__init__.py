"""How results are written: one module per output format, each with `render(outcome, style)` giving lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Literal, NamedTuple, Protocol, cast

from loraplan.result import Outcome, Skipped

Format = Literal[
    "text", "concise", "grouped", "json", "json-lines", "sarif", "github", "gitlab", "junit", "rdjson", "azure",
    "markdown"
]  # fmt: skip
FORMATS: tuple[Format, ...] = (
    "text", "concise", "grouped", "json", "json-lines", "sarif", "github", "gitlab", "junit", "rdjson", "azure",
    "markdown",
)  # fmt: skip


class Style(NamedTuple):
    """What the reader of the output wants and can show."""

    color: bool = False
    width: int = 100
    verbose: bool = False
    quiet: bool = False
    statistics: bool = False


class Renderer(Protocol):
    """What a module of this package provides."""

    def render(self, outcome: Outcome, style: Style) -> Iterator[str]: ...


def render(outcome: Outcome, form: Format, style: Style) -> Iterator[str]:
    """The lines of a report, without their endings."""
    return cast("Renderer", import_module(f"loraplan.report.{form.replace('-', '_')}")).render(outcome, style)


def plural(count: int, noun: str) -> str:
    """`1 error`, `2 errors`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def counts(outcome: Outcome) -> str:
    """`1 error, 2 warnings in 3 files`."""
    parts = [
        plural(count, noun)
        for count, noun in ((outcome.count("error"), "error"), (outcome.count("warning"), "warning"))
        if count
    ]
    if infos := outcome.count("info"):
        parts.append(f"{infos} info")
    return f"{', '.join(parts) or 'no findings'} in {plural(outcome.recognised, 'file')}"


def skips(skipped: Iterable[Skipped]) -> str:
    """`12 rules skipped: model architecture unknown (9), dataset size unknown (3)`; empty where none was.

    A rule is counted once for each thing it lacks, however many files lack it.
    """
    needs = Counter(need for need, _ in {(item.need, item.code) for item in skipped})
    if not needs:
        return ""
    reasons = ", ".join(
        f"{need} ({count})" for need, count in sorted(needs.items(), key=lambda item: (-item[1], item[0]))
    )
    return f"{plural(len({item.code for item in skipped}), 'rule')} skipped: {reasons}"


def statistics(outcome: Outcome) -> Iterator[str]:
    """How often each rule reported, most often first."""
    found = Counter((item.code, item.name) for item in outcome.diagnostics)
    for (code, name), count in sorted(found.items(), key=lambda item: (-item[1], item[0])):
        yield f"{count:>5}  {code}  {name}"
