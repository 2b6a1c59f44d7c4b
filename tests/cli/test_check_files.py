"""`loraplan check` writing its report to a file, and accepting a repository's present findings."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from loraplan.cli import main

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
num_epochs: 1
"""
ONLY = ("--select", "ALP001", "--format", "concise")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / ".git").mkdir()
    (tmp_path / "bad.yml").write_text(BAD)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as caught:
        main(["check", *arguments])
    assert isinstance(caught.value.code, int)
    return caught.value.code, *capsys.readouterr()


def test_the_report_goes_to_a_file(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = project / "report.txt"
    out.write_text("old")
    out.chmod(0o640)
    assert run(capsys, "bad.yml", *ONLY, "-o", "report.txt", "--color", "always") == (1, "", "")
    first, last = out.read_text().splitlines()
    assert first.startswith("bad.yml:7:13: ALP001 warning: ")
    assert last == "1 warning in 1 file"
    assert stat.S_IMODE(out.stat().st_mode) == 0o640
    assert sorted(item.name for item in project.iterdir()) == [".git", "bad.yml", "report.txt"]


def test_a_link_to_the_report_stays_a_link(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "link").symlink_to("target")
    run(capsys, "bad.yml", *ONLY, "-o", "link")
    assert (project / "link").is_symlink()
    assert (project / "target").read_text().endswith("1 warning in 1 file\n")


def test_a_place_that_cannot_be_written_is_exit_code_2(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "bad.yml", *ONLY, "-o", "none/report.txt")
    assert (code, out) == (2, "")
    assert "none/report.txt: No such file or directory" in err


def test_accepted_findings_are_not_reported(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "bad.yml", *ONLY, "--write-baseline-findings", "accepted.json")
    assert (code, out, err) == (0, "no findings in 1 file\n", "1 finding accepted by accepted.json\n")
    (finding,) = json.loads((project / "accepted.json").read_text())["findings"]
    assert (finding["path"], finding["code"], finding["count"]) == ("bad.yml", "ALP001", 1)
    (project / "bad.yml").write_text("# moved\n\n" + BAD.replace("lora_alpha: 4", "lora_alpha:  4"))
    assert run(capsys, "bad.yml", *ONLY, "--baseline-findings", "accepted.json")[0] == 0


def test_another_working_directory_does_not_matter(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(capsys, "bad.yml", *ONLY, "--write-baseline-findings", "accepted.json")
    monkeypatch.chdir(project.parent)
    name = project.name
    assert run(capsys, f"{name}/bad.yml", *ONLY, "--baseline-findings", f"{name}/accepted.json")[0] == 0


def test_new_findings_are_reported(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "bad.yml", *ONLY, "--write-baseline-findings", "accepted.json")
    (project / "bad.yml").write_text(BAD.replace("lora_alpha: 4", "lora_alpha: 2"))
    (project / "new.yml").write_text(BAD)
    code, out, err = run(capsys, "bad.yml", "new.yml", *ONLY, "--baseline-findings", "accepted.json")
    assert code == 1
    assert [line.partition(" ")[0] for line in out.splitlines()] == ["bad.yml:7:13:", "new.yml:7:13:", "2"]
    assert err == "0 findings accepted by accepted.json\n"


@pytest.mark.parametrize("content", ["{", "[]", '{"version": 2, "findings": []}', '{"version": 1, "findings": [1]}'])
def test_a_file_that_is_no_baseline_is_exit_code_2(
    project: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    (project / "accepted.json").write_text(content)
    code, out, err = run(capsys, "bad.yml", *ONLY, "--baseline-findings", "accepted.json")
    assert (code, out) == (2, "")
    assert "accepted.json: " in err


def test_named_files_that_are_no_configs_are_passed_over(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "package.json").write_text('{"name": "lora"}')
    (project / "setup.py").write_text("import lora\n")
    (project / "loraplan.toml").write_text('exclude = ["old.yml"]\n')
    (project / "old.yml").write_text(BAD)
    others = ("package.json", "setup.py", "old.yml")
    assert run(capsys, *others, *ONLY, "--only-configs")[0] == 0
    code, out, _ = run(capsys, "bad.yml", *others, *ONLY, "--only-configs")
    assert (code, out.count("ALP001")) == (1, 1)
    assert run(capsys, "missing.yml", *ONLY, "--only-configs")[0] == 2
    assert run(capsys, "package.json", *ONLY)[0] == 2
