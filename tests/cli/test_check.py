"""`loraplan check` from arguments to exit code."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import jsonschema
import pytest

from loraplan.cli import BROKEN_PIPE, INTERRUPTED, main

BAD = """\
base_model: NousResearch/Llama-3.2-1B
datasets:
  - path: tatsu-lab/alpaca
    type: alpaca
adapter: lora
lora_r: 64
lora_alpha: 4
lora_target_linear: true
learning_rate: 0.0002
warmup_ratio: 0.03
micro_batch_size: 2
gradient_accumulation_steps: 8
num_epochs: 1
bf16: true
sequence_len: 2048
optimizer: adamw_torch
lr_scheduler: cosine
gradient_checkpointing: true
"""
GOOD = BAD.replace("lora_alpha: 4", "lora_alpha: 128")
ONLY = ("--select", "ALP001")


class Run(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / ".git").mkdir()
    (tmp_path / "bad.yml").write_text(BAD)
    (tmp_path / "good.yml").write_text(GOOD)
    monkeypatch.chdir(tmp_path)
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> Run:
    with pytest.raises(SystemExit) as caught:
        main(list(arguments))
    out, err = capsys.readouterr()
    assert isinstance(caught.value.code, int)
    return Run(caught.value.code, out, err)


def test_a_finding_is_exit_code_1(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = run(capsys, "check", "bad.yml", *ONLY, "--format", "concise")
    assert found.code == 1
    first, last = found.out.splitlines()
    assert first.startswith("bad.yml:7:13: ALP001 warning: ")
    assert last == "1 warning in 1 file"
    assert found.err == ""


def test_a_clean_file_is_exit_code_0_and_told_so(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = run(capsys, "check", "good.yml", *ONLY)
    assert found == Run(
        0,
        "good.yml: axolotl, LoRA r=64 on NousResearch/Llama-3.2-1B: no findings\nno findings in 1 file\n",
        "",
    )


def test_text_has_the_line_with_a_caret(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = run(capsys, "check", "bad.yml", *ONLY).out.splitlines()
    at = lines.index("7 | lora_alpha: 4")
    assert lines[at + 1] == "  |             ^"
    assert lines[at + 2].startswith("  = from: lora_alpha")
    assert any(line.startswith("  = fix: ") for line in lines)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--fail-on", "error"), 0),
        (("--fail-on", "warning"), 1),
        (("--fail-on", "info"), 1),
        (("--exit-zero",), 0),
        (("--ignore", "ALP"), 1),
        (("--ignore", "ALP001"), 0),
        (("--ignore", "scaling-out-of-range"), 0),
    ],
)
def test_what_fails(project: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], code: int) -> None:
    assert run(capsys, "check", "bad.yml", *ONLY, *options).code == code


def test_a_directory_is_searched_and_the_current_one_is_the_default(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "other.yml").write_text("# lora\nservices: {}\n")
    (project / "helm.yml").write_text("{{- if .Values.lora }}\nlora: 1\n{{- end }}\n")
    found = run(capsys, "check", *ONLY, "--format", "json")
    report = json.loads(found.out)
    assert [item["path"] for item in report["files"]] == ["bad.yml", "good.yml"]
    assert report["summary"]["unrecognised"] == 2
    assert (found.code, found.err) == (1, "")
    assert json.loads(run(capsys, "check", ".", *ONLY, "--format", "json").out) == report


def test_a_directory_without_configs_is_said_to_be_one(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "empty").mkdir()
    found = run(capsys, "check", "empty")
    assert found == Run(0, "no findings in 0 files\n", "warning: no training config found in empty\n")


def test_json_is_as_its_schema_says(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    schema = json.loads(files("loraplan").joinpath("schema/check-v1.schema.json").read_text("utf-8"))
    report = json.loads(run(capsys, "check", "bad.yml", "good.yml", "missing.yml", "--format", "json").out)
    jsonschema.validate(report, schema, cls=jsonschema.Draft202012Validator)
    assert report["files"][0]["runs"][0]["format"] == "axolotl"
    assert report["errors"][0]["path"] == "missing.yml"
    assert report["summary"]["exit_code"] == 2


def test_a_named_file_that_is_no_config_lists_what_was_looked_for(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "compose.yml").write_text("services: {}\n")
    found = run(capsys, "check", "compose.yml", "bad.yml", *ONLY)
    assert found.code == 2
    lines = found.err.splitlines()
    assert lines[0].startswith("compose.yml: error: not recognised as a training config; name its format")
    assert any(line.startswith("  axolotl: ") for line in lines)
    assert "bad.yml:7:13: warning ALP001" in found.out


def test_a_file_that_is_plainly_something_else_is_called_that(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "accelerate.yml").write_text("compute_environment: LOCAL_MACHINE\ndistributed_type: MULTI_GPU\n")
    assert run(capsys, "check", "accelerate.yml").err == (
        "accelerate.yml: error: this is an accelerate launch config, not a training config\n"
    )


@pytest.mark.parametrize("content", [None, b"\x00\x01\x02", b"a: [1\n", b"", b"caf\xe9: 1\n"])
def test_what_cannot_be_read_is_exit_code_2_and_the_rest_is_checked(
    project: Path, capsys: pytest.CaptureFixture[str], content: bytes | None
) -> None:
    if content is not None:
        (project / "x.yml").write_bytes(content)
    found = run(capsys, "check", "x.yml", "bad.yml", *ONLY, "--format", "concise")
    assert found.code == 2
    assert found.err.startswith("x.yml")
    assert ": error: " in found.err
    assert "bad.yml:7:13: ALP001" in found.out


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "bad.yml").chmod(0)
    found = run(capsys, "check", "bad.yml")
    assert (found.code, found.out.count("\n")) == (2, 0)


def test_standard_input(project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def give(data: bytes) -> None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))

    give(BAD.encode())
    found = run(capsys, "check", "-", *ONLY, "--format", "concise", "-q")
    assert (found.code, found.out[:22]) == (1, "<stdin>:7:13: ALP001 w")
    give(BAD.encode())
    found = run(capsys, "check", "-", *ONLY, "--format", "concise", "--stdin-filename", "conf/a.yml")
    assert found.out.startswith("conf/a.yml:7:13: ALP001")
    give(b"\xff\xfe\x00")
    found = run(capsys, "check", "-")
    assert found.code == 2
    assert found.err.startswith("<stdin>")


def test_settings_hold_and_isolated_ignores_them(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "pyproject.toml").write_text('[tool.loraplan]\nignore = ["ALP001"]\nfail-on = "error"\n')
    assert run(capsys, "check", "bad.yml", "--select", "ALP,RNK").code == 0
    assert "ALP001" in run(capsys, "check", "bad.yml", "--select", "ALP,RNK", "--isolated").out
    (project / "other.toml").write_text('select = ["ALP"]\n')
    assert run(capsys, "check", "bad.yml", "--settings", "other.toml").code == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ('selct = ["ALP"]', "loraplan.toml: selct: no such setting; did you mean `select`?"),
        ('select = ["ALPP"]', "loraplan.toml: no rule has the code, prefix or name `ALPP`; did you mean `ALP`?"),
        ('ignore = ["scaling-out-of-rang"]', "did you mean `scaling-out-of-range`?"),
        ("[rules.ALP01]\nmin = 1", "loraplan.toml: rules.ALP01: no rule has the code"),
        ("[rules.ALP001]\nmim = 1", "loraplan.toml: rules.ALP001.mim: no such option; did you mean `min`?"),
        ('rule-packages = ["no_such_package"]', "rule package `no_such_package`: No module named 'no_such_package'"),
        ('gpu = "voodoo2"', "loraplan.toml: gpu: unknown GPU `voodoo2`; known: "),
    ],
)
def test_a_settings_error_is_exit_code_2(
    project: Path, capsys: pytest.CaptureFixture[str], settings: str, message: str
) -> None:
    (project / "loraplan.toml").write_text(settings + "\n")
    found = run(capsys, "check", "bad.yml")
    assert (found.code, found.out) == (2, "")
    assert message in found.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--select", "ALP01"), "no rule has the code, prefix or name `ALP01`; did you mean `ALP001`?"),
        (("--ignore", "WARM"), "no rule has the code, prefix or name `WARM`"),
        (("--gpu", "a101"), "unknown GPU `a101`; did you mean `a10`"),
        (("--config-format", "axolot"), "'axolot' is no config format; did you mean 'axolotl'?"),
        (("--framework-version", "transformers"), "expected a framework and its version"),
        (("--dataset-size", "0"), "0 is not in the range x>=1"),
        (("--format", "xml"), "'xml' is not one of"),
        (("--settings", "nowhere.toml"), "nowhere.toml: No such file or directory"),
    ],
)
def test_a_wrong_option_is_exit_code_2(
    project: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], message: str
) -> None:
    found = run(capsys, "check", "bad.yml", *options)
    assert (found.code, found.out) == (2, "")
    assert message in found.err


@pytest.mark.parametrize(
    ("environment", "options", "coloured"),
    [
        ({}, (), False),
        ({"FORCE_COLOR": "1"}, (), True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, (), False),
        ({"NO_COLOR": "1"}, ("--color", "always"), True),
        ({"FORCE_COLOR": "1"}, ("--color", "never"), False),
    ],
)
def test_colour(
    project: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    options: tuple[str, ...],
    coloured: bool,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert ("\x1b[" in run(capsys, "check", "bad.yml", *ONLY, *options).out) is coloured


def test_the_width_is_respected(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "wide.yml").write_text(BAD.replace("lora_alpha: 4", "lora_alpha: 4  # " + "long " * 60))
    monkeypatch.setenv("COLUMNS", "60")
    lines = run(capsys, "check", "wide.yml", *ONLY).out.splitlines()
    assert "..." in next(line for line in lines if line.startswith("7 | "))
    assert all(len(line) <= 60 for line in lines if line.startswith(("7 |", "  |", "  =", "    ")))


def test_an_interrupt_is_said_and_is_no_traceback(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("loraplan.engine.Checker.check", interrupt)
    found = run(capsys, "check", "bad.yml")
    assert found.code == INTERRUPTED
    assert found.err.strip() == "interrupted"


def _python(*arguments: str, **options: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "loraplan", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)  # type: ignore[call-overload, no-any-return]


def test_a_closed_pipe_is_no_traceback(project: Path) -> None:
    with _python("explain", "ALP001") as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert process.returncode == BROKEN_PIPE


def test_an_output_that_is_not_utf8_gets_escapes(project: Path) -> None:
    (project / "u.yml").write_text(BAD.replace("lora_alpha: 4", "lora_alpha: 4  # naïve ✓"), encoding="utf-8")
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0"}
    with _python("check", "u.yml", *ONLY, env=environment) as process:
        out, err = process.communicate()
    assert (process.returncode, err) == (1, b"")
    assert b"7 | lora_alpha: 4  # na\xefve \\u2713" in out
