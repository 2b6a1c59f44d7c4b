"""Annotations on a pull request, as GitHub's workflow commands."""

from __future__ import annotations

from collections.abc import Iterator

from loraplan.fingerprint import relative
from loraplan.report import Style
from loraplan.report.text import remedy
from loraplan.result import Outcome

_COMMANDS = {"error": "error", "warning": "warning", "info": "notice"}


def render(outcome: Outcome, style: Style) -> Iterator[str]:
    """One command per finding; what could not be checked is an error without a line."""
    for item in outcome.diagnostics:
        where = f"file={_property(relative(item.path))},line={item.line},col={item.column},endLine={item.end_line}"
        if item.end_line == item.line:  # GitHub rejects columns that span lines
            where += f",endColumn={max(item.end_column, item.column + 1)}"
        text = f"{item.message}\n{item.why}" if item.why else item.message
        if fix := remedy(item):
            text += f"\nfix: {fix}"
        yield f"::{_COMMANDS[item.severity]} {where},title={_property(f'{item.code} {item.name}')}::{_data(text)}"
    for failure in outcome.failures:
        path = _property(relative(failure.path))
        line = f",line={failure.position.line},col={failure.position.column}" if failure.position else ""
        text = failure.message + (f"; {failure.remedy}" if failure.remedy else "")
        yield f"::error file={path}{line},title=LoRAPlan could not check this::{_data(text)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
