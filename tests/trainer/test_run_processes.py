"""Several processes train as one does: the same batches, the same losses; one's signal stops all."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from loraplan_trainer import events
from loraplan_trainer.manifest import FILE_NAME, DataSource, write
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
# accelerate passes over FSDP on CPUs (state.py@1.15.0): its branch for cards is taken here, with gloo.
FSDP = """\
import sys, torch
from accelerate import state
from accelerate.utils import DistributedType
from loraplan_trainer.__main__ import main
begin = state.AcceleratorState.__init__
def sharded(self, *args, fsdp_plugin=None, **kwargs):
    begin(self, *args, fsdp_plugin=fsdp_plugin, **kwargs)
    if fsdp_plugin is not None:
        self.fsdp_plugin, self.distributed_type, self.device = fsdp_plugin, DistributedType.FSDP, torch.device("cpu")
        state.PartialState._shared_state.update(distributed_type=self.distributed_type, device=self.device)
state.AcceleratorState.__init__ = sharded
sys.exit(main(sys.argv[1:]))
"""
FSDP_SETTINGS = {
    "ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2", "FSDP_RESHARD_AFTER_FORWARD": "true",
    "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP", "FSDP_STATE_DICT_TYPE": "SHARDED_STATE_DICT",
    "FSDP_CPU_RAM_EFFICIENT_LOADING": "true",
}  # fmt: skip
# As it passes over DeepSpeed, where it is told to use CPUs.
DEEPSPEED = """\
import os, sys
from accelerate import state
from accelerate.utils import DistributedType
from loraplan_trainer import arguments, run
from loraplan_trainer.__main__ import main
state.PartialState._prepare_backend = lambda self, *args, **kwargs: ("gloo", DistributedType.MULTI_CPU)
given, find = arguments.training, run.Run._situation
def found(self):
    situation = find(self)
    del os.environ["ACCELERATE_USE_CPU"]
    return situation
arguments.training = lambda *args: {**given(*args), "use_cpu": False}
run.Run._situation = found
sys.exit(main(sys.argv[1:]))
"""
ZERO_3 = {
    "ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_ZERO_STAGE": "3", "DS_ACCELERATOR": "cpu",
    "ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_DEVICE": "none", "ACCELERATE_DEEPSPEED_OFFLOAD_PARAM_DEVICE": "none",
    "ACCELERATE_DEEPSPEED_ZERO3_INIT": "false", "ACCELERATE_DEEPSPEED_ZERO3_SAVE_16BIT_MODEL": "true",
}  # fmt: skip


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def launch(
    directory: Path, log: str, *options: str, program: tuple[str, ...] = ("-m", "loraplan_trainer"), **variables: str
) -> Any:
    path = os.pathsep.join(str(ROOT / part) for part in ("", "rules", "trainer"))
    command = [sys.executable, "-m", "torch.distributed.run", *options, *program, str(directory / FILE_NAME)]
    with (directory / log).open("wb") as out:
        return subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, "PYTHONPATH": path, **variables})


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


def _sharded(directory: Path, program: str, settings: dict[str, str]) -> None:
    """Two processes through a program that makes accelerate shard on CPUs."""
    script = directory / "sharded.py"
    script.write_text(program)
    options = ("--nproc-per-node=2", f"--master-port={free_port()}")
    code = launch(directory, "out.txt", *options, program=(str(script),), **settings).wait(timeout=300)
    assert code == 0, (directory / "out.txt").read_text()


def _logits(model: Path, adapter: Path) -> Any:
    """What plain PEFT computes with a saved adapter."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    adapted = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(model), adapter).eval()
    with torch.no_grad():
        return adapted(torch.arange(32)[None] + 5).logits


def test_fsdp2_gives_the_same_adapter_also_resumed(
    tiny_model: Path, data: Path, tmp_path: Path, alone: Outcome
) -> None:
    plan = {
        **HALF, "distributed.strategy": "fsdp2", "run.load_best_model_at_end": True, "run.eval_strategy": "steps",
        "run.eval_steps": 3.0, "run.save_strategy": "steps", "run.save_steps": 3.0,
    }  # fmt: skip
    sources = [DataSource(source=str(data), kind="file", role=role) for role in ("train", "eval")]
    made = make_manifest(tmp_path, tiny_model, sources, plan=plan, processes=2)
    _sharded(tmp_path, FSDP, FSDP_SETTINGS)
    outcome = Outcome(0, tmp_path)
    assert outcome.losses == pytest.approx(alone.losses, abs=1e-4)
    first = _logits(tiny_model, tmp_path / "adapter")
    assert (first - _logits(tiny_model, alone.directory / "adapter")).abs().max() < 1e-4
    assert not (tmp_path / "adapter" / "training_args.bin").exists()

    shutil.rmtree(tmp_path / "checkpoints" / "checkpoint-6")
    write(made.model_copy(update={"resume": True}), tmp_path / FILE_NAME)
    _sharded(tmp_path, FSDP, FSDP_SETTINGS)
    assert [event.resumed_from for event in outcome.of(events.Start)] == [None, 3]
    assert (_logits(tiny_model, tmp_path / "adapter") - first).abs().max() < 1e-5


@pytest.mark.skipif(find_spec("deepspeed") is None, reason="deepspeed is not installed")
def test_zero_3_gives_the_same_adapter_and_merges(tiny_model: Path, data: Path, tmp_path: Path, alone: Outcome) -> None:
    plan = {**HALF, "distributed.strategy": "zero3", "run.save_strategy": "epoch"}
    make_manifest(tmp_path, tiny_model, data, plan=plan, processes=2, merge=True)
    _sharded(tmp_path, DEEPSPEED, ZERO_3)
    outcome = Outcome(0, tmp_path)
    assert outcome.losses == pytest.approx(alone.losses, abs=1e-4)
    ours, theirs = (_logits(tiny_model, directory / "adapter") for directory in (tmp_path, alone.directory))
    assert (ours - theirs).abs().max() < 1e-4
    assert len(outcome.of(events.Merge)) == 1
