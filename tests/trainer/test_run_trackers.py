"""Trackers in real runs: metrics land there, and what cannot start is refused before the model is loaded."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from loraplan_trainer.manifest import FILE_NAME
from tests.trainer.harness import make_manifest, rows_file
from tests.trainer.tiny import pairs

ROOT = Path(__file__).parents[2]
KEY = "0123456789abcdef0123456789abcdef01234567"


def _run(directory: Path, model: Path, *trackers: str, **variables: str) -> tuple[int, str]:
    """A run in a process of its own, whose libraries would leave threads and warnings behind; code and output."""
    data = rows_file(directory, pairs(8))
    plan = {"schedule.max_steps": 2}
    make_manifest(directory, model, data, plan=plan, report_to=trackers, tracking={"WANDB_PROJECT": "mine"})
    path = os.pathsep.join(str(ROOT / part) for part in ("", "rules", "trainer"))
    # A run in this process leaves tensorboard's folder in the environment.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB_", "TENSORBOARD_"))}
    done = subprocess.run(
        [sys.executable, "-m", "loraplan_trainer", str(directory / FILE_NAME)], cwd=directory, text=True,
        capture_output=True, check=False, env={**kept, "PYTHONPATH": path, "HOME": str(directory), **variables},
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def _needs(package: str) -> None:
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed")


def test_tensorboard(tiny_model: Path, tmp_path: Path) -> None:
    _needs("tensorboard")
    code, said = _run(tmp_path, tiny_model, "tensorboard")
    assert code == 0, said
    [file] = (tmp_path / "tensorboard").rglob("events*")
    assert b"train/loss" in file.read_bytes()


def test_mlflow(tiny_model: Path, tmp_path: Path) -> None:
    _needs("mlflow")
    _needs("alembic")  # which mlflow-skinny lacks
    code, said = _run(tmp_path, tiny_model, "mlflow", MLFLOW_TRACKING_URI=f"sqlite:///{tmp_path}/mlflow.db")
    assert code == 0, said
    with sqlite3.connect(tmp_path / "mlflow.db") as store:
        assert store.execute("select count(*) from metrics where key = 'loss'").fetchone() == (2,)
        assert store.execute("select name from runs").fetchone() == (tmp_path.name,)


def test_trackio(tiny_model: Path, tmp_path: Path) -> None:
    _needs("trackio")
    code, said = _run(tmp_path, tiny_model, "trackio", TRACKIO_DIR=str(tmp_path / "trackio"))
    assert code == 0, said
    [file] = (tmp_path / "trackio").glob("*.db")
    with sqlite3.connect(file) as store:
        rows = [json.loads(row[0]) for row in store.execute("select metrics from metrics")]
    assert sum("train/loss" in row for row in rows) == 2


def test_wandb_offline_keeps_its_metrics_here_and_the_key_nowhere(tiny_model: Path, tmp_path: Path) -> None:
    _needs("wandb")
    code, said = _run(tmp_path, tiny_model, "wandb", WANDB_MODE="offline", WANDB_API_KEY=KEY)
    assert code == 0, said
    [file] = (tmp_path / "wandb").glob("offline-run-*/run-*.wandb")
    assert b"train/loss" in file.read_bytes()
    assert KEY not in said
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]


def test_wandb_without_an_account_is_refused_before_anything_is_loaded(tiny_model: Path, tmp_path: Path) -> None:
    _needs("wandb")
    code, said = _run(tmp_path, tiny_model, "wandb")
    assert code == 2, said
    assert "--report-to none leaves trackers out" in said
    assert "train data:" not in said


def test_a_tracker_that_is_not_installed_is_named(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "from loraplan_trainer import situation\nsituation.absent = lambda: frozenset({'trackio'})\n"
    )
    path = os.pathsep.join(str(part) for part in (tmp_path, ROOT, ROOT / "rules", ROOT / "trainer"))
    code, said = _run(tmp_path, tiny_model, "trackio", PYTHONPATH=path)
    assert code == 2, said
    assert "pip install trackio" in said


def test_a_tracker_that_cannot_start_is_no_bug(tiny_model: Path, tmp_path: Path) -> None:
    _needs("mlflow")
    code, said = _run(tmp_path, tiny_model, "mlflow", MLFLOW_TRACKING_URI="nonsense://here")
    assert code == 2, said
    assert "report_to mlflow cannot start" in said
