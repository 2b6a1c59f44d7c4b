"""Rules on one run: context, exceptions, interplay, and the place in the file that each finding points at."""

from __future__ import annotations

import re
from collections.abc import Callable, Sized
from typing import Any

from loraplan.context import Facts, Inputs, RunContext, needs_words
from loraplan.document import Document, Span
from loraplan.formats.reading import Reading
from loraplan.plan import get
from loraplan.result import Diagnostic, FileResult, Recognised, Skipped
from loraplan.rule import Finding, Rule, Skip
from loraplan.select import Registry

_NOTICED: dict[str, Callable[[Reading], Sized]] = {
    "key-issue": lambda reading: reading.key_issues,
    "value-issue": lambda reading: reading.value_issues,
    "problem": lambda reading: reading.document.problems,
}


class Selected:
    """A rule that is on, loaded only when a run may give it something to say."""

    def __init__(self, code: str, registry: Registry, given: dict[str, Any]) -> None:
        self.code = code
        self._registry = registry
        self._given = given

    def applies(self, reading: Reading) -> bool:
        """Whether a run meets one of the conditions that the rule needs, if its package states any."""
        conditions = self._registry.when.get(self.code)
        return conditions is None or applies(conditions, reading)

    def load(self) -> tuple[Rule, dict[str, Any]]:
        """The rule and its options, those of the settings over its own."""
        rule = self._registry.load(self.code)
        return rule, {**rule.options, **self._given}


def applies(conditions: tuple[str, ...], reading: Reading) -> bool:
    """Whether any condition holds of a run.

    `adapter.use_dora`: the field has a value that is neither false nor empty; `adapter.bias!=none`: it has another
    value than this; `schedule.name==constant`: it has this one, in any case; `explicit:adapter.r`,
    `absent:adapter.r`: it is written, or not; `format:NAME`, `text:WORD`: of the file; `key-issue`, `value-issue`,
    `problem`: the reader noticed one.
    """
    for condition in conditions:
        if condition.startswith("text:"):
            holds = condition[5:] in reading.document.text
        elif condition.startswith("format:"):
            holds = reading.format == condition[7:]
        elif condition.startswith("explicit:"):
            holds = reading.explicit(condition[9:]) is not None
        elif condition.startswith("absent:"):
            holds = reading.explicit(condition[7:]) is None
        elif condition in _NOTICED:
            holds = bool(_NOTICED[condition](reading))
        elif "!=" in condition:
            name, _, other = condition.partition("!=")
            value = get(reading.plan, name)
            holds = value is not None and str(value).lower() != other
        elif "==" in condition:
            name, _, other = condition.partition("==")
            holds = str(get(reading.plan, name)).lower() == other
        else:
            holds = bool(get(reading.plan, condition))
        if holds:
            return True
    return False


def check_run(
    reading: Reading,
    rules: list[Selected],
    inputs: Inputs,
    versions: dict[str, str],
    preview: bool,
    ran: set[str],
    result: FileResult,
) -> list[Diagnostic]:
    """The findings of every rule that applies, less those another one replaces.

    Skips and rules that broke go into `result`, the codes of rules that judged the run into `ran`.
    """
    facts = run_facts(reading, inputs, versions)
    plan, path = reading.plan, reading.document.path
    full_fine_tuning = plan.adapter.method == "none"
    found: list[tuple[Rule, Finding]] = []
    for selected in rules:
        if not selected.applies(reading):
            ran.add(selected.code)
            continue
        rule, options = selected.load()
        if (full_fine_tuning and not rule.without_adapter) or (reading.hand_rolled and not rule.hand_rolled):
            continue
        try:
            found.extend(
                (rule, finding)
                for finding in rule.check(plan, RunContext(facts, options))
                if preview or rule.preview or not finding.preview
            )
            ran.add(rule.code)
        except Skip as skip:
            need = needs_words(skip.need)
            result.skipped.append(Skipped(path, rule.code, rule.name, need, skip.reason, reading.name))
        except Exception as error:  # noqa: BLE001 - a broken rule must not take the others with it
            from loraplan.failure import bug

            result.failures.append(bug(path, f"rule {rule.code}", error))
    replaced = {code for rule, _ in found for code in rule.suppresses}
    return [place(rule, finding, reading.document, reading) for rule, finding in found if rule.code not in replaced]


def run_facts(reading: Reading, inputs: Inputs, versions: dict[str, str]) -> Facts:
    """The inputs of a run, none of them looked up yet."""
    return Facts(reading, inputs, versions, lambda now: _earlier(now, inputs, versions))


