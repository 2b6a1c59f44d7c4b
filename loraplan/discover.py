"""Which files to check: those named, and in directories those that may be configs, honouring .gitignore."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

EXTENSIONS = (".yml", ".yaml", ".json", ".jsonc", ".toml", ".sh", ".bash", ".py")
_SKIPPED = frozenset(("node_modules", "__pycache__", "venv", "env", "site-packages", "dist", "build", "wandb"))
_MAX_BYTES = 1 << 20
# A training config names at least one of these; what does not is never parsed.
_HINT = (
    rb"lora|learning_rate|learning-rate|base_model|model_name|torchtune|finetun|fine_tun|adapter|per_device_|"
    rb"checkpoint_dir|recipe|_target_|input_features|model_id|trainer"
)
_CODE_HINT = rb"lora|peft|TrainingArguments|finetune|swift (?:sft|pt|rlhf)|openrlhf"
_TEMPLATE = rb"\{\{|\{%"


class Target(NamedTuple):
    """A file to check. `named` files must be configs; those found by searching may be anything."""

    path: str
    named: bool


def targets(paths: tuple[str, ...], excluded: Callable[[str], bool]) -> Iterator[Target]:
    """Every file to check, in order, each once; a path that is not there is passed on as named, to be reported."""
    seen: set[str] = set()
    for path in paths:
        if path != "-" and os.path.isdir(path):
            for found in sorted(search(path)):
                if os.path.realpath(found) not in seen and not excluded(found):
                    seen.add(os.path.realpath(found))
                    yield Target(found, named=False)
        elif path == "-" or os.path.realpath(path) not in seen:
            seen.add(os.path.realpath(path))
            yield Target(path, named=True)


def search(directory: str) -> Iterator[str]:
    """The files below a directory whose names and contents may be a config's."""
    listed = _from_git(directory)
    for path in _walk(directory) if listed is None else listed:
        if path.lower().endswith(EXTENSIONS) and may_be_config(path):
            yield path


def may_be_config(path: str) -> bool:
    """A cheap look at a file: regular, not large, and with a word that training configs have."""
    try:
        if not os.path.isfile(path) or not 0 < os.path.getsize(path) <= _MAX_BYTES:
            return False
        with open(path, "rb") as file:
            content = file.read()
    except OSError:
        return False
    hint = _CODE_HINT if path.lower().endswith((".py", ".sh", ".bash")) else _HINT
    return re.search(hint, content, re.IGNORECASE) is not None


def is_template(path: str) -> bool:
    """Whether a file that does not parse is meant for a template engine first (Jinja, Helm) and is no config yet."""
    try:
        with open(path, "rb") as file:
            return re.search(_TEMPLATE, file.read(_MAX_BYTES)) is not None
    except OSError:
        return False


def _from_git(directory: str) -> list[str] | None:
    """Tracked and unignored files as git lists them; None outside a repository."""
    if not _in_repository(directory):
        return None
    from loraplan.baseline import git

    listed = git(directory, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate", "--", ".")
    if listed is None:
        return None
    names = [os.fsdecode(name) for name in listed.split(b"\0") if name]
    prefix = "" if directory in (".", "./") else directory
    return [os.path.join(prefix, name) for name in names]


def _in_repository(directory: str) -> bool:
    here = os.path.abspath(directory)
    while not os.path.exists(os.path.join(here, ".git")):
        parent = os.path.dirname(here)
        if parent == here:
            return False
        here = parent
    return True


def _walk(directory: str) -> Iterator[str]:
    prefix = "" if directory in (".", "./") else directory
    for folder, folders, names in os.walk(directory):
        folders[:] = sorted(
            name
            for name in folders
            if name not in _SKIPPED
            and not name.startswith(".")
            and not os.path.exists(os.path.join(folder, name, "pyvenv.cfg"))
        )
        below = os.path.relpath(folder, directory)
        for name in names:
            if not name.startswith("."):
                yield os.path.normpath(os.path.join(prefix, below, name))
