"""The reports that CI systems read: exact on a made-up result, and whole with hostile names and messages."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from loraplan.document import Position, Span
from loraplan.engine import Checker, Overrides
from loraplan.fingerprint import numbered
from loraplan.fixing import fix_text
from loraplan.origin import Explicit
from loraplan.report import FORMATS, Format, Style, render
from loraplan.result import Diagnostic, Failure, FileResult, Outcome, Recognised
from loraplan.rule import Fix, Set, Severity

RUN = Recognised("axolotl", "s", "axolotl", None, "axolotl 0.19.0", None, "a/b", "QLoRA r=64 on a/b")
SCHEMA = json.loads((Path(__file__).parents[1] / "data/sarif-schema-2.1.0.json").read_text())
HOSTILE = "a]]>\n::error::x %0A ##vso[task] <b> & \"'|`[l](u) \x1b[2J \x00 \U0001f600 \ud800;]"


def diagnostic(
    path: str = "conf/qlora.yml",
    line: int = 3,
    severity: Severity = "warning",
    message: str = "alpha 16 < rank 64",
    source: str = "lora_alpha: 16",
    value: float = 128,
) -> Diagnostic:
    return Diagnostic(
        path, line, 13, "ALP001", "scaling-out-of-range", severity, message, line, 15, Span(0, 2),
        "alpha/r multiplies the update", "set lora_alpha to 128", "adapter.alpha", "lora_alpha",
        Explicit(path, ("lora_alpha",), Span(0, 2)),
        Fix("set lora_alpha to 128", (Set("adapter.alpha", value),), "unsafe"),
        source, None,
    )  # fmt: skip


FAILURE = Failure("b.yml", "unreadable", "bad indent", "indent it", Position(2, 1))


def outcome(*found: Diagnostic, failures: tuple[Failure, ...] = ()) -> Outcome:
    files = [FileResult(item.path, [RUN], [item]) for item in found]
    files += [FileResult(failure.path, failures=[failure]) for failure in failures]
    return Outcome(files)


def text(result: Outcome, form: Format) -> str:
    return "\n".join(render(result, form, Style()))


def values(result: Outcome, form: Format) -> Any:
    return json.loads(text(result, form))


def test_grouped() -> None:
    second = diagnostic(line=12, severity="error")
    assert text(Outcome([FileResult("conf/qlora.yml", [RUN], [diagnostic(), second])]), "grouped") == (
        "conf/qlora.yml:\n"
        "  3:13   ALP001 warning: alpha 16 < rank 64\n"
        "  12:13  ALP001 error: alpha 16 < rank 64\n"
        "\n"
        "1 error, 1 warning in 1 file"
    )


def test_markdown() -> None:
    assert text(outcome(diagnostic()), "markdown") == (
        "| Place | Severity | Rule | Finding | Remedy |\n"
        "| --- | --- | --- | --- | --- |\n"
        "| conf/qlora.yml:3:13 | warning | ALP001 | alpha 16 &#60; rank 64 "
        "| set lora&#95;alpha to 128 (unsafe: it changes what is trained) |\n"
        "\n"
        "1 warning in 1 file"
    )


def test_azure() -> None:
    assert text(outcome(diagnostic(), failures=(FAILURE,)), "azure") == (
        "##vso[task.logissue type=warning;sourcepath=conf/qlora.yml;linenumber=3;columnnumber=13;code=ALP001;]"
        "alpha 16 < rank 64 (fix: set lora_alpha to 128 (unsafe: it changes what is trained))\n"
        "##vso[task.logissue type=error;sourcepath=b.yml;linenumber=2;columnnumber=1;]bad indent; indent it"
    )


def test_json_lines() -> None:
    lines = [json.loads(line) for line in text(outcome(diagnostic(), failures=(FAILURE,)), "json-lines").splitlines()]
    assert [line["type"] for line in lines] == ["finding", "error", "summary"]
    assert (lines[0]["code"], lines[1]["line"], lines[2]["warning"]) == ("ALP001", 2, 1)


def test_junit() -> None:
    minor = diagnostic("a.yml", severity="info")
    root = ET.fromstring(text(outcome(diagnostic(), minor, failures=(FAILURE,)), "junit"))
    assert root.attrib == {"name": "loraplan", "tests": "3", "failures": "1", "errors": "1"}
    cases = {case.attrib["name"]: case for case in root.iter("testcase")}
    assert [child.tag for child in cases["conf/qlora.yml"]] == ["failure"]
    assert [child.tag for child in cases["a.yml"]] == ["system-out"]
    assert cases["b.yml"][0].attrib == {"type": "unreadable", "message": "bad indent"}


def test_junit_follows_the_threshold() -> None:
    result = outcome(diagnostic())
    result.fail_on = "error"
    assert ET.fromstring(text(result, "junit")).attrib["failures"] == "0"


def test_gitlab() -> None:
    (issue,) = values(outcome(diagnostic()), "gitlab")
    assert issue["severity"] == "minor"
    assert issue["check_name"] == "scaling-out-of-range"
    assert issue["location"]["path"] == "conf/qlora.yml"
    assert issue["location"]["positions"]["begin"] == {"line": 3, "column": 13}


def test_a_fingerprint_stays_when_the_line_moves_and_differs_between_equal_findings() -> None:
    (before,) = values(outcome(diagnostic()), "gitlab")
    (after,) = values(outcome(diagnostic(line=9, source="  lora_alpha:  16 ")), "gitlab")
    assert before["fingerprint"] == after["fingerprint"]
    twice = [digest for _, digest in numbered([diagnostic(), diagnostic(line=9)])]
    assert twice[0] == before["fingerprint"] != twice[1]
    (other,) = values(outcome(diagnostic(source="lora_alpha: 8")), "gitlab")
    assert other["fingerprint"] != before["fingerprint"]


def test_rdjson_counts_columns_in_bytes() -> None:
    item = diagnostic(source="# \U0001f600é ab 16  ", message="m")._replace(column=9, end_column=11)
    (found,) = values(outcome(item), "rdjson")["diagnostics"]
    assert found["location"]["range"] == {"start": {"line": 3, "column": 13}, "end": {"line": 3, "column": 15}}
    assert found["severity"] == "WARNING"


ALPHA = """\
base_model: NousResearch/Llama-3.2-1B  # 😀 é
datasets: [{path: tatsu-lab/alpaca, type: alpaca}]
adapter: lora
lora_r: 64
lora_alpha: 4
lora_target_linear: true
learning_rate: 0.0002
micro_batch_size: 2
num_epochs: 1
"""


def checked(text: str, path: str = "a.yml", code: str = "ALP001") -> Outcome:
    result = Checker(overrides=Overrides(select=(code,), isolated=True)).check(path, text=text)
    assert result is not None
    assert result.diagnostics
    return Outcome([result])


def spliced(text: str, changes: list[tuple[tuple[int, int], tuple[int, int], str]]) -> str:
    """A text with replacements made as a reader of the report would make them."""
    lines = text.splitlines(keepends=True)
    for (line, column), (end_line, end_column), new in sorted(changes, reverse=True):
        before, after = lines[line - 1][: column - 1], lines[end_line - 1][end_column - 1 :]
        lines[line - 1 : end_line] = [before + new + after]
    return "".join(lines)


FIXES = {
    "a number": (ALPHA, "ALP001"),
    "a number, quoted": (ALPHA.replace("lora_alpha: 4", 'lora_alpha: "4"'), "ALP001"),
    "a new key": (ALPHA.replace("lora_alpha: 4\n", ""), "ALP002"),
    "a list that becomes a switch": (
        ALPHA.replace("lora_target_linear: true", "lora_target_modules:\n  - q_proj\n  - k_proj"), "TGT005",
    ),
    "windows line endings": (ALPHA.replace("lora_alpha: 4\n", "").replace("\n", "\r\n"), "ALP002"),
}  # fmt: skip


@pytest.mark.parametrize("name", FIXES)
def test_sarif_has_the_edits_that_fix_makes(name: str) -> None:
    text, code = FIXES[name]
    run = values(checked(text, code=code), "sarif")["runs"][0]
    (result,) = run["results"]
    (change,) = result["fixes"][0]["artifactChanges"]
    edits = [(item["deletedRegion"], item["insertedContent"]["text"]) for item in change["replacements"]]
    made = spliced(
        text,
        [((at["startLine"], at["startColumn"]), (at["endLine"], at["endColumn"]), new) for at, new in edits],
    )
    fixed = fix_text(Checker(overrides=Overrides(select=(code,), isolated=True)), "a.yml", text, unsafe=True)
    assert fixed is not None
    assert fixed.changed
    assert made == fixed.text
    jsonschema.Draft4Validator(SCHEMA).validate(values(checked(text, code=code), "sarif"))


@pytest.mark.parametrize(
    "text",
    [
        ALPHA.replace("lora_alpha: 4", "x: &a 4\nlora_alpha: *a"),
        ALPHA.replace("lora_alpha: 4", "<<: &a {lora_alpha: 4}\nx: *a"),
    ],
)
def test_a_fix_that_would_be_refused_is_in_no_report(text: str) -> None:
    result = checked(text)
    assert "fixes" not in values(result, "sarif")["runs"][0]["results"][0]
    assert "suggestions" not in values(result, "rdjson")["diagnostics"][0]


def test_a_fix_that_breaks_is_left_out_of_the_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("loraplan.fixing.one.ways", broken)
    assert "fixes" not in values(checked(ALPHA), "sarif")["runs"][0]["results"][0]


def test_rdjson_suggests_the_edit() -> None:
    text = '{"😀é": 1, "lora_alpha": 0.5, "peft_type": "LORA", "r": 16, "target_modules": "all-linear"}'
    (found,) = values(checked(text, "adapter_config.json"), "rdjson")["diagnostics"]
    (suggestion,) = found["suggestions"]
    start, end = (suggestion["range"][side]["column"] - 1 for side in ("start", "end"))
    data = text.encode()
    assert data[start:end] == b"0.5"
    assert suggestion["text"] == "32"


def test_rdjson_suggests_nothing_where_two_places_change() -> None:
    text, code = FIXES["a list that becomes a switch"]
    (found,) = values(checked(text, code=code), "rdjson")["diagnostics"]
    assert "suggestions" not in found


def test_addresses_are_those_that_are_stated(monkeypatch: pytest.MonkeyPatch) -> None:
    (rule,) = values(outcome(diagnostic()), "sarif")["runs"][0]["tool"]["driver"]["rules"]
    assert "helpUri" not in rule
    assert "url" not in values(outcome(diagnostic()), "rdjson")["source"]
    stated = {"Source": "https://git.example.org/loraplan", "Rules": "https://docs.example.org/rules"}
    for module in ("sarif", "rdjson"):
        monkeypatch.setattr(f"loraplan.report.{module}.address", stated.get)
    log = values(outcome(diagnostic(), diagnostic()._replace(code="ZZZ001", name="own-rule")), "sarif")
    driver = log["runs"][0]["tool"]["driver"]
    assert driver["informationUri"] == "https://git.example.org/loraplan"
    assert [rule.get("helpUri") for rule in driver["rules"]] == ["https://docs.example.org/rules/ALP001.md", None]
    assert values(outcome(diagnostic()), "rdjson")["source"]["url"] == "https://git.example.org/loraplan"
    jsonschema.Draft4Validator(SCHEMA).validate(log)


def test_sarif_carries_the_rules_page() -> None:
    run = values(outcome(diagnostic(), failures=(FAILURE,)), "sarif")["runs"][0]
    (rule,) = run["tool"]["driver"]["rules"]
    assert rule["id"] == "ALP001"
    assert rule["name"] == "ScalingOutOfRange"
    assert "## Why is this bad?" in rule["help"]["markdown"]
    assert run["results"][0]["ruleIndex"] == 0
    assert run["invocations"][0]["executionSuccessful"] is False
    assert run["invocations"][0]["toolExecutionNotifications"][0]["message"]["text"] == "bad indent"


@pytest.mark.parametrize(
    "result",
    [
        outcome(),
        outcome(diagnostic(), diagnostic("a b#%é.yml", severity="error"), failures=(FAILURE,)),
        outcome(diagnostic()._replace(code="ZZZ001", name="own-rule")),
        outcome(diagnostic(path=HOSTILE, message=HOSTILE, source=HOSTILE)),
    ],
)
def test_sarif_meets_its_schema(result: Outcome) -> None:
    jsonschema.Draft4Validator(SCHEMA).validate(values(result, "sarif"))


@pytest.mark.parametrize("form", FORMATS)
def test_no_file_breaks_out_of_a_report(form: Format) -> None:
    item = diagnostic(path=HOSTILE, message=HOSTILE, source=HOSTILE)
    failure = FAILURE._replace(path=HOSTILE, message=HOSTILE)
    shown = text(outcome(item, failures=(failure,)), form)
    assert "\x1b" not in shown or form in ("github", "azure")
    lines = shown.splitlines()
    if form in ("json", "sarif", "gitlab", "rdjson"):
        json.loads(shown)
    elif form == "junit":
        assert len(ET.fromstring(shown).findall(".//testcase")) == 2
    elif form in ("github", "azure"):
        start = "::error " if form == "github" else "##vso[task.logissue "
        assert len(shown.split("\n")) == 2
        assert shown.split("\n")[1].startswith(start)
    elif form == "markdown":
        assert "<b>" not in shown
        assert lines[2].count("|") == 6
    else:
        assert not any(line.startswith("::error") for line in lines)
