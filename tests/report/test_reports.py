"""Whole reports, character by character, on made-up results."""

from __future__ import annotations

import json
from importlib.resources import files

import jsonschema
import pytest

from loraplan import __version__
from loraplan.document import Position, Span
from loraplan.origin import Default, Derived, Explicit, Origin
from loraplan.report import Style, render
from loraplan.report.text import failure, painter
from loraplan.result import Diagnostic, Failure, FileResult, Outcome, Recognised, Skipped
from loraplan.rule import Change, Fix, Remove, RenameKey, Set, Severity

RUN = Recognised(
    "axolotl", "base_model + datasets", "axolotl", None, "axolotl 0.19.0", None, "a/b", "QLoRA r=64 on a/b"
)
WRITTEN = Explicit("qlora.yml", ("lora_alpha",), Span(0, 2), Span(0, 1))
DEFAULT = Default("axolotl", "0.19.0", "src/axolotl/utils/schemas/peft.py", "lora_dropout")


def diagnostic(
    line: int = 3,
    column: int = 13,
    severity: Severity = "warning",
    code: str = "ALP001",
    message: str = "alpha 16 < rank 64: the update is scaled by 0.25",
    source: str = "lora_alpha: 16",
    length: int = 2,
    origin: Origin | None = WRITTEN,
    changes: tuple[Change, ...] = (Set("adapter.alpha", 128),),
    run: str | None = None,
    path: str = "qlora.yml",
) -> Diagnostic:
    return Diagnostic(
        path, line, column, code, "scaling-out-of-range", severity, message, line, column + length, Span(0, 2),
        "alpha/r multiplies the update", "set lora_alpha to 128", "adapter.alpha", "lora_alpha", origin,
        Fix("set lora_alpha to 128", changes, "unsafe") if changes else None, source, run,
    )  # fmt: skip


def outcome(*found: Diagnostic, failures: tuple[Failure, ...] = (), skipped: tuple[Skipped, ...] = ()) -> Outcome:
    file = FileResult("qlora.yml", [RUN], list(found), list(skipped), list(failures))
    return Outcome([file])


UNKNOWN = ("model architecture unknown", "model architecture unknown: a/b", None)
SKIPPED = (
    Skipped("qlora.yml", "TGT001", "target-matches-nothing", *UNKNOWN),
    Skipped("qlora.yml", "TGT002", "target-partly-unmatched", *UNKNOWN),
    Skipped("qlora.yml", "DRP001", "high-dropout", "dataset size unknown", "dataset size unknown", None),
)


def text(result: Outcome, style: Style | None = None, form: str = "text") -> str:
    return "\n".join(render(result, form, style or Style(width=80)))  # type: ignore[arg-type]


def test_text() -> None:
    found = (
        diagnostic(),
        diagnostic(9, 1, "error", "RNK001", "rank 0 is no rank", "lora_r: 0", 6, None, ()),
        diagnostic(1, 1, "info", "TGT004", "only attention is adapted", origin=DEFAULT),
    )
    assert (
        text(outcome(*found, skipped=SKIPPED))
        == """\
qlora.yml:3:13: warning ALP001 alpha 16 < rank 64: the update is scaled by 0.25
  |
3 | lora_alpha: 16
  |             ^^
  = from: lora_alpha, written on line 3
  = why: alpha/r multiplies the update
  = fix: set lora_alpha to 128 (unsafe: it changes what is trained)

qlora.yml:9:1: error RNK001 rank 0 is no rank
  |
9 | lora_r: 0
  | ^^^^^^
  = from: lora_alpha is not set
  = why: alpha/r multiplies the update
  = fix: set lora_alpha to 128

qlora.yml:1:1: info TGT004 only attention is adapted
  = fix: set lora_alpha to 128 (unsafe: it changes what is trained)

1 error, 1 warning, 1 info in 1 file
3 rules skipped: model architecture unknown (2), dataset size unknown (1) (--verbose lists them)"""
    )


