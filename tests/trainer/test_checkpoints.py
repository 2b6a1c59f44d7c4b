"""A checkpoint is whole or not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from loraplan_trainer import checkpoints
from loraplan_trainer.failure import CannotRun


def stage(folder: Path, step: int) -> None:
    staged = checkpoints.path_of(checkpoints.staging(folder), step)
    (staged / "sub").mkdir(parents=True)
    (staged / "weights").write_bytes(b"w" * 100)
    (staged / "sub" / "state").write_bytes(b"s")


def made(folder: Path, *steps: int) -> None:
    for step in steps:
        stage(folder, step)
        assert checkpoints.finish(folder, step) == 101


def test_finished_ones_are_whole_and_in_order(tmp_path: Path) -> None:
    made(tmp_path, 9, 100, 20)
    assert checkpoints.steps(tmp_path) == [9, 20, 100]
    assert checkpoints.last_whole(tmp_path) == (100, [])
    assert not checkpoints.staging(tmp_path).exists()


def test_a_staged_one_does_not_count(tmp_path: Path) -> None:
    stage(tmp_path, 5)
    assert checkpoints.last_whole(tmp_path) == (None, [])


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: (path / "weights").write_bytes(b"w" * 99), "weights has 99 bytes, 100 were written"),
        (lambda path: (path / "weights").write_bytes(b"v" * 100), "weights is not what was written"),
        (lambda path: (path / "sub" / "state").unlink(), "sub/state: No such file"),
        (lambda path: (path / checkpoints.MARKER).unlink(), "never finished"),
        (lambda path: (path / checkpoints.MARKER).write_text("{"), "cannot be read"),
        (lambda path: (path / checkpoints.MARKER).write_text("[]"), "cannot be read"),
    ],
)
def test_a_damaged_one_is_passed_over(damage: object, said: str, tmp_path: Path) -> None:
    made(tmp_path, 1, 2)
    assert callable(damage)
    damage(checkpoints.path_of(tmp_path, 2))
    step, [fault] = checkpoints.last_whole(tmp_path)
    assert step == 1
    assert said in fault
    damage(checkpoints.path_of(tmp_path, 1))
    with pytest.raises(CannotRun, match="no checkpoint is whole"):
        checkpoints.last_whole(tmp_path)


def test_pruning_keeps_the_newest_and_the_best(tmp_path: Path) -> None:
    made(tmp_path, 1, 2, 3, 4)
    checkpoints.prune(tmp_path, 2, protect=1)
    assert checkpoints.steps(tmp_path) == [1, 3, 4]


def test_finishing_again_replaces(tmp_path: Path) -> None:
    made(tmp_path, 3, 3)
    assert checkpoints.last_whole(tmp_path) == (3, [])
