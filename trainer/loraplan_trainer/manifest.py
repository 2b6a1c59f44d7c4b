"""What one run is: the JSON file that crosses from `loraplan train` into the trainer's process. Needs no torch.

The Plan travels as a nested object in the Plan's own field names; everything else is what the Plan does not say: where
its values came from, which files, which versions, which directory.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError, field_validator, model_validator

from loraplan import atomic
from loraplan.plan import Plan

VERSION = 1
"""Of this file's schema; a manifest of another version is refused."""
FILE_NAME = "manifest.json"

Form = Literal["prompt_completion", "messages", "alpaca", "sharegpt", "text", "preference"]
"""How a row holds its example; see `loraplan_trainer.data.forms`."""
Tracker = Literal["tensorboard", "wandb", "mlflow", "trackio"]
TRACKERS: tuple[Tracker, ...] = get_args(Tracker)
TrackerVariable = Literal[
    "WANDB_PROJECT", "WANDB_ENTITY", "WANDB_NAME", "WANDB_MODE", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_TRACKING_URI"
]
"""Names and places only: a key or a password never stands in a manifest."""
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class ManifestError(Exception):
    """A manifest that cannot be read or is not valid; the text names the file, the field and the remedy."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Origin(_Strict):
    """Where a Plan value came from, in words: `kind` as in `loraplan.origin`, `text` as `loraplan show` prints it."""

    kind: Literal["explicit", "default", "derived"]
    text: str
    key: str | None = None
    """The key that a user would write to change it."""
    file: str | None = None
    line: PositiveInt | None = None


class ConfigFile(_Strict):
    """The config that the Plan was read from."""

    path: str
    sha256: Sha256
    format: str


class GitState(_Strict):
    """The repository that the config stands in."""

    commit: str
    branch: str | None = None
    dirty: bool = False


class DataSource(_Strict):
    """One data set. `source` is an absolute path, or a hub id where `kind` is `hub`."""

    source: str
    kind: Literal["file", "directory", "hub"]
    role: Literal["train", "eval"] = "train"
    split: str | None = None
    """Of a hub data set; the role's usual one where it is None."""
    subset: str | None = None
    revision: str | None = None
    form: Form | None = None
    """None: detected from the first row, and shown."""
    columns: dict[str, str] = Field(default_factory=dict)
    """The form's own field name to the column that holds it, where they differ: `{"completion": "answer"}`."""
    sha256: Sha256 | None = None
    """Of a file as it was when the manifest was written; a file that changed since is refused."""


class Predicted(_Strict):
    """Peak memory that was predicted for one device, to stand beside the measured one. Bytes."""

    total: int
    low: int | None = None
    high: int | None = None
    phases: dict[str, int] = Field(default_factory=dict)


class Manifest(_Strict):
    """Everything that the trainer is told."""

    schema_version: Literal[1] = 1
    plan: Plan
    origins: dict[str, Origin] = Field(default_factory=dict)
    """By dotted field name, for fields that have a value."""
    config: ConfigFile | None = None
    data: tuple[DataSource, ...] = Field(min_length=1)
    run_directory: str
    """Absolute. Holds this file, `log.jsonl`, `checkpoints/`, `adapter/`."""
    seed: int = Field(ge=0, lt=2**32)
    """Decides where the Plan's `run.seed` is None; equal to it otherwise."""
    processes: PositiveInt = 1
    """Over all nodes."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    broken_rows: Literal["stop", "skip"] = "stop"
    stream: bool | None = None
    """Read data while training, none of it kept; None: where the files are larger than half of the free memory."""
    resume: bool = False
    """Continue from the last whole checkpoint in the run directory; from the start where there is none."""
    dry_run: bool = False
    """Build everything up to the first step, then stop."""
    merge: bool = False
    """Also write the merged 16-bit model to `merged/`, after a check that it gives the adapter's outputs."""
    keep_checkpoints: PositiveInt = 2
    sample_prompts: tuple[str, ...] = ()
    """Completed before and after training, greedily; see the `sample` event."""
    sample_tokens: PositiveInt = 64
    report_to: tuple[Tracker, ...] = ()
    tracking: dict[TrackerVariable, str] = Field(default_factory=dict)
    """Names for the trackers, as the environment variables that they read; one that is set already wins."""
    predicted: Predicted | None = None
    suggestions: tuple[str, ...] = ()
    """What would fit instead, one line each; printed when the device runs out of memory."""
    versions: dict[str, str] = Field(default_factory=dict)
    """Of the packages that the manifest was written under, `loraplan` among them."""
    git: GitState | None = None
    created: str | None = None
    """UTC, ISO 8601."""

    @field_validator("run_directory")
    @classmethod
    def _absolute(cls, value: str) -> str:
        if not Path(value).is_absolute():
            raise ValueError("must be an absolute path")
        return value

    @model_validator(mode="after")
    def _one_seed(self) -> Self:
        if self.plan.run.seed is not None and self.plan.run.seed != self.seed:
            raise ValueError(f"seed {self.seed} is not the plan's run.seed {self.plan.run.seed}")
        return self

    @property
    def directory(self) -> Path:
        """The run directory."""
        return Path(self.run_directory)


def read(path: Path) -> Manifest:
    """The manifest in a file, validated. Raises ManifestError."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read ({error.strerror}); `loraplan train` writes it") from error
    except ValueError as error:  # UnicodeDecodeError and JSONDecodeError
        raise ManifestError(f"{path}: is not JSON ({error}); write it again with `loraplan train`") from error
    if isinstance(content, dict) and content.get("schema_version", VERSION) != VERSION:
        raise ManifestError(
            f"{path}: schema_version {content['schema_version']!r}, this trainer reads {VERSION}; "
            "write it again with this installation's `loraplan train`"
        )
    try:
        return Manifest.model_validate(content)
    except ValidationError as error:
        raise ManifestError(f"{path}: {_first_fault(error)}; write it again with `loraplan train`") from error


def write(manifest: Manifest, path: Path) -> None:
    """Write a manifest in one step. Raises OSError."""
    atomic.write(str(path), manifest.model_dump_json(indent=2) + "\n")


def json_schema() -> dict[str, Any]:
    """The JSON Schema of the file."""
    return Manifest.model_json_schema()


def _first_fault(error: ValidationError) -> str:
    """The first fault of a validation, as `field: what is wrong`, and how many more there are."""
    first, *others = error.errors(include_url=False, include_input=False)
    place = ".".join(str(part) for part in first["loc"]) or "the file"
    more = f" (and {len(others)} more)" if others else ""
    return f"{place}: {first['msg']}{more}"
