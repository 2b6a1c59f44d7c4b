"""What a run survives: signals, kill -9, damaged checkpoints, full disks. Resumed, it is the run it would have been."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from loraplan_trainer import checkpoints, events
from loraplan_trainer.manifest import FILE_NAME, read, write
from tests.trainer.harness import Outcome, in_process, make_manifest, rows_file, train
from tests.trainer.tiny import pairs

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")

# Dropout, accumulation and a second epoch: randomness, position within a step and data order must all come back.
PLAN: dict[str, Any] = {
    "adapter.dropout": 0.1, "batch.micro_batch_size": 2, "batch.gradient_accumulation_steps": 2,
    "schedule.max_steps": None, "schedule.epochs": 2.0, "schedule.name": "cosine", "schedule.warmup_steps": 2.0,
    "run.save_strategy": "steps", "run.save_steps": 3.0,
}  # fmt: skip
STEPS = 12


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rows_file(tmp_path_factory.mktemp("data"), pairs(24))


@pytest.fixture(scope="module")
def uninterrupted(tiny_model: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    outcome = train(tmp_path_factory.mktemp("whole") / "run", tiny_model, data, plan=PLAN)
    assert outcome.code == 0
    assert set(outcome.losses) == set(range(1, STEPS + 1))
    return outcome


def resume(outcome: Outcome) -> Outcome:
    """Run the same directory again, as `--resume` does."""
    from loraplan_trainer.run import run

    path = outcome.directory / FILE_NAME
    made = read(path).model_copy(update={"resume": True})
    write(made, path)
    with in_process():
        return Outcome(run(made, path.read_bytes()), outcome.directory)


def assert_same_curve(resumed: Outcome, whole: Outcome) -> None:
    assert resumed.code == 0
    assert resumed.losses == pytest.approx(whole.losses, abs=1e-4)
    rates = {event.step: event.lr for event in resumed.of(events.Step)}
    assert rates == pytest.approx({event.step: event.lr for event in whole.of(events.Step)})


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_in_a_checkpoint_and_resumes(
    number: signal.Signals, code: int, tiny_model: Path, data: Path, tmp_path: Path,
    uninterrupted: Outcome, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from loraplan_trainer.recorder import Recorder

    ready = Recorder.on_pre_optimizer_step

    def interrupt(self: Recorder, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        ready(self, args, state, control, **kwargs)
        if state.global_step == 4:  # within the fifth step
            os.kill(os.getpid(), number)

    monkeypatch.setattr(Recorder, "on_pre_optimizer_step", interrupt)
    stopped = train(tmp_path / "run", tiny_model, data, plan=PLAN)
    monkeypatch.undo()
    assert stopped.code == code
    [end] = stopped.of(events.End)
    assert (end.outcome, end.step, end.exit_code) == ("interrupted", 5, code)
    assert [(event.step, event.why) for event in stopped.of(events.Checkpoint)] == [(3, "schedule"), (5, "signal")]
    resumed = resume(stopped)
    assert resumed.of(events.Start)[-1].resumed_from == 5
    assert_same_curve(resumed, uninterrupted)


def test_a_signal_before_training_leaves_nothing_half_done(
    tiny_model: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from loraplan_trainer import session

    def interrupt(*_: Any, **__: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(session, "load_model", interrupt)
    stopped = train(tmp_path / "run", tiny_model, data, plan=PLAN)
    assert stopped.code == 143
    assert not stopped.of(events.Checkpoint)


def start(directory: Path, program: str = "-m loraplan_trainer") -> subprocess.Popen[bytes]:
    command = [sys.executable, *program.split(" ", 1), str(directory / FILE_NAME)]
    root = Path(__file__).parents[2]
    path = os.pathsep.join(str(root / part) for part in ("", "rules", "trainer"))
    with (directory / "out.txt").open("wb") as out:
        return subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, "PYTHONPATH": path})


def wait_for_step(outcome: Outcome, step: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        assert process.poll() is None, (outcome.directory / "out.txt").read_text()
        if (outcome.directory / events.FILE_NAME).exists() and step in outcome.losses:
            return
        time.sleep(0.05)
    raise AssertionError((outcome.directory / "out.txt").read_text())


def test_kill_9_resumes_from_the_last_whole_checkpoint(
    tiny_model: Path, data: Path, tmp_path: Path, uninterrupted: Outcome
) -> None:
    directory = tmp_path / "run"
    make_manifest(directory, tiny_model, data, plan=PLAN)
    killed = Outcome(-9, directory)
    process = start(directory)
    try:
        wait_for_step(killed, 5, process)
    finally:
        process.kill()
        process.wait()
    resumed = resume(killed)
    assert resumed.of(events.Start)[-1].resumed_from in (3, 6)
    assert_same_curve(resumed, uninterrupted)


KILLED_WHILE_WRITING = """-c
import os, signal, sys
from loraplan_trainer import checkpoints
from loraplan_trainer.__main__ import main
finish = checkpoints.finish
def killed(directory, step):
    if step == 6:
        os.kill(os.getpid(), signal.SIGKILL)
    return finish(directory, step)
