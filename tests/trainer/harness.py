"""Runs of the trainer inside the test process, and what they left behind."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from loraplan.plan import build
from loraplan_trainer import events
from loraplan_trainer.manifest import FILE_NAME, DataSource, Manifest, write
from tests.trainer.tiny import write_rows

T = TypeVar("T")

PLAN: dict[str, Any] = {
    "method": "sft",
    "adapter.method": "lora",
    "adapter.r": 8.0,
    "adapter.alpha": 16.0,
    "adapter.target_modules": "all-linear",
    "optimizer.name": "adamw_torch",
    "optimizer.learning_rate": 5e-3,
    "schedule.name": "constant",
    "schedule.max_steps": 8,
    "batch.micro_batch_size": 4,
    "batch.gradient_accumulation_steps": 1,
    "precision.bf16": False,
    "precision.gradient_checkpointing": False,
    "data.max_length": 64,
    "run.logging_steps": 1.0,
    "run.save_strategy": "no",
}


@dataclass(frozen=True)
class Outcome:
    code: int
    directory: Path

    @property
    def log(self) -> list[events.Event]:
        return list(events.read(self.directory / events.FILE_NAME))

    def of(self, kind: type[T]) -> list[T]:
        return [event for event in self.log if isinstance(event, kind)]

    @property
    def losses(self) -> dict[int, float]:
        """By step; a resumed run's record of a step replaces that of the run it continues."""
        return {event.step: event.loss for event in self.of(events.Step)}

    @property
    def error(self) -> events.Failed:
        [failed] = self.of(events.Failed)
        return failed


def make_manifest(directory: Path, model: Path, data: Path | Sequence[DataSource], **changes: Any) -> Manifest:
    """A manifest in its run directory; `plan` changes PLAN, everything else the manifest."""
    plan = {**PLAN, "model.name": str(model), **changes.pop("plan", {})}
    sources = (DataSource(source=str(data), kind="file"),) if isinstance(data, Path) else tuple(data)
    made = Manifest(
        plan=build({name: value for name, value in plan.items() if value is not None}),
        data=sources,
        run_directory=str(directory),
        seed=changes.pop("seed", 7),
        device="cpu",
        **changes,
    )
    directory.mkdir(parents=True, exist_ok=True)
    write(made, directory / FILE_NAME)
    return made


def train(directory: Path, model: Path, data: Path | Sequence[DataSource], **changes: Any) -> Outcome:
    """Run a manifest in this process."""
    from loraplan_trainer.run import run

    made = make_manifest(directory, model, data, **changes)
    with in_process():
        return Outcome(run(made, (directory / FILE_NAME).read_bytes()), directory)


@contextmanager
def in_process() -> Iterator[None]:
    """A run leaves signal handlers and accelerate's state behind; neither may reach the next test."""
    from accelerate.state import AcceleratorState

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        AcceleratorState._reset_state(reset_partial_state=True)


def rows_file(folder: Path, rows: Sequence[dict[str, Any]], name: str = "rows.jsonl") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return write_rows(folder / name, rows)