def test_text_of_a_clean_file_says_what_was_recognised() -> None:
    assert text(outcome()) == "qlora.yml: axolotl, QLoRA r=64 on a/b: no findings\nno findings in 1 file"


def test_quiet_text_has_findings_only() -> None:
    assert text(outcome(), Style(quiet=True)) == ""
    assert text(outcome(diagnostic(), skipped=SKIPPED), Style(quiet=True)).endswith("it changes what is trained)\n")


def test_verbose_text_lists_the_skipped_rules() -> None:
    lines = text(outcome(skipped=SKIPPED), Style(verbose=True)).splitlines()
    assert lines[-4] == "3 rules skipped: model architecture unknown (2), dataset size unknown (1)"
    assert lines[-3] == "  qlora.yml: TGT001 target-matches-nothing: model architecture unknown: a/b"


def test_many_clean_files_are_counted() -> None:
    result = Outcome([FileResult(f"{number}.yml", [RUN]) for number in range(6)], unrecognised=2)
    assert text(result) == "no findings in 6 files; 2 files not recognised as configs"


@pytest.mark.parametrize(
    ("origin", "words"),
    [
        (DEFAULT, "axolotl 0.19.0 default (src/axolotl/utils/schemas/peft.py)"),
        (DEFAULT._replace(source="axolotl 0.19.0 peft.py"), "axolotl default (axolotl 0.19.0 peft.py)"),
        (Derived(("adapter.r",), "2r"), "derived from adapter.r: 2r"),
        (Derived((), "the file is an adapter"), "derived: the file is an adapter"),
        (WRITTEN._replace(shared=True), "lora_alpha, through an alias or variable that serves other places too"),
        (None, "lora_alpha is not set"),
    ],
)
def test_text_says_where_the_value_comes_from(origin: Origin | None, words: str) -> None:
    assert f"  = from: {words}" in text(outcome(diagnostic(origin=origin)), Style(width=120)).splitlines()


def test_notes_are_wrapped_to_the_width() -> None:
    lines = text(outcome(diagnostic()._replace(why="word " * 40)), Style(width=60)).splitlines()
    notes = [line for line in lines if "word" in line]
    assert len(notes) > 3
    assert all(len(line) <= 60 for line in notes)
    assert notes[1].startswith(" " * 9 + "word")


def test_colours_are_only_there_when_asked_for() -> None:
    plain = text(outcome(diagnostic()))
    coloured = text(outcome(diagnostic()), Style(width=80, color=True))
    assert "\x1b" not in plain
    assert "\x1b[1;33mwarning ALP001\x1b[0m" in coloured


def test_a_file_cannot_steer_the_terminal() -> None:
    item = diagnostic(message="bad \x1b[2Jkey", source="\x1b]0;x\x07lora", run="\x1b[1m")
    for form in ("text", "concise"):
        assert "\x1b" not in text(outcome(item), form=form)


def test_concise() -> None:
    result = outcome(diagnostic(9, 1, "error", "RNK001", "rank 0 is no rank"), diagnostic(), skipped=SKIPPED)
    assert (
        text(result, Style(statistics=True), "concise")
        == """\
qlora.yml:3:13: ALP001 warning: alpha 16 < rank 64: the update is scaled by 0.25
qlora.yml:9:1: RNK001 error: rank 0 is no rank
    1  ALP001  scaling-out-of-range
    1  RNK001  scaling-out-of-range
1 error, 1 warning in 1 file; 3 rules skipped: model architecture unknown (2), dataset size unknown (1)"""
    )


