"""The trainer's process: its command, its environment, signals, exit codes, its log followed."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from loraplan.training import TrainingError, launch
from loraplan.training.follow import Follower
from loraplan.training.launch import Nodes, command, environment, run, shown
from loraplan_trainer.events import Event

FAKE = str(Path(__file__).with_name("fake_trainer.py"))


def _words(folder: Path, word: str) -> list[str]:
    return [sys.executable, FAKE, str(folder / "manifest.json"), word]


def test_one_process_is_started_plainly_and_several_through_accelerate(tmp_path: Path) -> None:
    assert shown(command(Path("/r"), 1)) == "python -P -m loraplan_trainer /r/manifest.json"
    words = shown(command(Path("/r"), 4))
    assert words == (
        "python -P -m accelerate.commands.launch --config_file /r/accelerate.yaml -m loraplan_trainer /r/manifest.json"
    )
    two = shown(command(Path("/r"), 4, nodes=Nodes(2, 1, "10.0.0.1:29500")))
    assert "--machine_rank 1 --main_process_ip 10.0.0.1 --main_process_port 29500 -m loraplan_trainer" in two
    cpu = shown(command(Path("/r"), 2, cpu=True))
    assert cpu.startswith("python -P -m torch.distributed.run --standalone --nproc-per-node 2 -m loraplan_trainer")
    both = shown(command(Path("/r"), 4, cpu=True, nodes=Nodes(2, 1, "127.0.0.1:29512")))
    assert "--nnodes 2 --node-rank 1 --master-addr 127.0.0.1 --master-port 29512 --nproc-per-node 2" in both


def test_the_working_directory_is_not_imported_from() -> None:
    assert environment(cpu=False)["PYTHONSAFEPATH"] == "1"
    assert environment(cpu=True)["CUDA_VISIBLE_DEVICES"] == ""


@pytest.mark.parametrize(("word", "code"), [("done", 0), ("memory", 3), ("crash", 1)])
def test_the_exit_code_is_the_trainers_and_every_record_is_seen(tmp_path: Path, word: str, code: int) -> None:
    seen: list[Event] = []
    assert run(_words(tmp_path, word), tmp_path, Follower(tmp_path), seen.append) == code
    assert seen[0].event == "start"
    assert (seen[-1].event == "end") == (word != "crash")


def test_what_a_crash_printed_is_kept(tmp_path: Path) -> None:
    run(_words(tmp_path, "crash"), tmp_path, Follower(tmp_path), lambda _event: None)
    lines = launch.tail(tmp_path)
    assert lines[0] == "what the libraries print"
    assert lines[-1] == "ValueError: a bug"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_goes_on_to_the_trainer(tmp_path: Path, number: signal.Signals) -> None:
    seen: list[Event] = []

    def watch(event: Event) -> None:
        seen.append(event)
        if event.event == "warning":
            os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    assert run(_words(tmp_path, "wait"), tmp_path, Follower(tmp_path), watch) == 128 + number
    assert [event.event for event in seen] == ["start", "warning", "checkpoint", "end"]
    assert signal.getsignal(number) is before


def test_the_third_signal_kills(tmp_path: Path) -> None:
    def watch(event: Event) -> None:
        if event.event == "warning":
            for _ in range(3):
                os.kill(os.getpid(), signal.SIGINT)

    assert run(_words(tmp_path, "stubborn"), tmp_path, Follower(tmp_path), watch) == 128 + signal.SIGKILL


def test_an_error_while_watching_stops_the_trainer(tmp_path: Path) -> None:
    def watch(event: Event) -> None:
        if event.event == "warning":
            raise RuntimeError("the display broke")

    with pytest.raises(RuntimeError, match="the display broke"):
        run(_words(tmp_path, "wait"), tmp_path, Follower(tmp_path), watch)


def test_outside_the_main_thread_no_handler_is_set(tmp_path: Path) -> None:
    codes: list[int] = []
    thread = threading.Thread(
        target=lambda: codes.append(run(_words(tmp_path, "done"), tmp_path, Follower(tmp_path), lambda _event: None))
    )
    thread.start()
    thread.join()
    assert codes == [0]


def test_a_program_that_cannot_be_started_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="cannot be started"):
        run([str(tmp_path / "none")], tmp_path, Follower(tmp_path), lambda _event: None)


def test_half_a_line_waits_and_foreign_lines_are_passed_over(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    follower = Follower(tmp_path)
    assert list(follower.new()) == []
    log.write_bytes(b'{"event": "warning", "time": 1, "text": "one"}\nnoise\n{"event": "warning", "ti')
    assert [event.text for event in follower.new()] == ["one"]  # type: ignore[union-attr]
    with log.open("ab") as file:
        file.write(b'me": 2, "text": "two"}\n')
    assert [event.text for event in follower.new()] == ["two"]  # type: ignore[union-attr]
    late = Follower(tmp_path)
    late.skip()
    assert list(late.new()) == []
