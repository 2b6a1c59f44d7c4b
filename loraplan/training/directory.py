"""Run directories: a new one for each run, never another run's."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from loraplan.training import TrainingError

ROOT = "runs"
"""Where runs go that name no directory, below the working directory."""
MANIFEST = "manifest.json"
_MOST = 10_000


def create(given: str | None, name: str, *, overwrite: bool) -> Path:
    """A directory for a new run, absolute and empty: the given one, or the next free number under `runs/`.

    Raises TrainingError.
    """
    if given is None:
        return _numbered(Path.cwd() / ROOT, name)
    path = Path(given).absolute()
    try:
        if _is_used(path):
            if not overwrite:
                raise TrainingError(
                    f"{given} is not empty: --overwrite replaces the run in it, --resume continues it; or name another"
                )
            _clear(path, given)
        path.mkdir(parents=True, exist_ok=True)
        _probe(path)
    except OSError as error:
        raise TrainingError(f"{given}: cannot be used as run directory ({error.strerror or error})") from error
    return path


def existing(given: str | None, config: str) -> Path:
    """The directory to resume: the given one, or the newest run of this config under `runs/`. Raises TrainingError."""
    if given is not None:
        path = Path(given).absolute()
        if not (path / MANIFEST).is_file():
            raise TrainingError(f"{given} holds no run ({MANIFEST} is missing); start one without --resume")
        return path
    wanted = str(Path(config).absolute())
    found = [path for path in runs(Path.cwd() / ROOT) if _config_of(path) == wanted]
    if not found:
        raise TrainingError(f"no run of {config} under {ROOT}/ to resume; --output-dir names one elsewhere")
    return found[-1]


def runs(root: Path) -> list[Path]:
    """The run directories in a folder, oldest first; the folder itself where it is one."""
    if (root / MANIFEST).is_file():
        return [root]
    found = (path for path in root.iterdir() if (path / MANIFEST).is_file()) if root.is_dir() else ()
    return sorted(found, key=lambda path: ((path / MANIFEST).stat().st_mtime_ns, path.name))


def _numbered(root: Path, name: str) -> Path:
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "run"
    try:
        root.mkdir(parents=True, exist_ok=True)
        for number in range(1, _MOST):
            path = root / f"{stem}-{number:03}"
            try:
                path.mkdir()
            except FileExistsError:
                continue
            return path
    except OSError as error:
        message = f"{root}: cannot be written ({error.strerror or error}); --output-dir names another place"
        raise TrainingError(message) from error
    raise TrainingError(f"{root} holds {_MOST:,} runs of {stem}; --output-dir names another place")


def _is_used(path: Path) -> bool:
    if path.exists() and not path.is_dir():
        raise TrainingError(f"{path} is a file; name a directory")
    return path.is_dir() and any(path.iterdir())


def _clear(path: Path, given: str) -> None:
    """Empty a directory that holds a run; nobody else's files are removed. Raises TrainingError, OSError."""
    if not (path / MANIFEST).is_file():
        raise TrainingError(f"{given} is not empty and holds no run ({MANIFEST} is missing); it is left as it is")
    (path / MANIFEST).unlink()
    for item in path.iterdir():
        if item.is_dir() and not item.is_symlink():
            shutil.rmtree(item)
        else:
            item.unlink()


def _probe(path: Path) -> None:
    """Raises OSError where nothing can be written."""
    probe = path / ".loraplan-probe"
    probe.write_bytes(b"")
    probe.unlink()


def _config_of(path: Path) -> str | None:
    try:
        config = json.loads((path / MANIFEST).read_text(encoding="utf-8")).get("config")
    except (OSError, ValueError, AttributeError):
        return None
    return str(config["path"]) if isinstance(config, dict) and "path" in config else None
