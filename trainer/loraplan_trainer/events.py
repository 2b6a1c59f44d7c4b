"""The records of a run's `log.jsonl`, one JSON object a line, each with `event` and `time`. Needs no torch.

Bytes are whole bytes. `memory_source` says what was measured: `cuda` is torch's allocator on this process's device,
`rss` is the resident size of the process. Only the main process writes, about itself unless a field says otherwise.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

FILE_NAME = "log.jsonl"

MemorySource = Literal["cuda", "rss"]
Phase = Literal["load", "adapter", "forward", "backward", "step", "evaluation", "save"]


class _Event(BaseModel):
    # Floats that are not numbers are written as such: a NaN loss is exactly what a log is read for.
    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings", allow_inf_nan=True)
    time: float = Field(default_factory=time.time)
    """Seconds since the epoch."""


class Start(_Event):
    """The process has read its manifest."""

    event: Literal["start"] = "start"
    manifest_sha256: str
    versions: dict[str, str]
    device: str
    """`cpu`, or the card's name."""
    processes: int
    resumed_from: int | None = None
    """The optimizer step of the checkpoint that the run continues from."""


class PlanField(_Event):
    """What became of one Plan field: honoured by an argument, or without effect and why.

    `default`: the Plan has no value, `value` is what the library fills in.
    """

    event: Literal["field"] = "field"
    name: str
    value: Any
    outcome: Literal["honoured", "no_effect", "default"]
    text: str


class Broken(_Event):
    """A row that holds no example."""

    event: Literal["broken_row"] = "broken_row"
    source: str
    line: int
    """From 1: the line of a jsonl or csv file, the row elsewhere."""
    reason: str


class DataStatistics(_Event):
    """One data set as the run uses it, before its first step. Of a streamed one, the first `rows` rows."""

    event: Literal["data"] = "data"
    role: Literal["train", "eval"]
    sources: tuple[str, ...]
    forms: tuple[str, ...]
    rows: int
    broken: int
    tokens: int | None
    longest: int | None
    """Tokens of the longest example, uncut."""
    trained_tokens: int | None = None
    """Tokens that the loss sees."""
    truncated: float | None
    """Share of rows longer than the cap, from 0 to 1."""
    empty: int = 0
    """Rows without one token that the loss sees, after cutting."""
    sampled: bool = False
    """The figures are of a part of the data: it is streamed."""
    example: str | None = None
    """The first example as the model sees it, cut to 2,000 characters."""


class ModelReady(_Event):
    """The model is ready."""

    event: Literal["model"] = "model"
    parameters: int
    trainable: int
    adapted_modules: int
    steps: int | None
    """Optimizer steps that the run will take."""
    examples_per_step: int | None = None
    """The effective batch: per device x accumulation x processes; of packed data, sequences."""


class Step(_Event):
    """One logged optimizer step; `loss` is the mean since the last one."""

    event: Literal["step"] = "step"
    step: int
    steps: int | None
    epoch: float | None
    loss: float
    lr: float
    grad_norm: float | None
    tokens_per_s: float | None
    """Over all processes, without padding, since the last logged step."""
    memory_now: int
    memory_peak: int
    memory_source: MemorySource
    eta: float | None
    """Seconds left."""
    metrics: dict[str, float] = Field(default_factory=dict)
    """What else the trainer logs: `rewards/margins`, `mean_token_accuracy`, ..."""


class PhaseMemory(_Event):
    """The highest memory of one phase, over the run so far; written when the run ends or fails."""

    event: Literal["memory"] = "memory"
    phase: Phase
    peak: int
    memory_source: MemorySource
    reserved: int | None = None
    """What torch's allocator held from the card at most, on a card."""


class Evaluation(_Event):
    """One evaluation."""

    event: Literal["eval"] = "eval"
    step: int
    loss: float | None
    metrics: dict[str, float] = Field(default_factory=dict)


class Checkpoint(_Event):
    """A whole checkpoint is on disk."""

    event: Literal["checkpoint"] = "checkpoint"
    step: int
    path: str
    bytes: int
    why: Literal["schedule", "signal", "end"] = "schedule"


class Sample(_Event):
    """What the model writes after a fixed prompt."""

    event: Literal["sample"] = "sample"
    when: Literal["before", "after"]
    prompt: str
    completion: str


class Merge(_Event):
    """The merged model is on disk and was compared with the adapter's outputs."""

    event: Literal["merge"] = "merge"
    path: str
    dtype: str
    largest_difference: float
    """Of the logits, between base plus adapter and the merged model as it was read back."""
    tolerance: float


class Warned(_Event):
    """Something to know."""

    event: Literal["warning"] = "warning"
    text: str


class Failed(_Event):
    """The run stops. `kind` goes with the exit code; see `loraplan_trainer.failure`."""

    event: Literal["error"] = "error"
    kind: Literal["cannot_run", "out_of_memory", "not_a_number", "bug"]
    text: str
    phase: Phase | None = None
    step: int | None = None
    suggestions: tuple[str, ...] = ()


class End(_Event):
    """The process ends; the last record."""

    event: Literal["end"] = "end"
    outcome: Literal["done", "dry_run", "interrupted", "failed"]
    exit_code: int
    step: int
    seconds: float
    """Of this process, loading included."""
    adapter: str | None = None
    """Directory of the saved adapter."""
    tokens: int | None = None
    """Seen by the model in training by this process."""


Event = (
    Start | PlanField | Broken | DataStatistics | ModelReady | Step | PhaseMemory | Evaluation | Checkpoint | Sample
    | Merge | Warned | Failed | End
)  # fmt: skip
_ADAPTER: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="event")])


class LogError(Exception):
    """A line of a log that is no record of this version; the text names file and line."""


def read(path: Path) -> Iterator[Event]:
    """The records of a log, in order. A last line that a kill cut short is left out. Raises LogError, OSError."""
    *lines, _ = path.read_bytes().split(b"\n")  # a whole record ends with a line feed
    for number, line in enumerate(lines, 1):
        try:
            yield _ADAPTER.validate_json(line)
        except ValidationError as error:
            raise LogError(f"{path}:{number}: not a record of this version") from error


class Log:
    """Appends records to a run's log, each written out at once; half a record that a kill left is cut off first.

    Raises OSError, as `write` does.
    """

    def __init__(self, directory: Path) -> None:
        path = directory / FILE_NAME
        if path.exists():
            content = path.read_bytes()
            os.truncate(path, content.rfind(b"\n") + 1)
        self._file = path.open("ab", buffering=0)

    def write(self, event: Event) -> None:
        self._file.write((event.model_dump_json() + "\n").encode())

    def close(self) -> None:
        self._file.close()