def test_github_escapes_what_its_commands_would_read() -> None:
    item = diagnostic(message="100%\nof a, b: c", path="a,b:c.yml")
    lines = text(
        outcome(item, failures=(Failure("x.yml", "unreadable", "broken", "mend it", Position(4, 2)),)), form="github"
    )
    first, second = lines.splitlines()
    assert first == (
        "::warning file=a%2Cb%3Ac.yml,line=3,col=13,endLine=3,endColumn=15,title=ALP001 scaling-out-of-range"
        "::100%25%0Aof a, b: c%0Aalpha/r multiplies the update"
        "%0Afix: set lora_alpha to 128 (unsafe: it changes what is trained)"
    )
    assert second == "::error file=x.yml,line=4,col=2,title=LoRAPlan could not check this::broken; mend it"


def test_json_is_as_its_schema_says() -> None:
    schema = json.loads(files("loraplan").joinpath("schema/check-v1.schema.json").read_text("utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    result = outcome(
        diagnostic(),
        diagnostic(1, 1, "info", origin=DEFAULT, changes=()),
        diagnostic(2, 1, "error", origin=Derived(("adapter.r",), "2r"), changes=(Remove("adapter.r"),)),
        diagnostic(4, 1, origin=None, changes=(RenameKey(Span(3, 5), "lora_r", None), Set("adapter.r", float("inf")))),
        failures=(Failure("x.yml", "unreadable", "broken", "", Position(4, 2)),),
        skipped=SKIPPED,
    )
    report = json.loads(text(result, form="json"))
    jsonschema.validate(report, schema, cls=jsonschema.Draft202012Validator)
    assert report["version"] == 1
    assert report["loraplan"] == __version__
    assert [item["line"] for item in report["findings"]] == [1, 2, 3, 4]
    first = report["findings"][2]
    assert first == {
        "path": "qlora.yml",
        "line": 3,
        "column": 13,
        "end_line": 3,
        "end_column": 15,
        "code": "ALP001",
        "name": "scaling-out-of-range",
        "severity": "warning",
        "message": "alpha 16 < rank 64: the update is scaled by 0.25",
        "why": "alpha/r multiplies the update",
        "remedy": "set lora_alpha to 128",
        "field": "adapter.alpha",
        "key": "lora_alpha",
        "origin": {"kind": "explicit", "key_path": ["lora_alpha"], "shared": False},
        "fix": {
            "title": "set lora_alpha to 128",
            "applicability": "unsafe",
            "changes": [{"kind": "set", "field": "adapter.alpha", "value": 128}],
        },
        "run": None,
    }
    assert report["summary"] == {
        "files": 1, "unrecognised": 0, "error": 1, "warning": 2, "info": 1, "suppressed": 0, "skipped_rules": 3,
        "exit_code": 2,
    }  # fmt: skip
    assert report["errors"][0]["line"] == 4


@pytest.mark.parametrize(
    ("severities", "fail_on", "exit_zero", "code"),
    [
        ((), "info", False, 0),
        (("info",), "warning", False, 0),
        (("info",), "info", False, 1),
        (("info", "warning"), "warning", False, 1),
        (("warning",), "error", False, 0),
        (("error",), "error", False, 1),
        (("error",), "warning", True, 0),
    ],
)
def test_exit_codes(severities: tuple[Severity, ...], fail_on: Severity, exit_zero: bool, code: int) -> None:
    result = outcome(*(diagnostic(severity=severity) for severity in severities))
    result.fail_on, result.exit_zero = fail_on, exit_zero
    assert result.exit_code == code


def test_what_could_not_be_checked_outweighs_the_rest() -> None:
    result = outcome(diagnostic(), failures=(Failure("x.yml", "unreadable", "broken", "mend it"),))
    result.exit_zero = True
    assert result.exit_code == 2


def test_a_bug_shows_its_traceback_only_when_verbose() -> None:
    item = Failure("x.yml", "bug", "bug in LoRAPlan: boom", "report it", None, ("loraplan 0.1", "  File"))
    assert list(failure(item, verbose=False, paint=painter(False))) == [
        "x.yml: error: bug in LoRAPlan: boom; report it",
        "  loraplan 0.1",
    ]
    assert len(list(failure(item, verbose=True, paint=painter(False)))) == 3
