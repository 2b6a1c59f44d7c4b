"""Local datasets: where a path leads, and which files of a folder belong to a split."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

from loraplan.datasets import UnknownSizeError, shown
from loraplan.datasets.known import rows_of

if TYPE_CHECKING:
    from loraplan.datasets.portions import Portion

_KINDS = {
    ".jsonl": "lines", ".ndjson": "lines", ".json": "json", ".csv": "csv", ".tsv": "csv",
    ".parquet": "parquet", ".pq": "parquet",
}  # fmt: skip
_OTHERS = (".arrow", ".txt", ".gz", ".zst", ".bz2", ".xz", ".zip", ".xlsx", ".pickle", ".pkl", ".pt", ".bin", ".npy")
_NOT_DATA = frozenset(("dataset_info.json", "dataset_dict.json", "dataset_infos.json", "state.json", "config.json"))
# datasets 5.2 data_files.py SPLIT_KEYWORDS
_WORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "dev", "val"),
    "test": ("test", "testing", "eval", "evaluation"),
}
_MOST_FILES = 512


class Places:
    """Counts datasets as seen from one config."""

    def __init__(self, config: str) -> None:
        self.config = config

    def rows(self, portion: Portion, split: str) -> tuple[int, str]:
        """Rows of a split, and where the number is from."""
        name = portion.name
        if not name:
            raise UnknownSizeError("a dataset's name is not known")
        if "://" in name:
            raise UnknownSizeError(f"{shown(name)} is not downloaded")
        path = beside(name, self.config, os.path.exists)
        if path is not None and os.path.isdir(path):
            return self._folder(path, split, portion.files, name)
        if path is not None:
            if split not in ("train", "all"):
                raise UnknownSizeError(f"a single file has the split train alone, not {split}")
            return self._files([path], name)
        if portion.files and name in ("json", "csv", "parquet"):
            found = [beside(file, self.config, os.path.isfile) for file in portion.files]
            if all(found):
                return self._files([file for file in found if file], shown(portion.files[0]))
        known = None if portion.files else rows_of(name, split, portion.subset)
        if known is not None:
            rows, rounded = known
            return rows, f"{'about ' if rounded else ''}{rows:,} rows of {name} (table of public datasets)"
        if _is_path(name):
            raise UnknownSizeError(f"{shown(name)} is not here")
        raise UnknownSizeError(f"the size of {shown(name)} is not known")

    def _folder(self, path: str, split: str, named: tuple[str, ...], name: str) -> tuple[int, str]:
        if named:
            files = [os.path.join(path, file) for file in named if "*" not in file]
            if len(files) < len(named) or not all(map(os.path.isfile, files)):
                raise UnknownSizeError(f"a file of {shown(name)} is not here")
            return self._files(files, name)
        if os.path.isfile(os.path.join(path, "state.json")) or os.path.isfile(os.path.join(path, "dataset_dict.json")):
            raise UnknownSizeError(f"{shown(name)} was saved as Arrow files, which are not counted")
        return self._files(_of_split(_listed(path, name), split, path, name), name)

    def _files(self, paths: list[str], name: str) -> tuple[int, str]:
        rows = sum(_count_once(path, *_stamp(path)) for path in paths)
        files = "" if len(paths) == 1 else f" ({len(paths)} files)"
        return rows, f"{rows:,} rows of {shown(name)}{files}"


def _stamp(path: str) -> tuple[int, int]:
    """What changes when a file does: its time and its length."""
    try:
        found = os.stat(path)
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size


@lru_cache(maxsize=256)
def _count_once(path: str, _changed: int, _length: int) -> int:
    """`count`, once for the many configs of a folder that share their data."""
    return count(path)


def count(path: str) -> int:
    """Rows of one file, by its ending."""
    kind = _KINDS.get(os.path.splitext(path)[1].lower())
    if kind == "parquet":
        from loraplan.datasets.parquet import count_parquet

        return count_parquet(path)
    from loraplan.datasets import rows

    if kind is None:
        raise UnknownSizeError(f"{os.path.basename(path)} is of a kind that is not counted")
    return {"lines": rows.count_lines, "json": rows.count_json, "csv": rows.count_csv}[kind](path)


def beside(name: str, config: str, exists: Callable[[str], bool]) -> str | None:
    """A path as seen from the config's folder, else from the working directory; None where neither has it."""
    name = os.path.expanduser(name) if name.startswith("~") else name
    if "\0" in name:
        return None
    folder = os.path.dirname(os.path.abspath(config))
    for base in (folder, os.getcwd()):
        path = os.path.normpath(os.path.join(base, name))
        if exists(path):
            return path
    return None


def _is_path(name: str) -> bool:
    return name.startswith((".", "/", "~", "\\")) or name.lower().endswith((*_KINDS, *_OTHERS)) or "\\" in name


def _listed(path: str, name: str) -> list[str]:
    """Data files of a folder and of those right below it, hidden ones left out."""
    found: list[str] = []
    for folder, folders, files in os.walk(path):
        depth = os.path.relpath(folder, path).count(os.sep) + (folder != path)
        folders[:] = sorted(item for item in folders if not item.startswith((".", "_")) and depth < 2)
        for file in sorted(files):
            ending = os.path.splitext(file)[1].lower()
            if file.startswith((".", "_")) or file in _NOT_DATA:
                continue
            if ending in _OTHERS:
                raise UnknownSizeError(f"{shown(name)} has {ending} files, which are not counted")
            if ending in _KINDS:
                found.append(os.path.join(folder, file))
        if len(found) > _MOST_FILES:
            raise UnknownSizeError(f"{shown(name)} has more than {_MOST_FILES} files")
    if len({_KINDS[os.path.splitext(file)[1].lower()] for file in found}) > 1:
        raise UnknownSizeError(f"{shown(name)} has data files of several kinds")
    return found


def _of_split(files: list[str], split: str, path: str, name: str) -> list[str]:
    """The files whose names or folders hold the split's word; all of them where none names any split."""
    by_split: dict[str, list[str]] = {}
    for file in files:
        words = set(re.split(r"[-._ 0-9/\\]+", os.path.relpath(file, path).lower()))
        kind = next((kind for kind, known in _WORDS.items() if words & set(known)), "")
        by_split.setdefault(kind, []).append(file)
    if set(by_split) == {""} and split == "train":
        return by_split[""]
    chosen = by_split.get(split, [])
    if not chosen:
        raise UnknownSizeError(f"{shown(name)} has no file of the split {split}")
    return chosen
