"""Several processes train as one does: the same batches, the same losses; one's signal stops all."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from loraplan_trainer import events
from loraplan_trainer.manifest import FILE_NAME, write
from tests.trainer.harness import Outcome, make_manifest, rows_file, train
from tests.trainer.tiny import pairs

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")

ROOT = Path(__file__).parents[2]
PLAN: dict[str, Any] = {"schedule.max_steps": 6}
HALF = {**PLAN, "batch.micro_batch_size": 2, "distributed.strategy": "ddp", "distributed.devices": 2}
# The second process alone is asked to stop, within its third step.
STOPPED = """\
import os, signal, sys
from loraplan_trainer import recorder
from loraplan_trainer.__main__ import main
ready = recorder.Recorder.on_pre_optimizer_step
def interrupt(self, args, state, control, **kwargs):
    ready(self, args, state, control, **kwargs)
    if os.environ["RANK"] == "1" and state.global_step == 2:
        os.kill(os.getpid(), signal.SIGTERM)
recorder.Recorder.on_pre_optimizer_step = interrupt
sys.exit(main(sys.argv[1:]))
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def launch(directory: Path, log: str, *options: str, program: tuple[str, ...] = ("-m", "loraplan_trainer")) -> Any:
    path = os.pathsep.join(str(ROOT / part) for part in ("", "rules", "trainer"))
    command = [sys.executable, "-m", "torch.distributed.run", *options, *program, str(directory / FILE_NAME)]
    with (directory / log).open("wb") as out:
        return subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, "PYTHONPATH": path})


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rows_file(tmp_path_factory.mktemp("data"), pairs(16))


@pytest.fixture(scope="module")
def alone(tiny_model: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return train(tmp_path_factory.mktemp("alone"), tiny_model, data, plan=PLAN)


def test_two_processes_stop_together_and_resume_on_two_nodes(
    tiny_model: Path, data: Path, tmp_path: Path, alone: Outcome
) -> None:
    made = make_manifest(tmp_path, tiny_model, data, plan=HALF, processes=2)
    script = tmp_path / "stopped.py"
    script.write_text(STOPPED)
    options = ("--nproc-per-node=2", f"--master-port={free_port()}")
    assert launch(tmp_path, "first.txt", *options, program=(str(script),)).wait(timeout=600) != 0
    outcome = Outcome(143, tmp_path)
    assert outcome.of(events.End)[0].outcome == "interrupted", (tmp_path / "first.txt").read_text()
    assert set(outcome.losses) == {1, 2, 3}

    write(made.model_copy(update={"resume": True}), tmp_path / FILE_NAME)
    common = ("--nnodes=2", "--nproc-per-node=1", "--master-addr=127.0.0.1", f"--master-port={free_port()}")
    nodes = [launch(tmp_path, f"node{rank}.txt", *common, f"--node-rank={rank}") for rank in (0, 1)]
    codes = [node.wait(timeout=600) for node in nodes]
    assert codes == [0, 0], (tmp_path / "node0.txt").read_text() + (tmp_path / "node1.txt").read_text()
    assert [event.resumed_from for event in outcome.of(events.Start)] == [None, 3]
    assert [event.processes for event in outcome.of(events.Start)] == [2, 2]
    assert len(outcome.of(events.End)) == 2, "one process writes the log"
    assert outcome.losses == pytest.approx(alone.losses, abs=1e-4)
    assert (tmp_path / "adapter" / "adapter_model.safetensors").is_file()
