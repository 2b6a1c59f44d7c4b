"""The data of a run as the trainer takes them: which files or hub ids, in which form, under which columns.

What a config asks for and the trainer cannot do (a slice, a share, rows drawn again) is refused by name.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, get_args

from loraplan.datasets import UnknownSizeError
from loraplan.datasets.files import beside
from loraplan.datasets.portions import Portion, strings, taken
from loraplan.document import Mapping
from loraplan.formats.reading import Reading
from loraplan.formats.values import plain
from loraplan.training import TrainingError
from loraplan.training.forms import Layout, layouts
from loraplan_trainer.manifest import DataSource, Form

_HASHED_BYTES = 1 << 30
"""Larger files are not hashed: reading them would take longer than loading a model."""
_REMEDY = "write that part into a file and name it with --data"
_LOADERS = frozenset(("json", "csv", "parquet", "text"))
_HUB_SPLITS = frozenset(("train", "validation", "test"))


def of_run(reading: Reading) -> tuple[DataSource, ...]:
    """The training and held-out data that a config names. Raises TrainingError."""
    path = reading.document.path
    try:
        portions = taken(reading).portions
    except UnknownSizeError as error:
        raise TrainingError(f"{path}: its data cannot be followed ({error}); --data FILE names them") from error
    shapes = layouts(reading)
    most = reading.plan.data.max_samples
    found = []
    for index, portion in enumerate(_with_files(reading, portion) for portion in portions):
        _refuse_parts(portion, path, most)
        layout = shapes[index] if index < len(shapes) else Layout()
        found += _sources(portion, path, "train", layout)
    layout = shapes[0] if shapes else Layout()
    for name in reading.plan.data.eval_datasets or ():
        found += _sources(Portion(name), path, "eval", layout)
    return tuple(found)


def _with_files(reading: Reading, portion: Portion) -> Portion:
    """A script's `load_dataset("json", data_files=...)` with its files."""
    if reading.format != "python" or portion.files or portion.name not in _LOADERS:
        return portion
    for entry in reading.root.entries if isinstance(reading.root, Mapping) else ():
        node = entry.value
        if isinstance(node, Mapping) and (node.call or "").rpartition(".")[2] == "load_dataset":
            given = plain(found, "literal") if (found := node.get("data_files")) is not None else None
            files = given.get("train") if isinstance(given, dict) else given
            if named := strings(files):
                return portion._replace(files=named)
    raise TrainingError(f"{reading.document.path}: which files load_dataset reads is not known; --data names them")


def of_options(train: Iterable[str], evaluation: Iterable[str], form: str | None) -> tuple[DataSource, ...]:
    """The data that the command line names: files, directories or hub ids. Raises TrainingError."""
    layout = Layout(_form(form))
    found: list[DataSource] = []
    for role, names in (("train", train), ("eval", evaluation)):
        for name in names:
            found += _sources(Portion(name), os.path.join(os.getcwd(), "command line"), _role(role), layout)
    return tuple(found)


def _role(name: str) -> Literal["train", "eval"]:
    return "train" if name == "train" else "eval"


def _form(name: str | None) -> Form | None:
    known: tuple[Form, ...] = get_args(Form)
    return next((form for form in known if form == name), None)


def _refuse_parts(portion: Portion, config: str, most: int | None) -> None:
    named = portion.name or "a data set"
    if "[" in portion.split or portion.share is not None or portion.shards is not None:
        part = portion.split if "[" in portion.split else f"share {portion.share}" if portion.share else "one shard"
        raise TrainingError(f"{config}: it takes {part} of {named}, and this trainer reads whole splits; {_REMEDY}")
    if portion.exactly is not None:
        message = f"it draws {portion.exactly:,} rows of {named}, some of them again"
        raise TrainingError(f"{config}: {message}, which this trainer does not do; {_REMEDY}")
    if portion.most is not None and portion.most != most:
        raise TrainingError(f"{config}: it takes {portion.most:,} rows of {named} alone; {_REMEDY}")


def _sources(portion: Portion, config: str, role: Literal["train", "eval"], layout: Layout) -> list[DataSource]:
    name = portion.name
    if not name:
        raise TrainingError(f"{config}: a data set has no name that is known; --data FILE names it")
    if "://" in name:
        raise TrainingError(f"{config}: {name} is not downloaded; fetch it and name the file with --data")
    if portion.files:
        return [_file(file, config, role, layout) for file in _named(portion, config)]
    path = beside(name, config, os.path.exists)
    split = portion.split if portion.split not in ("train", "all") or role == "eval" else None
    if path is None:
        if _looks_like_a_path(name):
            raise TrainingError(f"{config}: data file {name} not found from its folder nor from here; --data names it")
        return [
            DataSource(
                source=name,
                kind="hub",
                role=role,
                split=portion.split if role == "train" else None,
                subset=portion.subset,
                form=layout.form,
                columns=layout.columns,
            )
        ]
    if os.path.isdir(path):
        return [
            DataSource(
                source=path,
                kind="directory",
                role=role,
                split=split if role == "train" else None,
                form=layout.form,
                columns=layout.columns,
            )
        ]
    if portion.split not in _HUB_SPLITS | {"all"}:
        raise TrainingError(f"{config}: a single file has the split train alone, not {portion.split}; {_REMEDY}")
    return [_file(path, config, role, layout)]


def _named(portion: Portion, config: str) -> list[str]:
    """The files of a data set that names them, as seen from the config, the data set's folder included."""
    folder = beside(portion.name, config, os.path.isdir)
    found = []
    for file in portion.files:
        inside = os.path.join(folder, file) if folder else None
        path = inside if inside and os.path.isfile(inside) else beside(file, config, os.path.isfile)
        if path is None:
            raise TrainingError(f"{config}: data file {file} of {portion.name} not found; --data names it")
        found.append(path)
    return found


def _file(path: str, config: str, role: Literal["train", "eval"], layout: Layout) -> DataSource:
    absolute = os.path.abspath(path)
    try:
        digest = digest_of(absolute) if os.path.getsize(absolute) <= _HASHED_BYTES else None
    except OSError as error:
        raise TrainingError(f"{config}: {path} cannot be read ({error.strerror})") from error
    return DataSource(source=absolute, kind="file", role=role, form=layout.form, columns=layout.columns, sha256=digest)


def digest_of(path: str | Path) -> str:
    """The SHA-256 of a file. Raises OSError."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _looks_like_a_path(name: str) -> bool:
    endings = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".txt")
    return name.startswith((".", "/", "~")) or name.lower().endswith(endings) or name.count("/") > 1
