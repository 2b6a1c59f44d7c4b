"""Issues on an Azure Pipelines run, as its logging commands."""

from __future__ import annotations

from collections.abc import Iterator

from loraplan.fingerprint import relative
from loraplan.report import Style
from loraplan.report.text import remedy
from loraplan.result import Outcome


def render(outcome: Outcome, style: Style) -> Iterator[str]:
    """One command per finding; Azure knows errors and warnings only, so an info is a warning."""
    for item in outcome.diagnostics:
        kind = "error" if item.severity == "error" else "warning"
        where = f"sourcepath={_property(relative(item.path))};linenumber={item.line};columnnumber={item.column}"
        fix = remedy(item)
        text = item.message + (f" (fix: {fix})" if fix else "")
        yield f"##vso[task.logissue type={kind};{where};code={_property(item.code)};]{_data(text)}"
    for failure in outcome.failures:
        place = (
            f";linenumber={failure.position.line};columnnumber={failure.position.column}" if failure.position else ""
        )
        text = failure.message + (f"; {failure.remedy}" if failure.remedy else "")
        yield f"##vso[task.logissue type=error;sourcepath={_property(relative(failure.path))}{place};]{_data(text)}"


def _data(text: str) -> str:
    return text.replace("%", "%AZP25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(";", "%3B").replace("]", "%5D")
