"""The course of `loraplan train` around the trainer: what stops it, what is shown, resumption; `loraplan runs`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from loraplan.cli import main
from loraplan.training import command, launch
from loraplan_trainer.manifest import FILE_NAME, Form
from tests.training.harness import CONFIG
from tests.training.runs import finished
from tests.training.test_prepare import LLAMA

FAKE = str(Path(__file__).with_name("fake_trainer.py"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))  # no nvidia-smi
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "config.json").write_text(json.dumps(LLAMA))
    for name in ("rows", "held"):
        (tmp_path / f"{name}.jsonl").write_text('{"prompt": "p", "completion": "c"}\n' * 64)
    (tmp_path / "run.yaml").write_text(CONFIG)
    _trainer(monkeypatch, "done")
    return tmp_path


def _trainer(monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    def words(directory: Path, processes: int, **_: object) -> list[str]:
        return [sys.executable, FAKE, str(directory / FILE_NAME), word]

    monkeypatch.setattr(launch, "command", words)
    monkeypatch.setattr(command, "missing", list)


def _run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(words)
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


def test_a_run_goes_to_the_next_free_directory(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in (1, 2):
        code, out, _ = _run(capsys, "train", "run.yaml")
        assert code == 0
        assert f"run: runs/run-00{number}" in out
        assert f"report: runs/run-00{number}/report.html" in out
    assert "note: no GPU here: training on the CPU" in out
    assert "start: cpu, 1 process(es)" in out
    manifest = json.loads((folder / "runs" / "run-001" / FILE_NAME).read_text())
    assert (manifest["device"], manifest["sample_prompts"]) == ("cpu", ["p"])


def test_an_error_stops_the_run_and_force_goes_on(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "run.yaml").write_text(CONFIG.replace("dropout: 0.0", "dropout: 1.5"))
    code, out, err = _run(capsys, "train", "run.yaml")
    assert code == 1
    assert "DRP002" in out
    assert "not trained: 1 error (--fix applies safe fixes, --force goes on)" in err
    assert not (folder / "runs").exists()
    assert _run(capsys, "train", "run.yaml", "--force")[0] == 0


def test_safe_fixes_are_applied_first_and_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "c.yml").write_text(
        "base_model: ./tiny\nadapter: lora\nlora_r: 8\nlora_alpha: 16\nlora_target_linear: true\nsequence_len: 64\n"
        "datasets:\n  - path: rows.jsonl\n    type: alpaca\nmicro_batch_size: 1\ngradient_accumulation_steps: 1\n"
        "num_epochs: 1\noptimizer: adamw_torch\nlearning_rate: 2e-4\nbf16: false\n"
        "lr_scheduler: constant\nwarmup_steps: 5\n"
    )
    code, out, err = _run(capsys, "train", "c.yml", "--fix")
    assert code == 0, out + err
    assert "lr_scheduler: constant_with_warmup\n" in (folder / "c.yml").read_text()
    assert "fixed WRM003: set lr_scheduler to constant_with_warmup" in err
    manifest = json.loads((folder / "runs" / "c-001" / FILE_NAME).read_text())
    assert manifest["plan"]["schedule"]["name"] == "constant_with_warmup"


@pytest.mark.parametrize(("word", "code"), [("memory", 3), ("crash", 1)])
def test_the_trainers_failure_is_the_commands(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, word: str, code: int
) -> None:
    _trainer(monkeypatch, word)
    found, out, err = _run(capsys, "train", "run.yaml")
    assert found == code
    if word == "memory":
        assert "error: out of memory in phase backward\n  would fit: nf4: 3 GiB" in out
    else:
        assert "ValueError: a bug" in err
    assert (folder / "runs" / "run-001" / "report.md").is_file()


def test_the_extra_is_named_where_it_is_missing(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "missing", lambda: ["torch", "trl"])
    code, _, err = _run(capsys, "train", "run.yaml")
    assert code == 2
    assert "training needs torch, trl: pip install 'loraplan[train]'" in err


def test_a_card_that_is_too_small_stops_it_before_loading(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    smi = folder / "nvidia-smi"
    smi.write_text("#!/bin/sh\necho '0, Toy GPU, 64, 60, 580'\n")
    smi.chmod(0o755)
    code, out, err = _run(capsys, "train", "run.yaml")
    assert code == 1
    assert "device: 1 x Toy GPU, 64 MiB each, 60 MiB in use" in out
    assert "not trained: it will not fit on the Toy GPU, of which 4 MiB are free" in err
    assert not (folder / "runs").exists()


def test_resuming_takes_the_run_as_it_was_begun(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(capsys, "train", "run.yaml", "--quiet")[0] == 0
    code, out, _ = _run(capsys, "train", "run.yaml", "--resume")
    assert code == 0
    assert "run: runs/run-001" in out
    manifest = json.loads((folder / "runs" / "run-001" / FILE_NAME).read_text())
    assert manifest["resume"] is True
    (folder / "run.yaml").write_text(CONFIG.replace("r: 8", "r: 16"))
    code, _, err = _run(capsys, "train", "run.yaml", "--resume")
    assert code == 2
    assert "adapter.r: 8.0 -> 16" in err
    assert _run(capsys, "train", "run.yaml", "--resume", "--force")[0] == 0
    manifest = json.loads((folder / "runs" / "run-001" / FILE_NAME).read_text())
    assert manifest["plan"]["adapter"]["r"] == 8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--resume", "--overwrite", "--output-dir", "x"), "one of them"),
        (("--overwrite",), "--overwrite needs --output-dir"),
        (("--nodes", "2"), "--nodes needs --rendezvous"),
        (("--node-rank", "1"), "there are 1 machines"),
        (("--resume",), "no run of run.yaml under runs/"),
        (("--data", "none.jsonl"), "none.jsonl not found"),
        (("--run", "other"), "has no run 'other'"),
        (("--export", "x.txt"), "name a kind"),
    ],
)
def test_mistakes_are_exit_code_2(
    folder: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], message: str
) -> None:
    code, _, err = _run(capsys, "train", "run.yaml", *options)
    assert code == 2
    assert message in err
    assert not (folder / "runs").exists()


def test_the_demos_json_is_alone_on_standard_output(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from loraplan.training.demo import course, weights

    monkeypatch.setattr(course, "missing", list)
    monkeypatch.setattr(weights, "find", lambda say: weights.Weights(str(folder / "tiny"), "a test"))
    scores = course.Scores(3.0, 0, 60, [""] * 60), course.Scores(0.5, 45, 60, [""] * 60)
    monkeypatch.setattr(course, "score", lambda directory, model: scores)
    code, out, err = _run(capsys, "demo", "--format", "json")
    assert code == 0, err
    found = json.loads(out)
    assert (found["before"]["exact_match"], found["after"]["exact_match"]) == (0, 75)
    assert found["run"]["state"] == "done"
    assert "from a test" in err
    code, out, _ = _run(capsys, "demo")
    assert code == 0
    assert "held-out exact match  0 % -> 75 % (0 -> 45 of 60)" in out


def test_the_forms_of_the_command_line_are_the_trainers() -> None:
    from typing import get_args

    from loraplan.cli.train import command as train

    [option] = [item for item in train.params if item.name == "data_form"]
    assert tuple(option.type.choices) == get_args(Form)  # type: ignore[attr-defined]


def test_runs_are_listed_and_compared(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(capsys, "runs")[1] == "no runs in runs/\n"
    finished(folder / "runs" / "a")
    finished(folder / "runs" / "b", losses=(3.0, 2.0, 1.5, 0.5), adapter__r=16.0)
    (folder / "runs" / "c").mkdir()
    (folder / "runs" / "c" / FILE_NAME).write_text("{")
    code, out, err = _run(capsys, "runs")
    assert code == 0
    assert "c/manifest.json" in err
    head, first, second = out.splitlines()
    assert head.split()[:4] == ["run", "state", "steps", "loss"]
    assert (first.split()[:4], second.split()[:4]) == (["a", "done", "4", "1.0000"], ["b", "done", "4", "0.5000"])
    listed = json.loads(_run(capsys, "runs", "--format", "json")[1])
    assert [run["last_loss"] for run in listed["runs"]] == [1.0, 0.5]
    assert listed["runs"][0]["tokens_per_s"] == pytest.approx(276.9, abs=0.1)
    compared = json.loads(_run(capsys, "runs", "runs/a", "runs/b", "--format", "json")[1])
    assert compared["config"] == [{"name": "adapter.r", "old": 8.0, "new": 16.0}]
    assert compared["surroundings"] == []
    assert {"name": "last_loss", "old": 1.0, "new": 0.5} in compared["outcome"]
    text = _run(capsys, "runs", "runs/a", "runs/b")[1]
    assert "  adapter.r  8  -> 16" in text
    assert "surroundings: the same" in text
    assert _run(capsys, "runs", "nowhere")[0] == 2
    assert _run(capsys, "runs", "runs/a", "runs/c")[0] == 2
