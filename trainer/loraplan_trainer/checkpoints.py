"""Checkpoints that are whole or not there: written beside, checked off in a marker, then renamed. Needs no torch.

`checkpoints/checkpoint-N` holds what transformers' Trainer wrote after optimizer step N and `complete.json`, the size
and digest of every file. A process that dies while writing leaves `checkpoints/.writing`, which the next one clears.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

from loraplan_trainer.failure import CannotRun

FOLDER = "checkpoints"
MARKER = "complete.json"
_STAGING = ".writing"
_PREFIX = "checkpoint-"


def staging(directory: Path) -> Path:
    """Where a checkpoint is written before it is whole."""
    return directory / _STAGING


def path_of(directory: Path, step: int) -> Path:
    """The checkpoint of a step, written or not."""
    return directory / f"{_PREFIX}{step}"


def sweep(directory: Path) -> None:
    """Remove what a process that died left half-written. Raises OSError."""
    shutil.rmtree(staging(directory), ignore_errors=True)


def finish(directory: Path, step: int) -> int:
    """Make the staged checkpoint of a step whole: flushed, checked off, renamed. Its bytes. Raises OSError."""
    staged = path_of(staging(directory), step)
    files = {}
    total = 0
    for file in sorted(item for item in staged.rglob("*") if item.is_file()):
        size = file.stat().st_size
        total += size
        files[file.relative_to(staged).as_posix()] = {"bytes": size, "sha256": _digest(file)}
    marker = staged / MARKER
    marker.write_text(json.dumps({"step": step, "files": files}, indent=1), encoding="utf-8")
    for file in (*(staged / name for name in files), marker):
        _flush(file)
    final = path_of(directory, step)
    if final.exists():
        shutil.rmtree(final)
    staged.rename(final)
    sweep(directory)
    _flush(directory)
    return total


def steps(directory: Path) -> list[int]:
    """Steps that there are checkpoints of, whole or not, ascending."""
    if not directory.is_dir():
        return []
    names = (item.name.removeprefix(_PREFIX) for item in directory.glob(f"{_PREFIX}*"))
    return sorted(int(name) for name in names if name.isdecimal())


def fault(checkpoint: Path) -> str | None:
    """Why a checkpoint is not whole; None where it is."""
    try:
        content = json.loads((checkpoint / MARKER).read_text(encoding="utf-8"))
        files = {str(name): (int(entry["bytes"]), str(entry["sha256"])) for name, entry in content["files"].items()}
    except FileNotFoundError:
        return f"no {MARKER}: it was never finished"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"{MARKER} cannot be read ({type(error).__name__})"
    for name, (size, digest) in files.items():
        file = checkpoint / name
        try:
            actual = file.stat().st_size
            if actual != size:
                return f"{name} has {actual} bytes, {size} were written"
            if _digest(file) != digest:
                return f"{name} is not what was written"
        except OSError as error:
            return f"{name}: {error.strerror}"
    return None


def last_whole(directory: Path) -> tuple[int | None, list[str]]:
    """The newest whole checkpoint's step, None where there are none, and what is wrong with newer ones.

    Raises CannotRun where there are checkpoints and none is whole.
    """
    faults: list[str] = []
    found = steps(directory)
    for step in reversed(found):
        reason = fault(path_of(directory, step))
        if reason is None:
            return step, faults
        faults.append(f"{path_of(directory, step)}: {reason}")
    if found:
        listed = "\n".join(f"  {line}" for line in faults)
        raise CannotRun(f"no checkpoint is whole:\n{listed}\nremove {directory} to start from the beginning")
    return None, faults


def prune(directory: Path, keep: int, protect: int | None) -> None:
    """Remove all but the newest `keep` checkpoints, and but the best one, whose step is `protect`."""
    for step in steps(directory)[:-keep]:
        if step != protect:
            shutil.rmtree(path_of(directory, step), ignore_errors=True)


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
