"""Framework versions from what stands beside a config: lock files, requirements files, pyproject dependencies."""

from __future__ import annotations

import os
import re

# Package as installed -> framework as the format tables name it.
_PACKAGES = {
    "transformers": "transformers",
    "peft": "peft",
    "trl": "trl",
    "axolotl": "axolotl",
    "llamafactory": "llamafactory",
    "llama-factory": "llamafactory",
    "torchtune": "torchtune",
    "litgpt": "litgpt",
    "ms-swift": "ms-swift",
    "unsloth": "unsloth",
    "oumi": "oumi",
    "ludwig": "ludwig",
    "mlx-lm": "mlx-lm",
    "autotrain-advanced": "autotrain",
    "nemo-automodel": "nemo-automodel",
    "openrlhf": "openrlhf",
    "xtuner": "xtuner",
    "bitsandbytes": "bitsandbytes",
    "accelerate": "accelerate",
    "deepspeed": "deepspeed",
    "torch": "torch",
}
LOCKS = ("uv.lock", "poetry.lock", "pdm.lock", "pylock.toml")
REQUIREMENTS = ("requirements.lock", "requirements.txt", "requirements-train.txt", "requirements_train.txt")
_MAX_BYTES = 8 << 20

_known: dict[str, dict[str, str]] = {}


def beside(directory: str) -> dict[str, str]:
    """Versions stated in a directory or above it, up to the repository's root; the nearest statement wins.

    Outside a repository only the directory itself counts: a stray file in somebody's home must not decide.
    """
    here = os.path.abspath(directory)
    if here not in _known:
        found: dict[str, str] = {}
        for folder in _folders(here):
            found = {**_stated_in(folder), **found}
        _known[here] = found
    return _known[here]


def _folders(directory: str) -> list[str]:
    """The directory and those above it up to the repository's root, nearest first."""
    folders, here = [directory], directory
    while not os.path.exists(os.path.join(here, ".git")):
        parent = os.path.dirname(here)
        if parent == here:
            return folders[:1]
        here = parent
        folders.append(here)
    return folders


def _stated_in(directory: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in LOCKS:
        for framework, version in _from_lock(_text(directory, name)).items():
            found.setdefault(framework, version)
    for name in (*REQUIREMENTS, "pyproject.toml"):
        for framework, version in pins(_text(directory, name), quoted=name == "pyproject.toml").items():
            found.setdefault(framework, version)
    return found


def _text(directory: str, name: str) -> str:
    path = os.path.join(directory, name)
    try:
        if not os.path.isfile(path) or os.path.getsize(path) > _MAX_BYTES:
            return ""
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _from_lock(text: str) -> dict[str, str]:
    """uv's, poetry's and pdm's lock files alike write `name = "x"` and `version = "y"` on successive lines.

    A version that the file states differently for two platforms is unknown. Searched, not parsed: a lock file of a
    megabyte would take a TOML parser longer than the whole check.
    """
    found: dict[str, str] = {}
    if not text:
        return found
    for package, framework in _PACKAGES.items():
        versions = set(re.findall(rf'^name = "{re.escape(package)}"\nversion = "([^"]+)"', text, re.MULTILINE))
        if len(versions) == 1:
            found[framework] = versions.pop()
    return found


def pins(text: str, *, quoted: bool = False) -> dict[str, str]:
    """`package==1.2.3` and `package~=1.2` of a requirements text; `quoted` for the strings of a pyproject.toml."""
    found: dict[str, set[str]] = {}
    if "==" not in text and "~=" not in text:
        return {}
    start = r"[\"']" if quoted else r"^"
    for match in re.finditer(
        rf"{start}[ \t]*([A-Za-z0-9._-]+)[ \t]*(?:\[[^\]\n]*\])?[ \t]*(?:===?|~=)[ \t]*(\d[0-9A-Za-z.+!*-]*)",
        text,
        re.MULTILINE,
    ):
        package = re.sub(r"[-_.]+", "-", match[1]).lower()
        if package in _PACKAGES:
            found.setdefault(_PACKAGES[package], set()).add(match[2].removesuffix(".*"))
    return {framework: versions.pop() for framework, versions in found.items() if len(versions) == 1}