def place(rule: Rule, finding: Finding, document: Document, reading: Reading | None) -> Diagnostic:
    """A finding at its line and column; the end is that of the value's last character."""
    field = finding.at if isinstance(finding.at, str) else None
    if isinstance(finding.at, str):
        assert reading is not None
        span = reading.span(finding.at)
    else:
        span = finding.at
    text = document.text
    start = min(max(span.start, 0), len(text))
    end = min(max(span.end, start), len(text))
    end = start + len(text[start:end].rstrip())  # a block mapping's mark runs to the next key
    line, column = document.position(start)
    end_line, end_column = document.position(max(end, start))
    return Diagnostic(
        path=document.path,
        line=line,
        column=column,
        code=rule.code,
        name=rule.name,
        severity=finding.severity or rule.severity,
        message=_masked(finding.message),
        end_line=end_line,
        end_column=end_column,
        span=Span(start, end),
        why=rule.why if finding.why is None else finding.why,
        remedy=finding.remedy,
        field=field,
        key=reading.key(field) if reading is not None and field is not None else None,
        origin=reading.origins.get(field) if reading is not None and field is not None else None,
        fix=finding.fix,
        source=_masked(document.line(line)),
        run=reading.name if reading is not None else None,
    )


def _masked(text: str) -> str:
    """Text without access tokens, its length kept: a report is shown in logs that more people read than the config."""
    if "hf_" not in text and "sk-" not in text and "key" not in text.lower() and "token" not in text.lower():
        return text
    return re.sub(
        r"(?<=hf_)[A-Za-z0-9]{20,}|(?<=sk-)[A-Za-z0-9_-]{20,}|(?<![0-9A-Za-z])[0-9a-fA-F]{40}(?![0-9A-Za-z])",
        lambda match: "*" * len(match[0]),
        text,
    )


def recognised(reading: Reading) -> Recognised:
    """A run in the words a person would use."""
    return Recognised(
        reading.format,
        reading.signature,
        reading.framework,
        reading.version,
        reading.assumed_version,
        reading.name,
        reading.plan.model.name,
        describe(reading),
    )


def numbered(readings: list[Reading]) -> list[Reading]:
    """The runs of one file, those without a name of their own called by their number where there are several."""
    if len(readings) > 1:
        for index, reading in enumerate(readings):
            reading.name = reading.name or f"run {index + 1}"
            reading.facts["index"], reading.facts["siblings"] = index, len(readings)
    return readings


def describe(reading: Reading) -> str:
    """The kind of training in a few words: `QLoRA r=32 on meta-llama/Llama-3.1-8B`."""
    plan = reading.plan
    adapter, bits = plan.adapter, plan.quantization.bits
    method = adapter.method
    if method == "none":
        kind = "full fine-tuning"
    elif method not in (None, "", "lora"):
        kind = str(method)
    elif adapter.use_dora:
        kind = "QDoRA" if bits == 4 else "DoRA"
    elif bits == 4:
        kind = "QLoRA"
    elif bits == 8:
        kind = "8-bit LoRA"
    else:
        kind = "LoRA"
    rank = f" r={adapter.r:.10g}" if adapter.r is not None and method != "none" else ""
    target = f" on {plan.model.name}" if plan.model.name else ""
    return f"{kind}{rank}{target}"


def _earlier(reading: Reading, inputs: Inputs, versions: dict[str, str]) -> Reading:
    """The same run in the config's earlier version; raises Skip where there is none."""
    from loraplan.baseline import NoBaseline, text_of
    from loraplan.document import DocumentError
    from loraplan.document.read import read as read_document
    from loraplan.formats import NotAConfig
    from loraplan.formats import read as read_runs

    document, siblings = reading.document, reading.facts.get("siblings", 1)
    try:
        path, text = text_of(document.path, document.text, inputs.baseline)
        other = read_document(path, text, document.syntax)
        runs = numbered(read_runs(other, None, versions))
    except NoBaseline as error:
        raise Skip("baseline", str(error)) from error
    except (DocumentError, NotAConfig) as error:
        raise Skip("baseline", "no baseline: the earlier version cannot be read") from error
    if len(runs) == siblings:  # by place: names that count lines change with every edit
        index: int = reading.facts.get("index", 0)
        same = [runs[index]] if runs[index].format == reading.format else []
    else:
        same = [run for run in runs if run.format == reading.format and run.name == reading.name and _lasting(run)]
    if len(same) != 1:
        raise Skip("baseline", "no baseline: the earlier version has no such run")
    return same[0]


def _lasting(reading: Reading) -> bool:
    """Whether a run's name says more than its line or number."""
    return reading.name is not None and not any(character.isdigit() for character in reading.name)
