"""What a run directory holds, read back: the manifest, and the log by kind of record."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from loraplan.plan import Plan, get, ordered_names
from loraplan.training import TrainingError
from loraplan.training.follow import Follower
from loraplan_trainer import manifest as manifests
from loraplan_trainer.events import (
    Checkpoint,
    DataStatistics,
    End,
    Evaluation,
    Event,
    Failed,
    Merge,
    ModelReady,
    PhaseMemory,
    PlanField,
    Sample,
    Start,
    Step,
    Warned,
)
from loraplan_trainer.manifest import Manifest, ManifestError


class Difference(NamedTuple):
    """A field or figure of two runs that is not the same."""

    name: str
    old: Any
    new: Any


@dataclass
class Outcome:
    """One run. Where it was resumed, a step's last record stands."""

    directory: Path
    manifest: Manifest
    start: Start | None = None
    end: End | None = None
    model: ModelReady | None = None
    failed: Failed | None = None
    merge: Merge | None = None
    steps: list[Step] = field(default_factory=list)
    evaluations: list[Evaluation] = field(default_factory=list)
    checkpoints: list[Checkpoint] = field(default_factory=list)
    data: list[DataStatistics] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    fields: list[PlanField] = field(default_factory=list)
    memory: dict[str, int] = field(default_factory=dict)
    memory_source: str | None = None
    seconds: float = 0.0
    """Over all its processes, one after another."""
    resumed: int = 0

    @property
    def state(self) -> str:
        """`done`, `interrupted`, `failed`, or `unfinished` where no last record was written."""
        return "unfinished" if self.end is None else self.end.outcome

    @property
    def tokens_per_s(self) -> float | None:
        """The mean over the logged steps, the first one left out where there are others: it warms up."""
        rates = [step.tokens_per_s for step in self.steps if step.tokens_per_s is not None]
        rates = rates[1:] or rates
        # Each record's rate is over its own time, and records have about as many tokens: the harmonic mean.
        if not rates or min(rates) <= 0:
            return None
        return len(rates) / sum(1 / rate for rate in rates)

    @property
    def peak(self) -> int | None:
        """The highest measured memory, in bytes."""
        found = [step.memory_peak for step in self.steps] + list(self.memory.values())
        return max(found) if found else None

    def figures(self) -> dict[str, Any]:
        """What came of the run, as plain values."""
        last = self.steps[-1] if self.steps else None
        return {
            "state": self.state,
            "exit_code": self.end.exit_code if self.end else None,
            "steps": last.step if last else 0,
            "first_loss": self.steps[0].loss if self.steps else None,
            "last_loss": last.loss if last else None,
            "eval_loss": self.evaluations[-1].loss if self.evaluations else None,
            "tokens_per_s": self.tokens_per_s,
            "seconds": self.seconds or None,
            "peak_memory": self.peak,
            "memory_source": self.memory_source,
            "predicted_memory": self.manifest.predicted.total if self.manifest.predicted else None,
            "trainable": self.model.trainable if self.model else None,
            "device": self.start.device if self.start else None,
        }


def read(directory: Path) -> Outcome:
    """The run in a directory. Raises TrainingError where there is none that can be read."""
    try:
        outcome = Outcome(directory, manifests.read(directory / manifests.FILE_NAME))
    except ManifestError as error:
        raise TrainingError(str(error)) from error
    _fill(outcome, Follower(directory).new())
    return outcome


def _fill(outcome: Outcome, events: Iterable[Event]) -> None:
    for event in events:
        match event:
            case Start():
                outcome.resumed += event.resumed_from is not None
                outcome.start, outcome.end, outcome.failed = event, None, None
                outcome.data, outcome.fields = [], []
            case Step():
                outcome.steps = [step for step in outcome.steps if step.step < event.step]
                outcome.steps.append(event)
                outcome.memory_source = event.memory_source
            case Evaluation():
                outcome.evaluations = [item for item in outcome.evaluations if item.step < event.step]
                outcome.evaluations.append(event)
            case Checkpoint():
                outcome.checkpoints.append(event)
            case DataStatistics():
                outcome.data.append(event)
            case Sample():
                key = (event.when, event.prompt)
                outcome.samples = [item for item in outcome.samples if (item.when, item.prompt) != key]
                outcome.samples.append(event)
            case PhaseMemory():
                outcome.memory[event.phase] = max(outcome.memory.get(event.phase, 0), event.peak)
                outcome.memory_source = event.memory_source
            case PlanField():
                outcome.fields.append(event)
            case ModelReady():
                outcome.model = event
            case Merge():
                outcome.merge = event
            case Warned():
                outcome.warnings.append(event.text)
            case Failed():
                outcome.failed = event
            case End():
                outcome.end = event
                outcome.seconds += event.seconds


def differences(old: Plan, new: Plan) -> list[Difference]:
    """The fields in which two Plans differ, in the Plan's order."""
    found = (Difference(name, get(old, name), get(new, name)) for name in ordered_names())
    return [item for item in found if item.old != item.new]
