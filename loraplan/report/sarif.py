"""SARIF 2.1.0, for code scanning: every rule that reported with its page, findings with fingerprints and fixes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from loraplan import __version__
from loraplan.fingerprint import numbered, relative
from loraplan.home import address
from loraplan.report import Style
from loraplan.report.replacement import Replacement, replacements
from loraplan.result import Diagnostic, Failure, Outcome
from loraplan.select import Registry, UnknownSelector
from loraplan.settings import Settings

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS = {"error": "error", "warning": "warning", "info": "note"}


def render(outcome: Outcome, style: Style) -> Iterator[str]:
    """The whole log as indented JSON."""
    yield json.dumps(log(outcome), indent=2, allow_nan=False)


def log(outcome: Outcome) -> dict[str, Any]:
    """The log as plain values."""
    found = outcome.diagnostics
    edits = replacements(outcome)
    kinds = {item.code: item for item in sorted(found, key=lambda item: item.code)}
    index = {code: number for number, code in enumerate(kinds)}
    registry = Registry(Settings().packages)
    invocation: dict[str, Any] = {"executionSuccessful": not outcome.failures}
    if outcome.failures:
        invocation["toolExecutionNotifications"] = [_notification(failure) for failure in outcome.failures]
    driver = {
        "name": "LoRAPlan",
        "version": __version__,
        "rules": [_rule(item, registry) for item in kinds.values()],
    }
    if (home := address("Source")) is not None:
        driver["informationUri"] = home
    return {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": driver},
                "columnKind": "unicodeCodePoints",
                "invocations": [invocation],
                "results": [
                    _result(item, digest, index[item.code], edits.get(id(item), ())) for item, digest in numbered(found)
                ],
            }
        ],
    }


def _rule(item: Diagnostic, registry: Registry) -> dict[str, Any]:
    level = item.severity
    title, page = item.why or item.name, ""
    try:
        code = registry.find(item.code)
        page = registry.page(code).strip()
        level = registry.load(code).severity
    except (UnknownSelector, AssertionError, AttributeError):
        pass  # a rule of the user's own, or one of the engine's: its findings say what is known
    if page:
        title = page.partition("\n")[0]
    found = {
        "id": item.code,
        "name": "".join(part.capitalize() for part in item.name.split("-")),
        "shortDescription": {"text": title},
        "fullDescription": {"text": item.why or title},
        "help": {"text": page or title, "markdown": f"# {item.code} {item.name}\n\n{page or title}"},
        "defaultConfiguration": {"level": _LEVELS[level]},
        "properties": {"tags": ["fine-tuning", "lora"]},
    }
    if page and (pages := address("Rules")) is not None:
        found["helpUri"] = f"{pages}/{item.code}.md"
    return found


def _result(item: Diagnostic, digest: str, index: int, edits: tuple[Replacement, ...]) -> dict[str, Any]:
    artifact = {"uri": _uri(item.path)}
    region = {
        "startLine": item.line,
        "startColumn": item.column,
        "endLine": item.end_line,
        "endColumn": item.end_column,
    }
    text = item.message + (f". Fix: {item.remedy}" if item.remedy else "")
    found: dict[str, Any] = {
        "ruleId": item.code,
        "ruleIndex": index,
        "level": _LEVELS[item.severity],
        "message": {"text": text},
        "locations": [{"physicalLocation": {"artifactLocation": artifact, "region": region}}],
        "partialFingerprints": {"loraplan/v1": digest},
    }
    if item.fix is not None and edits:
        found["fixes"] = [
            {
                "description": {"text": item.fix.title},
                "artifactChanges": [{"artifactLocation": artifact, "replacements": [_change(edit) for edit in edits]}],
            }
        ]
    return found


def _change(edit: Replacement) -> dict[str, Any]:
    region = {
        "startLine": edit.start.line,
        "startColumn": edit.start.column,
        "endLine": edit.end.line,
        "endColumn": edit.end.column,
    }
    return {"deletedRegion": region, "insertedContent": {"text": edit.text}}


def _notification(failure: Failure) -> dict[str, Any]:
    location: dict[str, Any] = {"artifactLocation": {"uri": _uri(failure.path)}}
    if failure.position:
        location["region"] = {"startLine": failure.position.line, "startColumn": failure.position.column}
    return {"level": "error", "message": {"text": failure.message}, "locations": [{"physicalLocation": location}]}


def _uri(path: str) -> str:
    name = relative(path)
    return ("file://" if name.startswith("/") else "") + quote(name.encode("utf-8", "surrogatepass"), safe="/")
