"""One run, from a manifest to an exit code."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import sys
import time
import warnings
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from loraplan_trainer import checkpoints, console, failure
from loraplan_trainer.events import End, Event, Failed, Log, PlanField, Start, Warned
from loraplan_trainer.failure import CannotRun, NotANumber
from loraplan_trainer.fields import accept
from loraplan_trainer.fields.outcomes import Honoured
from loraplan_trainer.manifest import Manifest
from loraplan_trainer.memory import Meter, is_out_of_memory
from loraplan_trainer.signals import Interrupted, Signals
from loraplan_trainer.situation import Situation, absent

PACKAGES = (
    "loraplan torch transformers peft trl accelerate bitsandbytes datasets tokenizers safetensors liger-kernel".split()
)
"""Whose versions the log records."""


class Run:
    """The state of one process of a run."""

    def __init__(self, manifest: Manifest, manifest_sha256: str) -> None:
        self.manifest = manifest
        self.plan = manifest.plan
        self.directory = manifest.directory
        self.main = int(os.environ.get("RANK", "0")) == 0
        self.processes = int(os.environ.get("WORLD_SIZE", "1"))
        self.signals = Signals()
        self._sha256 = manifest_sha256
        self._log: Log | None = None
        self._begun = time.monotonic()
        self._meter = Meter("cpu")
        self._recorder: Any = None
        self._resume: int | None = None
        self._saved: Path | None = None

    def execute(self) -> int:
        """Run to the end; whatever happens is in the log and in the exit code."""
        self.signals.install()
        try:
            if self.main:
                self._log = _open_log(self.directory)
            return self._guarded()
        except CannotRun as error:  # the log itself cannot be written
            sys.stderr.write(f"error: {error}\n")
            return failure.CANNOT_RUN
        except Interrupted:
            return self.signals.exit_code
        finally:
            if self._log is not None:
                self._log.close()

    def report(self, event: Event) -> None:
        """Log a record and print its line; only on the main process. Raises CannotRun where it cannot be written."""
        if not self.main:
            return
        text = console.line(event)
        if text is not None:
            with contextlib.suppress(BrokenPipeError):
                sys.stdout.write(text + "\n")
                sys.stdout.flush()
        if self._log is not None:
            try:
                self._log.write(event)
            except OSError as error:
                raise CannotRun(f"{self.directory}: the log cannot be written ({error.strerror})") from error

    def _guarded(self) -> int:
        """Run, and turn every way to fail into a record and an exit code."""
        try:
            outcome = self._go()
        except Interrupted:
            self._end("interrupted", self.signals.exit_code)
            return self.signals.exit_code
        except NotANumber as error:
            return self._fail("not_a_number", str(error), failure.NOT_A_NUMBER)
        except CannotRun as error:
            return self._fail("cannot_run", str(error), failure.CANNOT_RUN)
        except Exception as error:
            if is_out_of_memory(error):
                return self._out_of_memory(error)
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT):
                return self._fail("cannot_run", f"{error.filename or self.directory}: {error.strerror}", 2)
            self._fail("bug", f"{type(error).__name__}: {error}", failure.BUG)
            raise
        code = self.signals.exit_code if outcome == "interrupted" else failure.DONE
        self._end(outcome, code)
        return code

    def _fail(self, kind: Literal["cannot_run", "not_a_number", "bug"], text: str, code: int) -> int:
        phase = self._meter.phase
        if "is whole" not in text:
            text += self._kept()
        if not self.main:
            sys.stderr.write(f"process {os.environ.get('RANK')}: {text}\n")
        with contextlib.suppress(CannotRun):
            self.report(Failed(kind=kind, text=text, phase=phase, step=self._step()))
            self._end("failed", code)
        return code

    def _out_of_memory(self, error: Exception) -> int:
        phase = self._meter.phase
        with contextlib.suppress(RuntimeError):
            self._meter.end()
        peaks = ", ".join(f"{name} {peak / 2**30:.2f} GiB" for name, peak in self._meter.peaks.items())
        text = (
            f"out of memory in phase {phase or 'setup'} after step {self._step()}; "
            f"peaks by phase: {peaks or 'none measured'} ({self._meter.source})"
            f"{self._kept()}; {(str(error).splitlines() or [type(error).__name__])[0]}"
        )
        with contextlib.suppress(CannotRun):
            self.report(
                Failed(
                    kind="out_of_memory",
                    text=text,
                    phase=phase,
                    step=self._step(),
                    suggestions=self.manifest.suggestions,
                )
            )
            self._end("failed", failure.OUT_OF_MEMORY)
        return failure.OUT_OF_MEMORY

    def _kept(self) -> str:
        """The last good state, for the end of a message."""
        step = self._recorder.checkpoint if self._recorder is not None else None
        return f"; the checkpoint of step {step} is whole" if step else ""

    def _step(self) -> int:
        if self._recorder is not None:
            return int(self._recorder.step)
        return self._resume or 0

    def _end(self, outcome: Literal["done", "dry_run", "interrupted", "failed"], code: int) -> None:
        for event in self._meter.events():
            self.report(event)
        self.report(
            End(
                outcome=outcome,
                exit_code=code,
                step=self._step(),
                seconds=time.monotonic() - self._begun,
                adapter=str(self._saved) if self._saved is not None else None,
                tokens=self._recorder.tokens if self._recorder is not None else None,
            )
        )

    def _go(self) -> Literal["done", "dry_run", "interrupted"]:
        situation = self._situation()
        self._meter = Meter(situation.device)
        folder = self.directory / checkpoints.FOLDER
        step, faults = checkpoints.last_whole(folder) if self.manifest.resume else (None, [])
        self._resume = step
        self.report(self._start(situation))
        for fault in faults:
            self.report(Warned(text=f"passed over a checkpoint that is not whole: {fault}"))
        for name, value, outcome in accept(self.plan, situation):
            kind: Literal["honoured", "no_effect"] = "honoured" if isinstance(outcome, Honoured) else "no_effect"
            self.report(PlanField(name=name, value=value, outcome=kind, text=outcome.text))
        if self.main:
            checkpoints.sweep(folder)
            if not self.manifest.resume:
                _refuse_used(folder)
        from loraplan_trainer.session import Session

        with _quiet_libraries():
            session = Session(self, situation, self._meter)
            self._recorder = session.recorder
            return session.train(None if step is None else checkpoints.path_of(folder, step))

    def saved(self, path: Path) -> None:
        """Note where the trained weights are, for the last record."""
        self._saved = path

    def _situation(self) -> Situation:
        import torch

        manifest = self.manifest
        available = torch.cuda.is_available()
        if manifest.device == "cuda" and not available:
            raise CannotRun("the manifest asks for a CUDA device and torch sees none; set device to auto or cpu")
        if manifest.processes != self.processes:
            raise CannotRun(
                f"the manifest is for {manifest.processes} process(es), {self.processes} were started; "
                "start them with `loraplan train`, or accelerate's or torch's launcher"
            )
        # Beside the checkpoints, not among them.
        os.environ.setdefault("TENSORBOARD_LOGGING_DIR", str(self.directory / "tensorboard"))
        device: Literal["cpu", "cuda"] = "cuda" if available and manifest.device != "cpu" else "cpu"
        if device == "cpu":
            os.environ["ACCELERATE_USE_CPU"] = "true"
        else:
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))  # or every process opens the first card
        sharding: Literal["none", "fsdp", "deepspeed"] = "none"
        if os.environ.get("ACCELERATE_USE_FSDP", "").lower() in ("true", "1"):
            sharding = "fsdp"
        elif os.environ.get("ACCELERATE_USE_DEEPSPEED", "").lower() in ("true", "1"):
            sharding = "deepspeed"
        held_out = any(source.role == "eval" for source in manifest.data) or bool(self.plan.data.val_size)
        return Situation(device, self.processes, sharding, held_out, absent())

    def _start(self, situation: Situation) -> Start:
        name = "cpu"
        if situation.device == "cuda":
            import torch

            name = torch.cuda.get_device_name()
        return Start(
            manifest_sha256=self._sha256,
            versions=_versions(),
            device=name,
            processes=self.processes,
            resumed_from=self._resume,
        )


def run(manifest: Manifest, content: bytes) -> int:
    """Execute a manifest whose file has the given content."""
    return Run(manifest, hashlib.sha256(content).hexdigest()).execute()


def _refuse_used(folder: Path) -> None:
    """A new run never mixes with an older one's checkpoints. Raises CannotRun."""
    if checkpoints.steps(folder):
        raise CannotRun(f"{folder} holds checkpoints of an earlier run; resume it, or use another run directory")


def _open_log(directory: Path) -> Log:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        return Log(directory)
    except OSError as error:
        raise CannotRun(f"{directory}: cannot be written ({error.strerror}); choose another run directory") from error


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


@contextlib.contextmanager
def _quiet_libraries() -> Iterator[None]:
    """Without the libraries' progress bars, and their notes to each other on coming names: the log has it all, once."""
    import datasets
    from transformers.utils import logging

    logging.disable_progress_bar()
    datasets.disable_progress_bars()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.filterwarnings("ignore", message="Paged optimizers are not supported on CPU")  # the log says it
        # PEFT of what it does as it should: saves embeddings that grew, loads the initial adapter to subtract it.
        warnings.filterwarnings("ignore", message="Setting `save_embedding_layers` to `True`")
        warnings.filterwarnings("ignore", message=".*changes the base weights")
        yield
