"""Rows of data files, one at a time, each with the place it came from. Knows no form and no tokenizer."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from loraplan_trainer.failure import CannotRun
from loraplan_trainer.manifest import DataSource

SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".txt", ".md")
_HELD_OUT = ("test", "valid", "validation", "eval", "dev", "val")


class Row(NamedTuple):
    """A row, or why it is none."""

    source: str
    """The file, or the hub id."""
    line: int
    """From 1: the line in a text file, the row elsewhere."""
    value: dict[str, Any] | None
    fault: str | None = None

    @property
    def place(self) -> str:
        return f"{self.source}:{self.line}"


def rows(source: DataSource, *, stream: bool = False) -> Iterator[Row]:
    """Every row of a source, in order. Raises CannotRun where it vanished, changed or cannot be read."""
    if source.kind == "hub":
        yield from _hub_rows(source, stream=stream)
        return
    path = Path(source.source)
    if source.kind == "directory" and (path / "state.json").is_file():  # Dataset.save_to_disk
        yield from _saved_rows(source)
        return
    for file in files(source):
        try:
            yield from file_rows(file)
        except OSError as error:
            raise CannotRun(f"{file}: cannot be read ({error.strerror or error}); put it back and resume") from error
        except UnicodeDecodeError as error:
            raise CannotRun(f"{file}: is not UTF-8 (byte {error.start}); convert it, e.g. with iconv") from error


def files(source: DataSource) -> list[Path]:
    """The files of a local source. Raises CannotRun where there are none, or the file changed since the manifest."""
    path = Path(source.source)
    if source.kind == "file":
        if not path.is_file():
            raise CannotRun(f"{path}: data file not found; the manifest names it, put it back or write a new manifest")
        if path.suffix not in SUFFIXES:
            raise CannotRun(f"{path}: {path.suffix or 'no suffix'} is not among {', '.join(SUFFIXES)}")
        if source.sha256 is not None and _sha256(path) != source.sha256:
            raise CannotRun(f"{path}: changed since the manifest was written; start a new run with `loraplan train`")
        return [path]
    if not path.is_dir():
        raise CannotRun(f"{path}: data directory not found; the manifest names it, put it back or write a new manifest")
    found = sorted(item for item in path.rglob("*") if item.suffix in SUFFIXES and item.is_file())
    chosen = _of_split(found, source)
    if not chosen:
        raise CannotRun(f"{path}: holds no {' '.join(SUFFIXES)} file{f' of split {source.split}' * bool(source.split)}")
    return chosen


def _of_split(found: list[Path], source: DataSource) -> list[Path]:
    """Files of one split by their names; where no split is asked for, held-out ones stay out of training."""
    if source.split is not None:
        return [item for item in found if item.stem.startswith(source.split) or item.parent.name == source.split]
    held_out = [item for item in found if _is_held_out(item)]
    if source.role == "eval":
        return held_out or found
    training = [item for item in found if not _is_held_out(item)]
    return training or found


def _is_held_out(path: Path) -> bool:
    first = path.stem.replace("-", "_").split("_")[0].split(".")[0]
    return first in _HELD_OUT or path.parent.name in _HELD_OUT


def file_rows(path: Path) -> Iterator[Row]:
    """Every row of a file. Raises OSError, UnicodeDecodeError, CannotRun."""
    match path.suffix:
        case ".jsonl" | ".ndjson":
            yield from _json_lines(path)
        case ".json":
            yield from _json(path)
        case ".csv" | ".tsv":
            yield from _table(path, "\t" if path.suffix == ".tsv" else ",")
        case ".parquet":
            yield from _parquet(path)
        case _:
            yield Row(str(path), 1, {"text": path.read_text(encoding="utf-8-sig")})


def _json_lines(path: Path) -> Iterator[Row]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield _json_line(str(path), number, line)


def _json_line(source: str, number: int, line: bytes) -> Row:
    try:
        value = json.loads(line.decode("utf-8-sig").rstrip("\r\n"))
    except UnicodeDecodeError as error:
        return Row(source, number, None, f"not UTF-8 (byte {error.start} of the line)")
    except json.JSONDecodeError as error:
        return Row(source, number, None, f"not JSON: {error.msg} at column {error.colno}")
    except ValueError as error:  # a whole number of thousands of digits
        return Row(source, number, None, f"not JSON: {error}")
    except RecursionError:
        return Row(source, number, None, "nested too deeply")
    return _as_row(source, number, value)


def _as_row(source: str, number: int, value: Any) -> Row:
    if not isinstance(value, dict):
        return Row(source, number, None, f"an object is wanted, this is {type(value).__name__}")
    return Row(source, number, value)


def _json(path: Path) -> Iterator[Row]:
    text = path.read_text(encoding="utf-8-sig")
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        first, _, rest = text.lstrip().partition("\n")
        if rest.strip() and _is_object(first):  # JSON lines under another name
            yield from _json_lines(path)
            return
        raise CannotRun(f"{path}:{error.lineno}:{error.colno}: not JSON: {error.msg}") from error
    except ValueError as error:  # a whole number of thousands of digits
        raise CannotRun(f"{path}: not JSON: {error}") from error
    except RecursionError as error:
        raise CannotRun(f"{path}: nested too deeply") from error
    if isinstance(content, dict) and isinstance(content.get("data"), list):
        content = content["data"]
    if isinstance(content, dict):
        content = [content]
    if not isinstance(content, list):
        raise CannotRun(f"{path}: a list of objects is wanted, this is {type(content).__name__}")
    for number, value in enumerate(content, 1):
        yield _as_row(str(path), number, value)


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def _table(path: Path, delimiter: str) -> Iterator[Row]:
    csv.field_size_limit(1 << 30)  # a text may be longer than 128 KiB, the module's default
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, delimiter=delimiter, strict=True)
        try:
            if reader.fieldnames is None:
                return
        except csv.Error as error:
            yield Row(str(path), 1, None, f"not CSV: {error}")
            return
        while True:
            line = reader.line_num + 1
            try:
                value = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield Row(str(path), line, None, f"not CSV: {error}")
                continue
            if None in value:
                yield Row(str(path), line, None, f"more cells than the {len(reader.fieldnames)} columns")
            elif None in value.values():
                yield Row(str(path), line, None, f"fewer cells than the {len(reader.fieldnames)} columns")
            else:
                yield Row(str(path), line, dict(value))


def _parquet(path: Path) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        number = 0
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1000):
                for value in batch.to_pylist():
                    number += 1
                    yield Row(str(path), number, value)
    except pa.ArrowInvalid as error:
        raise CannotRun(f"{path}: not a parquet file: {error}") from error


def _hub_rows(source: DataSource, *, stream: bool) -> Iterator[Row]:
    import datasets

    split = source.split or ("train" if source.role == "train" else "validation")
    try:
        found: Iterable[dict[str, Any]] = datasets.load_dataset(
            source.source, source.subset, split=split, revision=source.revision, streaming=stream
        )
    except Exception as error:  # its own, its hub client's and builtin ones
        raise CannotRun(f"{source.source}: split {split!r} cannot be loaded from the hub ({error})") from error
    for number, value in enumerate(found, 1):
        yield Row(source.source, number, value)


def _saved_rows(source: DataSource) -> Iterator[Row]:
    import datasets

    try:
        found: Iterable[dict[str, Any]] = datasets.load_from_disk(source.source)
    except (OSError, ValueError) as error:
        raise CannotRun(f"{source.source}: a saved data set that cannot be loaded ({error})") from error
    for number, value in enumerate(found, 1):
        yield Row(source.source, number, value)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
