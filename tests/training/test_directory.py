"""Run directories never overwrite each other."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from loraplan.training import TrainingError
from loraplan.training.directory import create, existing, runs
from tests.training.runs import finished, make_manifest


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_runs_are_numbered() -> None:
    made = [create(None, "qlora v2!", overwrite=False).name for _ in range(3)]
    assert made == ["qlora-v2-001", "qlora-v2-002", "qlora-v2-003"]


def test_a_run_is_replaced_only_when_that_is_asked(tmp_path: Path) -> None:
    place = finished(tmp_path / "run")
    with pytest.raises(TrainingError, match="--overwrite replaces the run in it"):
        create("run", "x", overwrite=False)
    assert (place / "log.jsonl").is_file()
    assert create("run", "x", overwrite=True) == place
    assert list(place.iterdir()) == []


def test_a_directory_of_somebody_elses_is_never_emptied(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.jpg").write_bytes(b"x")
    with pytest.raises(TrainingError, match=r"holds no run .* left as it is"):
        create("photos", "x", overwrite=True)
    assert (tmp_path / "photos" / "one.jpg").is_file()


def test_what_is_no_directory_or_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(TrainingError, match="is a file"):
        create("file", "x", overwrite=False)
    with pytest.raises(TrainingError, match="cannot be used as run directory"):
        create("file/below", "x", overwrite=False)


def test_the_newest_run_of_a_config_is_resumed(tmp_path: Path) -> None:
    for number, config in enumerate(("a.yml", "b.yml", "a.yml")):
        place = tmp_path / "runs" / f"r{number}"
        make_manifest(place)
        manifest = json.loads((place / "manifest.json").read_text())
        manifest["config"]["path"] = str(tmp_path / config)
        (place / "manifest.json").write_text(json.dumps(manifest))
        os.utime(place / "manifest.json", (number, number))
    assert existing(None, "a.yml").name == "r2"
    assert existing(None, "b.yml").name == "r1"
    assert [path.name for path in runs(tmp_path / "runs")] == ["r0", "r1", "r2"]
    with pytest.raises(TrainingError, match=r"no run of c\.yml"):
        existing(None, "c.yml")
    with pytest.raises(TrainingError, match="holds no run"):
        existing("elsewhere", "a.yml")
