"""The manifest: Plan, origins, data, versions, git state and prediction, put together for the trainer."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal, NamedTuple

from loraplan import __version__
from loraplan.baseline import git
from loraplan.formats.reading import Reading
from loraplan.origin import Default, Derived, Explicit
from loraplan.plan import Plan, get, ordered_names
from loraplan.report.plan import where
from loraplan.training.prediction import Prediction
from loraplan.training.sources import digest_of
from loraplan.training.trackers import Tracking
from loraplan_trainer.manifest import ConfigFile, DataSource, GitState, Manifest, Origin

PACKAGES = (
    "torch", "transformers", "peft", "trl", "accelerate", "bitsandbytes", "datasets", "tokenizers", "safetensors",
    "liger-kernel", "deepspeed",
)  # fmt: skip
DEFAULT_SEED = 42
"""Of transformers (training_args.py@5.23.0), where the config sets none."""


class Choices(NamedTuple):
    """What the command line decides beside the Plan."""

    device: Literal["cpu", "cuda"]
    processes: int = 1
    dry_run: bool = False
    merge: bool = False
    skip_broken: bool = False
    stream: bool | None = None
    keep_checkpoints: int = 2
    sample_prompts: tuple[str, ...] = ()
    sample_tokens: int = 64
    tracking: Tracking = Tracking()


def manifest(
    reading: Reading,
    plan: Plan,
    said: dict[str, str],
    data: tuple[DataSource, ...],
    directory: Path,
    choices: Choices,
    prediction: Prediction,
) -> Manifest:
    """Everything that the trainer is told. `said` has the words for fields that the command line set."""
    seed = plan.run.seed if plan.run.seed is not None else DEFAULT_SEED
    return Manifest(
        plan=plan,
        origins=origins(reading, plan, said),
        config=_config(reading),
        data=data,
        run_directory=str(directory),
        seed=seed,
        processes=choices.processes,
        device=choices.device,
        broken_rows="skip" if choices.skip_broken else "stop",
        stream=choices.stream,
        dry_run=choices.dry_run,
        merge=choices.merge,
        keep_checkpoints=choices.keep_checkpoints,
        sample_prompts=choices.sample_prompts,
        sample_tokens=choices.sample_tokens,
        report_to=choices.tracking.trackers,
        tracking=choices.tracking.variables,
        predicted=prediction.predicted,
        suggestions=prediction.suggestions,
        versions=versions(),
        git=git_state(os.path.dirname(os.path.abspath(reading.document.path))),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def origins(reading: Reading, plan: Plan, said: dict[str, str]) -> dict[str, Origin]:
    """Where each value of the Plan came from, as `loraplan show` prints it."""
    found = {}
    for name in ordered_names():
        if get(plan, name) is None:
            continue
        if name in said:
            found[name] = Origin(kind="explicit", text=said[name])
            continue
        origin = reading.origins.get(name)
        text = where(reading, name)
        key = reading.key(name)
        match origin:
            case Explicit(path=path, span=span):
                line = reading.document.position(span.start).line
                found[name] = Origin(kind="explicit", text=text, key=key, file=os.path.abspath(path), line=line)
            case Default():
                found[name] = Origin(kind="default", text=text, key=key)
            case Derived():
                found[name] = Origin(kind="derived", text=text, key=key)
    return found


def versions() -> dict[str, str]:
    """Of LoRAPlan and of what the trainer runs on, as installed here."""
    found = {"loraplan": __version__}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def git_state(folder: str) -> GitState | None:
    """The repository around a folder; None outside one."""
    commit = (git(folder, "rev-parse", "HEAD") or b"").decode().strip()
    if not commit:
        return None
    branch = (git(folder, "rev-parse", "--abbrev-ref", "HEAD") or b"").decode().strip()
    dirty = bool((git(folder, "status", "--porcelain", "--untracked-files=no") or b"").strip())
    return GitState(commit=commit, branch=None if branch in ("", "HEAD") else branch, dirty=dirty)


def _config(reading: Reading) -> ConfigFile | None:
    path = Path(reading.document.path).absolute()
    if not path.is_file():
        return None
    return ConfigFile(path=str(path), sha256=digest_of(path), format=reading.format)