checkpoints.finish = killed
main(sys.argv[1:])"""


def test_kill_9_while_a_checkpoint_is_written(
    tiny_model: Path, data: Path, tmp_path: Path, uninterrupted: Outcome
) -> None:
    directory = tmp_path / "run"
    make_manifest(directory, tiny_model, data, plan=PLAN)
    program = KILLED_WHILE_WRITING.replace("-c\n", "-c ", 1)
    assert start(directory, program).wait(timeout=600) == -signal.SIGKILL
    assert checkpoints.staging(directory / checkpoints.FOLDER).is_dir()
    resumed = resume(Outcome(-9, directory))
    assert resumed.of(events.Start)[-1].resumed_from == 3
    assert not checkpoints.staging(directory / checkpoints.FOLDER).exists()
    assert_same_curve(resumed, uninterrupted)


def test_a_damaged_checkpoint_is_passed_over(
    tiny_model: Path, data: Path, tmp_path: Path, uninterrupted: Outcome
) -> None:
    whole = train(tmp_path / "run", tiny_model, data, plan=PLAN)
    folder = whole.directory / checkpoints.FOLDER
    newest = checkpoints.path_of(folder, 12) / "optimizer.pt"
    newest.write_bytes(newest.read_bytes()[:-1] + b"?")
    resumed = resume(whole)
    assert resumed.of(events.Start)[-1].resumed_from == 9
    assert any("optimizer.pt is not what was written" in event.text for event in resumed.of(events.Warned))
    assert_same_curve(resumed, uninterrupted)

    for step in checkpoints.steps(folder):
        (checkpoints.path_of(folder, step) / checkpoints.MARKER).unlink()
    refused = resume(resumed)
    assert refused.code == 2
    assert "no checkpoint is whole" in refused.error.text
    assert str(folder) in refused.error.text


def test_a_full_disk_keeps_the_last_checkpoint(
    tiny_model: Path, data: Path, tmp_path: Path, uninterrupted: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    save = torch.save

    def full(value: Any, path: Any, *args: Any, **kwargs: Any) -> None:
        if "checkpoint-6" in str(path) and str(path).endswith("optimizer.pt"):
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        save(value, path, *args, **kwargs)

    monkeypatch.setattr(torch, "save", full)
    failed = train(tmp_path / "run", tiny_model, data, plan=PLAN)
    monkeypatch.undo()
    assert failed.code == 2
    assert "No space left on device" in failed.error.text
    assert "that of step 3 is whole" in failed.error.text
    assert checkpoints.steps(failed.directory / checkpoints.FOLDER) == [3]
    assert_same_curve(resume(failed), uninterrupted)


def test_vanished_data_are_named(tiny_model: Path, data: Path, tmp_path: Path) -> None:
    rows = rows_file(tmp_path, pairs(8))
    stopped = train(tmp_path / "run", tiny_model, rows, plan={**PLAN, "schedule.epochs": 1.0})
    rows.unlink()
    refused = resume(stopped)
    assert refused.code == 2
    assert f"{rows}: data file not found" in refused.error.text


def test_a_used_directory_is_not_trained_over(tiny_model: Path, data: Path, tmp_path: Path) -> None:
    plan = {**PLAN, "schedule.epochs": 1.0}
    assert train(tmp_path / "run", tiny_model, data, plan=plan).code == 0
    refused = train(tmp_path / "run", tiny_model, data, plan=plan)
    assert refused.code == 2
    assert "holds checkpoints of an earlier run" in refused.of(events.Failed)[-1].text


def test_an_unwritable_directory_is_named(
    tiny_model: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from loraplan_trainer.run import run

    (tmp_path / "file").write_text("")
    made = make_manifest(tmp_path / "elsewhere", tiny_model, data)
    made = made.model_copy(update={"run_directory": str(tmp_path / "file" / "run")})
    with in_process():
        assert run(made, b"") == 2
    assert f"{tmp_path / 'file' / 'run'}: cannot be written" in capsys.readouterr().err
