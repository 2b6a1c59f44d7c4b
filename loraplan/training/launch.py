"""Starting the trainer: the command, its environment, its process, and the signals that are passed on to it."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from loraplan.training import TrainingError
from loraplan.training.directory import MANIFEST
from loraplan.training.follow import Follower
from loraplan_trainer.events import Event

OUTPUT = "output.txt"
"""What the trainer's process and its libraries print; the log has everything that matters."""
ACCELERATE = "accelerate.yaml"
_POLL_SECONDS = 0.2
_PATIENCE_SECONDS = 60
"""For a checkpoint to be written."""
# Without the working directory on the path: a config called peft.py beside the data must not be imported.
_PYTHON = (sys.executable, "-P")
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Nodes(NamedTuple):
    """The machines of a run, and which of them this is."""

    machines: int = 1
    rank: int = 0
    rendezvous: str | None = None
    """HOST:PORT of the first machine."""


def command(directory: Path, processes: int, *, cpu: bool = False, nodes: Nodes | None = None) -> list[str]:
    """The command that starts the trainer on this machine: itself, or through a launcher of several processes.

    On cards that is accelerate's. Its launcher starts one process only where there are no cards and no MPI
    (accelerate/commands/launch.py simple_launcher@1.15.0); on CPUs it is the one of torch that it uses itself.
    """
    target = ["-m", "loraplan_trainer", str(directory / MANIFEST)]
    nodes = nodes or Nodes()
    if processes == 1:
        return [*_PYTHON, *target]
    host, _, port = (nodes.rendezvous or "").rpartition(":")
    if cpu:
        each = str(processes // nodes.machines)
        place = ["--nnodes", str(nodes.machines), "--node-rank", str(nodes.rank), "--master-addr", host,
                 "--master-port", port]  # fmt: skip
        where = place if nodes.machines > 1 else ["--standalone"]
        return [*_PYTHON, "-m", "torch.distributed.run", *where, "--nproc-per-node", each, *target]
    words = [*_PYTHON, "-m", "accelerate.commands.launch", "--config_file", str(directory / ACCELERATE)]
    if nodes.machines > 1:
        words += ["--machine_rank", str(nodes.rank), "--main_process_ip", host, "--main_process_port", port]
    return [*words, *target]


def shown(words: list[str]) -> str:
    """A command as a person types it; this interpreter is `python`."""
    return shlex.join(["python" if word == sys.executable else word for word in words])


def environment(*, cpu: bool) -> dict[str, str]:
    """The environment of the trainer: that of this process, without cards where the run is on the CPU."""
    return {
        **os.environ,
        "PYTHONUNBUFFERED": "1",
        "PYTHONSAFEPATH": "1",
        **({"CUDA_VISIBLE_DEVICES": ""} if cpu else {}),
    }


def run(
    words: list[str],
    directory: Path,
    follower: Follower,
    watch: Callable[[Event], None],
    *,
    cpu: bool = False,
    output: str = OUTPUT,
) -> int:
    """Start the trainer, hand its records to `watch`, and give its exit code. Raises TrainingError.

    Ctrl-C and SIGTERM go on to it; it writes a checkpoint and ends. A third one kills its whole process group.
    """
    try:
        with (directory / output).open("ab") as sink:
            # A group of its own: a terminal's Ctrl-C then reaches it once, through this process.
            process = subprocess.Popen(  # noqa: S603 - the command is built above
                words, stdout=sink, stderr=sink, stdin=subprocess.DEVNULL, start_new_session=True,
                env=environment(cpu=cpu),
            )  # fmt: skip
    except OSError as error:
        raise TrainingError(f"the trainer cannot be started: {error.strerror or error}") from error
    with _forwarding(process):
        try:
            while True:
                ended = _wait(process)
                for event in follower.new():
                    watch(event)
                if ended is not None:
                    return 128 - ended if ended < 0 else ended
        except BaseException:
            _send(process, signal.SIGTERM)
            try:
                process.wait(_PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                _send(process, signal.SIGKILL)
                process.wait()
            raise


def tail(directory: Path, count: int = 12) -> list[str]:
    """The last lines that the process printed."""
    try:
        lines = (directory / OUTPUT).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return [line for line in lines if line.strip()][-count:]


def _wait(process: subprocess.Popen[bytes]) -> int | None:
    try:
        return process.wait(_POLL_SECONDS)
    except subprocess.TimeoutExpired:
        return None


@contextmanager
def _forwarding(process: subprocess.Popen[bytes]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # only it may set handlers
        yield
        return
    received = 0

    def forward(number: int, _frame: FrameType | None) -> None:
        nonlocal received
        received += 1
        _send(process, signal.SIGKILL if received > 2 else number)

    before = {number: signal.signal(number, forward) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _send(process: subprocess.Popen[bytes], number: int) -> None:
    """To the trainer, or to its launcher, which passes it on to the processes that it started."""
    if process.poll() is None:
        try:
            if number == signal.SIGKILL:
                os.killpg(process.pid, number)
            else:
                os.kill(process.pid, number)
        except ProcessLookupError:
            return
