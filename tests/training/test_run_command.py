"""`loraplan train` with the real trainer: reports, resumption, exports that run, two processes."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.trainer.tiny import pairs, write_rows
from tests.training.harness import CONFIG, loraplan


@pytest.fixture
def folder(tiny_model: Path, tmp_path: Path) -> Path:
    shutil.copytree(tiny_model, tmp_path / "tiny")
    write_rows(tmp_path / "rows.jsonl", pairs(48))
    write_rows(tmp_path / "held.jsonl", pairs(8))
    (tmp_path / "run.yaml").write_text(CONFIG, encoding="utf-8")
    return tmp_path


def _log(directory: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (directory / "log.jsonl").read_text().splitlines()]


def _losses(directory: Path) -> list[float]:
    return [record["loss"] for record in _log(directory) if record["event"] == "step"]  # type: ignore[misc]


def test_a_run_leaves_its_report_samples_and_a_measured_row(folder: Path) -> None:
    done = loraplan(folder, "train", "run.yaml", "--output-dir", "run", "--sample-prompt", "what comes after red ?")
    assert done.returncode == 0, done.stdout + done.stderr
    names = {path.name for path in (folder / "run").iterdir()}
    assert {
        "manifest.json",
        "log.jsonl",
        "checkpoints",
        "adapter",
        "report.md",
        "report.html",
        "measured.jsonl",
    } <= names
    page = (folder / "run" / "report.html").read_text()
    assert page.count("<svg") == 4
    assert "what comes after red ?" in page
    row = json.loads((folder / "run" / "measured.jsonl").read_text())
    assert row["measured_bytes"] > 0
    assert row["metric"].startswith("resident set size")
    losses = _losses(folder / "run")
    assert losses[-1] < losses[0]
    assert {record["when"] for record in _log(folder / "run") if record["event"] == "sample"} == {"before", "after"}
    _check_scores(folder)
    again = loraplan(folder, "train", "run.yaml", "--output-dir", "run")
    assert again.returncode == 2
    assert "--overwrite replaces the run in it" in again.stderr


def _check_scores(folder: Path) -> None:
    """The held-out score agrees with the trainer's own evaluation, and counts what is exactly right."""
    words = ["loraplan_trainer.score", "tiny", "run/adapter", "held.jsonl", "scores.json"]
    done = subprocess.run([sys.executable, "-m", *words], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    scores = json.loads((folder / "scores.json").read_text())
    [evaluated] = [record for record in _log(folder / "run") if record["event"] == "eval"]
    assert scores["after"]["loss"] == pytest.approx(evaluated["loss"], abs=1e-3)
    assert scores["after"]["loss"] < scores["before"]["loss"]
    rows = [json.loads(line) for line in (folder / "held.jsonl").read_text().splitlines()]
    written = scores["after"]["written"]
    right = [text.strip() == row["completion"].strip() for text, row in zip(written, rows, strict=True)]
    assert scores["after"]["right"] == sum(right)
    assert scores["after"]["examples"] == len(rows)


def test_a_dry_run_leaves_nothing_behind(folder: Path) -> None:
    before = sorted(path.name for path in folder.iterdir())
    done = loraplan(folder, "train", "run.yaml", "--dry-run", "--no-samples")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "everything up to the first step works" in done.stdout
    assert sorted(path.name for path in folder.iterdir()) == before


def test_the_exported_script_gives_the_same_losses(folder: Path) -> None:
    options = ("--no-samples", "--plain")
    assert loraplan(folder, "train", "run.yaml", "--output-dir", "run", *options).returncode == 0
    done = loraplan(folder, "train", "run.yaml", "--output-dir", "plain", "--device", "cpu", "--export", "script.py")
    assert done.returncode == 0, done.stderr
    text = (folder / "script.py").read_text()
    assert "import loraplan" not in text
    assert "from loraplan" not in text
    ran = subprocess.run([sys.executable, "script.py"], cwd=folder, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    states = sorted((folder / "plain" / "checkpoints").glob("checkpoint-*/trainer_state.json"))
    history = json.loads(states[-1].read_text())["log_history"]
    plain = [record["loss"] for record in history if "loss" in record]
    assert plain == pytest.approx(_losses(folder / "run"), abs=1e-4)
    assert (folder / "plain" / "adapter" / "adapter_model.safetensors").is_file()


def test_two_processes_share_a_run(folder: Path) -> None:
    options = ("--processes", "2", "--max-steps", "2", "--no-samples")
    done = loraplan(folder, "train", "run.yaml", "--output-dir", "two", *options)
    assert done.returncode == 0, done.stdout + done.stderr + (folder / "two" / "output.txt").read_text()
    [start] = [record for record in _log(folder / "two") if record["event"] == "start"]
    assert start["processes"] == 2
    assert len(_losses(folder / "two")) == 2


def test_two_machines_meet_on_loopback(folder: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "loraplan", "train", "run.yaml", "--output-dir", "nodes", "--processes", "2"]
    words += ["--nodes", "2", "--rendezvous", f"127.0.0.1:{port}", "--max-steps", "2", "--no-samples"]
    machines = [
        subprocess.Popen([*words, "--node-rank", str(rank)], cwd=folder, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True)
        for rank in (0, 1)
    ]  # fmt: skip
    said = [machine.communicate()[0] for machine in machines]
    assert [machine.returncode for machine in machines] == [0, 0], "\n".join(said)
    [start] = [record for record in _log(folder / "nodes") if record["event"] == "start"]
    assert start["processes"] == 2
    assert len(_losses(folder / "nodes")) == 2


def test_a_config_named_like_a_library_is_not_imported(folder: Path) -> None:
    (folder / "peft.py").write_text("raise SystemExit('imported')\n", encoding="utf-8")
    done = loraplan(folder, "train", "run.yaml", "--dry-run", "--no-samples")
    assert done.returncode == 0, done.stdout + done.stderr
