"""JUnit XML: one test case a file, which fails where a finding reaches the threshold of `--fail-on`."""

from __future__ import annotations

from collections.abc import Iterator

from loraplan.fingerprint import relative
from loraplan.report import Style
from loraplan.report.text import remedy
from loraplan.result import Diagnostic, FileResult, Outcome
from loraplan.rule import SEVERITIES


def render(outcome: Outcome, style: Style) -> Iterator[str]:
    """One suite with every file; findings below the threshold are output of a test case that passes."""
    failing = SEVERITIES[SEVERITIES.index(outcome.fail_on) :]
    failed = sum(any(item.severity in failing for item in file.diagnostics) for file in outcome.files)
    broken = sum(bool(file.failures) for file in outcome.files)
    totals = f'tests="{len(outcome.files)}" failures="{failed}" errors="{broken}"'
    yield '<?xml version="1.0" encoding="UTF-8"?>'
    yield f'<testsuites name="loraplan" {totals}>'
    yield f'  <testsuite name="loraplan" {totals}>'
    for file in outcome.files:
        yield from _case(file, failing)
    yield "  </testsuite>"
    yield "</testsuites>"


def _case(file: FileResult, failing: tuple[str, ...]) -> Iterator[str]:
    name = _escaped(relative(file.path))
    bad = [item for item in file.diagnostics if item.severity in failing]
    minor = [item for item in file.diagnostics if item.severity not in failing]
    if not file.diagnostics and not file.failures:
        yield f'    <testcase classname="loraplan" name="{name}" file="{name}"/>'
        return
    yield f'    <testcase classname="loraplan" name="{name}" file="{name}">'
    if bad:
        first = _escaped(f"{bad[0].code} {bad[0].message}")
        more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
        yield f'      <failure type="{bad[0].severity}" message="{first}{more}">{_lines(bad)}</failure>'
    for failure in file.failures:
        yield f'      <error type="{failure.kind}" message="{_escaped(failure.message)}"/>'
    if minor:
        yield f"      <system-out>{_lines(minor)}</system-out>"
    yield "    </testcase>"


def _lines(items: list[Diagnostic]) -> str:
    return "&#10;".join(
        _escaped(
            f"{relative(item.path)}:{item.line}:{item.column}: {item.code} {item.severity}: {item.message}"
            + (f"; fix: {fix}" if (fix := remedy(item)) else "")
        )
        for item in items
    )


def _escaped(text: str) -> str:
    """Text for an attribute or an element; characters that XML 1.0 cannot hold become U+FFFD."""
    named = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\n": "&#10;", "\r": "&#13;", "\t": "&#9;"}
    return "".join(named.get(character) or (character if _allowed(character) else "\ufffd") for character in text)


def _allowed(character: str) -> bool:
    code = ord(character)
    return 0x20 <= code <= 0xD7FF or 0xE000 <= code <= 0xFFFD or code >= 0x10000
