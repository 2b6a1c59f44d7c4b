"""From a config to a run that could start: read, checked, its fields judged, its data found, its memory estimated."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import Literal

from loraplan.arch.spec import ArchSpec
from loraplan.context import words
from loraplan.engine import Checker
from loraplan.formats.reading import Reading
from loraplan.plan import Plan
from loraplan.rule import Skip
from loraplan.training import TrainingError, beyond, sources, trackers
from loraplan.training.hardware import Card
from loraplan.training.overrides import Override, apply, locate, put
from loraplan.training.prediction import Prediction, predict
from loraplan.training.prompts import first_prompts
from loraplan_trainer import fields
from loraplan_trainer.fields.outcomes import NoEffect, Refused
from loraplan_trainer.manifest import DataSource
from loraplan_trainer.situation import Situation, absent

NEEDED = ("torch", "transformers", "peft", "trl", "accelerate", "datasets")
"""Packages of the `train` extra without which nothing trains; bitsandbytes is needed for quantized models only."""


@dataclass
class Prepared:
    """A run that could start. `notes` is what a person should know before it does."""

    reading: Reading
    plan: Plan
    said: dict[str, str]
    data: tuple[DataSource, ...]
    prediction: Prediction
    situation: Situation
    prompts: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)
    tracking: trackers.Tracking = field(default_factory=trackers.Tracking)


@dataclass
class Asked:
    """What the command line asks for, beside the config."""

    model: str | None = None
    overrides: list[Override] = field(default_factory=list)
    data: tuple[str, ...] = ()
    eval_data: tuple[str, ...] = ()
    data_form: str | None = None
    device: str = "auto"
    processes: int | None = None
    nodes: int = 1
    anywhere: bool = False
    """The run is written out for another machine: what is here does not matter."""
    prompts: tuple[str, ...] | None = None
    """None: the first prompts of the data."""
    report_to: tuple[trackers.Asked, ...] = ()


def missing() -> list[str]:
    """Packages of the `train` extra that are not installed."""
    return [name for name in NEEDED if find_spec(name) is None]


def select(readings: list[Reading], name: str | None) -> Reading:
    """The run that is meant, where a file describes several. Raises TrainingError."""
    if name is None:
        if len(readings) == 1:
            return readings[0]
        names = ", ".join(str(reading.name) for reading in readings)
        raise TrainingError(f"{readings[0].document.path} describes {len(readings)} runs; --run names one of: {names}")
    for reading in readings:
        if reading.name == name:
            return reading
    names = ", ".join(str(reading.name) for reading in readings)
    raise TrainingError(f"{readings[0].document.path} has no run {name!r}; it has: {names}")


def prepare(checker: Checker, reading: Reading, asked: Asked, cards: tuple[Card, ...]) -> Prepared:
    """Everything that is decided before a process starts. Raises TrainingError."""
    path = reading.document.path
    merged = apply(reading.plan, _overrides(reading, asked))
    plan, said = locate(merged.plan, path), merged.said
    notes: list[str] = []
    device, processes = _devices(plan, asked, cards, notes)
    if asked.data:
        data = sources.of_options(asked.data, asked.eval_data, asked.data_form)
        plan = put(plan, "data.datasets", tuple(asked.data))
        said["data.datasets"] = "--data on the command line"
        if plan.data.eval_datasets and not asked.eval_data:
            plan = put(plan, "data.eval_datasets", None)
            notes.append("the config's held-out data are left out: --data replaces them; --eval-data names others")
    else:
        data = sources.of_run(reading)
        if asked.eval_data:
            data = tuple(item for item in data if item.role == "train")
            data += tuple(item for item in sources.of_options((), asked.eval_data, asked.data_form))
    held_out = any(item.role == "eval" for item in data) or bool(plan.data.val_size)
    situation = Situation(
        device, processes, sharding(plan, device, processes), held_out,
        frozenset() if asked.anywhere else absent(),
    )  # fmt: skip
    tracking = trackers.choose(reading, asked.report_to, situation.absent)
    notes += [*tracking.notes, *judge(plan, said, reading, situation)]
    arch = _architecture(checker, reading, plan)
    prediction = predict(plan, arch, cards[0] if situation.device == "cuda" and cards else None)
    prompts = first_prompts(data) if asked.prompts is None else asked.prompts
    return Prepared(reading, plan, said, data, prediction, situation, prompts, notes, tracking)


def judge(plan: Plan, said: dict[str, str], reading: Reading, situation: Situation) -> list[str]:
    """Notes on values without effect. Raises TrainingError, naming every value that is refused with its key."""
    notes, refused = beyond.judge(reading)
    if plan.model.name is None:
        refused.append("no model is named; --model names one")
    for name, value, outcome in fields.judge(plan, situation):
        key = said.get(name) or reading.key(name)
        if isinstance(outcome, Refused):
            refused.append(f"{name} ({key}): {outcome.text}")
        elif isinstance(outcome, NoEffect) and reading.explicit(name) is not None and value not in (False, 0):
            notes.append(f"{name} {words(value)} has no effect here: {outcome.text}")
    if refused:
        listed = "\n  ".join(refused)
        raise TrainingError(f"{reading.document.path}: this trainer cannot run it as it stands:\n  {listed}")
    return notes


def sharding(plan: Plan, device: str, processes: int) -> Literal["none", "fsdp", "deepspeed"]:
    """How the launcher is asked to shard; not on CPUs, where accelerate passes over it (accelerate/state.py@1.15.0)."""
    strategy = plan.distributed.strategy or ""
    if processes == 1 or device == "cpu":
        return "none"
    if strategy.startswith("fsdp"):
        return "fsdp"
    return "deepspeed" if strategy.startswith("zero") or strategy == "deepspeed" else "none"


def _overrides(reading: Reading, asked: Asked) -> list[Override]:
    found = list(asked.overrides)
    if asked.model is not None:
        here = os.path.abspath(asked.model) if os.path.isdir(asked.model) else asked.model
        found.insert(0, Override("model.name", here, "--model"))
    elif (folder := _checkpoint_folder(reading)) is not None:
        found.insert(0, Override("model.name", folder, "the config's checkpoint folder, not"))
    return found


def _checkpoint_folder(reading: Reading) -> str | None:
    """Where torchtune and litgpt read the weights from, if that is here and transformers can read it."""
    from loraplan.datasets.files import beside
    from loraplan.datasets.portions import Raw

    key = {"torchtune": "checkpointer.checkpoint_dir", "litgpt": "checkpoint_dir"}.get(reading.format)
    folder = Raw(reading).text(key) if key else None
    if folder is None:
        return None
    found = beside(folder, reading.document.path, os.path.isdir)
    return found if found is not None and os.path.isfile(os.path.join(found, "config.json")) else None


def _devices(plan: Plan, asked: Asked, cards: tuple[Card, ...], notes: list[str]) -> tuple[Literal["cpu", "cuda"], int]:
    """The kind of device and the number of processes over all machines. Raises TrainingError."""
    wanted = plan.distributed.devices
    if asked.anywhere:
        return "cpu" if asked.device == "cpu" else "cuda", asked.processes or wanted or 1
    if asked.device == "cuda" and not cards:
        raise TrainingError("--device cuda: nvidia-smi shows no card here; leave it out to train on the CPU")
    device: Literal["cpu", "cuda"] = "cpu" if asked.device == "cpu" or not cards else "cuda"
    if device == "cpu":
        notes.append("training on the CPU, as asked" if cards else "no GPU here: training on the CPU")
    most = len(cards) * asked.nodes
    if asked.processes is not None:
        if asked.processes % asked.nodes:
            raise TrainingError(
                f"--processes {asked.processes} cannot be shared out evenly over {asked.nodes} machines"
            )
        if device == "cuda" and asked.processes > most:
            raise TrainingError(f"--processes {asked.processes}: there are {len(cards)} cards on each machine")
        if wanted is not None and wanted != asked.processes:
            notes.append(
                f"{asked.processes} process(es) instead of {wanted}: each step sees another number of examples"
            )
        return device, asked.processes
    if wanted is None or wanted == 1 or (device == "cuda" and wanted <= most):
        return device, wanted or 1
    here = f"{len(cards)} card(s)" if device == "cuda" else "no card"
    raise TrainingError(
        f"the config is for {wanted} devices and there is {here} here; --processes N says how many to use, "
        f"and with fewer than {wanted} each step sees fewer examples"
    )


def _architecture(checker: Checker, reading: Reading, plan: Plan) -> ArchSpec | None:

    facts = checker.facts(replace(reading, plan=plan))
    try:
        return facts.arch()
    except Skip:
        return None
