"""Where a run's metrics are also sent: what the command line or the config asks for, in each framework's keys."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from loraplan.datasets.portions import Raw
from loraplan.formats.reading import Reading
from loraplan.training import TrainingError, written
from loraplan_trainer.manifest import TRACKERS, Tracker, TrackerVariable

Asked = Literal["none"] | Tracker

# A project or an experiment switches its tracker on (axolotl/utils/wandb_.py, mlflow_.py, trackio_.py@0.19.0); with
# `training.` they are oumi's (core/configs/params/training_params.py@0.9).
_SWITCHES: dict[str, Tracker] = {
    "use_wandb": "wandb",
    "wandb_project": "wandb",
    "use_mlflow": "mlflow",
    "mlflow_experiment_name": "mlflow",
    "use_tensorboard": "tensorboard",
    "use_trackio": "trackio",
    "trackio_project_name": "trackio",
    "training.enable_wandb": "wandb",
    "training.enable_mlflow": "mlflow",
    "training.enable_tensorboard": "tensorboard",
}
_VARIABLES: dict[str, TrackerVariable] = {
    "wandb_project": "WANDB_PROJECT",
    "wandb_entity": "WANDB_ENTITY",
    "wandb_name": "WANDB_NAME",
    "wandb_mode": "WANDB_MODE",
    "mlflow_experiment_name": "MLFLOW_EXPERIMENT_NAME",
    "mlflow_tracking_uri": "MLFLOW_TRACKING_URI",
}


@dataclass(frozen=True)
class Tracking:
    """Trackers, the variables that they read their names from, and what a person should know."""

    trackers: tuple[Tracker, ...] = ()
    variables: dict[TrackerVariable, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def choose(reading: Reading, asked: tuple[Asked, ...], absent: frozenset[str]) -> Tracking:
    """What --report-to asks for, else what the config does. Raises TrainingError for an asked-for package not here."""
    if "none" in asked:
        return Tracking()
    missing = [name for name in asked if name in absent]
    if missing:
        raise TrainingError(f"--report-to {missing[0]}: the package is not installed; pip install {missing[0]}")
    raw = Raw(reading)
    variables, notes = _variables(raw)
    if asked:
        return Tracking(tuple(name for name in TRACKERS if name in asked), variables, tuple(notes))
    found = []
    for name in _named(reading, raw):
        if name not in TRACKERS:
            notes.append(f"reporting to {name} has no effect here: this trainer reports to {', '.join(TRACKERS)}")
        elif name in absent:
            notes.append(f"reporting to {name} has no effect here: the package {name} is not installed")
        else:
            found.append(name)
    return Tracking(tuple(name for name in TRACKERS if name in found), variables if found else {}, tuple(notes))


def _named(reading: Reading, raw: Raw) -> list[str]:
    """Names in `report_to`, or of the switches that are on."""
    value = next((value for entry, value in written.settings(reading) if entry.key.text == "report_to"), None)
    words = value if isinstance(value, list) else str(value or "").replace(",", " ").split()
    named = [str(word).lower() for word in words if str(word).lower() not in ("none", "[]")]
    if named:
        return list(TRACKERS) if "all" in named else named
    if str(raw("wandb_mode")).lower() == "disabled":
        named = [name for switch, name in _SWITCHES.items() if raw(switch) and name != "wandb"]
    else:
        named = [name for switch, name in _SWITCHES.items() if raw(switch)]
    return list(dict.fromkeys(named))


def _variables(raw: Raw) -> tuple[dict[TrackerVariable, str], list[str]]:
    """Names for the trackers; a password in an address stays out of the manifest."""
    values: dict[TrackerVariable, str | None] = {name: raw.text(key) for key, name in _VARIABLES.items()}
    notes = []
    if "@" in (values["MLFLOW_TRACKING_URI"] or ""):
        values["MLFLOW_TRACKING_URI"] = None
        notes.append("mlflow_tracking_uri holds a password and is not used; set MLFLOW_TRACKING_URI in the environment")
    return {name: value for name, value in values.items() if value is not None}, notes
