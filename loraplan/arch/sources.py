"""Where a base model's facts come from: a local directory, the Hugging Face cache, the catalogue, or the hub.

Nothing here loads weights, runs a model's code or, unless asked, opens a connection.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from loraplan.arch.catalogue import lookup, suggest
from loraplan.arch.families import describe
from loraplan.arch.spec import ArchSpec

if TYPE_CHECKING:
    from pathlib import Path  # 5 ms, which a model of the catalogue need not cost

__all__ = ["resolve", "suggest"]

MAX_CONFIG_BYTES = 5_000_000
_MODEL_DIRS = "models--"
_TIMEOUT_SECONDS = 10.0


def resolve(
    name: str, *, base_dir: str | Path | None, online: bool = False, problems: list[str] | None = None
) -> ArchSpec | None:
    """The architecture of the model that a config names; None where no source knows it.

    `base_dir` is the folder that relative paths start from. What is wrong with a source that was found (an unreadable
    `config.json`, say) is appended to `problems`; no other source is asked then, for it would speak of another model.
    """
    problems = problems if problems is not None else []
    name = name.strip()
    if not name or "\0" in name or len(name) > 4096:
        return None
    directory = _directory(name, base_dir)
    if directory is not None:
        return _from_directory(directory, name, problems)
    snapshot = _snapshot(name)
    if snapshot is not None:
        found = _from_directory(snapshot, name, problems)
        if found is not None:
            return found
    row = lookup(name)
    if row is not None:
        return _described(row.config, row.name, row.source, problems, row.prequantized)
    return _from_hub(name, problems) if online else None


def _directory(name: str, base_dir: str | Path | None) -> Path | None:
    """A local directory of this name that holds a `config.json`."""
    path = os.path.join(base_dir or "", os.path.expanduser(name))
    if not os.path.isfile(os.path.join(path, "config.json")):
        return None
    from pathlib import Path

    return Path(path)


def _snapshot(name: str) -> Path | None:
    """The model's directory in the Hugging Face cache: the revision of `refs/main`, else the newest."""
    if name.count("/") > 1 or name.startswith((".", "/", "~")) or "\\" in name or ".." in name:
        return None
    for cache in _caches():
        place = os.path.join(cache, _MODEL_DIRS + name.replace("/", "--"))
        if not os.path.isdir(place):
            continue
        from pathlib import Path

        folder = Path(place)
        try:
            reference = folder / "refs" / "main"
            if reference.is_file():
                revision = reference.read_text("utf-8", errors="replace")[:100].strip()
                if revision.isalnum() and (folder / "snapshots" / revision / "config.json").is_file():
                    return folder / "snapshots" / revision
            found = [path.parent for path in (folder / "snapshots").glob("*/config.json")]
            if found:
                return max(found, key=lambda path: path.stat().st_mtime)
        except OSError:
            continue
    return None


def _caches() -> list[str]:
    """The directories that huggingface_hub would look in, first to last (its constants.py)."""
    named = [os.environ.get("HF_HUB_CACHE"), os.environ.get("HUGGINGFACE_HUB_CACHE")]
    if home := os.environ.get("HF_HOME"):
        named.append(os.path.join(home, "hub"))
    named.append(os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface", "hub"))
    found = (os.path.expanduser(cache) for cache in dict.fromkeys(named) if cache)
    return [cache for cache in found if not cache.startswith("~")]  # no home directory


def _from_directory(directory: Path, name: str, problems: list[str]) -> ArchSpec | None:
    path = directory / "config.json"
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            problems.append(f"{path} is larger than {MAX_CONFIG_BYTES // 1_000_000} MB: no model configuration")
            return None
        config = json.loads(path.read_bytes())
    except OSError as error:
        problems.append(f"{path} cannot be read: {error.strerror or error}")
        return None
    except (ValueError, RecursionError):
        problems.append(f"{path} is no valid JSON")
        return None
    if not isinstance(config, dict):
        problems.append(f"{path} holds no mapping")
        return None
    from loraplan.arch.weights import embedding_rows

    rows = embedding_rows(directory, problems)
    if rows is not None and type(config.get("vocab_size")) is int:
        config["vocab_size"] = rows
    return _described(config, name, str(path), problems, None)


def _described(
    config: Mapping[str, Any], name: str, source: str, problems: list[str], prequantized: str | None
) -> ArchSpec | None:
    try:
        spec = describe(config)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        problems.append(f"{source} describes no model: {error}")
        return None
    if spec is None:
        return None
    dtype = config.get("torch_dtype") or config.get("dtype")
    return replace(
        spec,
        name=name,
        source=source,
        dtype=dtype if isinstance(dtype, str) else spec.dtype,
        prequantized=prequantized or _quantized(config),
    )


def _quantized(config: Mapping[str, Any]) -> str | None:
    """How the checkpoint is stored, from `quantization_config`."""
    quantization = config.get("quantization_config")
    if not isinstance(quantization, dict):
        return None
    method = quantization.get("quant_method")
    if method == "bitsandbytes" or quantization.get("load_in_4bit") or quantization.get("load_in_8bit"):
        return "bnb-8bit" if quantization.get("load_in_8bit") else "bnb-4bit"
    return method if isinstance(method, str) else None


def _from_hub(name: str, problems: list[str]) -> ArchSpec | None:
    """`config.json` of a model on the hub, over https."""
    organisation, _, model = name.partition("/")
    plain = (organisation + model).replace("-", "").replace("_", "").replace(".", "")
    if not model or "/" in model or not (plain.isascii() and plain.isalnum()) or ".." in name:
        return None
    from urllib.error import HTTPError, URLError
    from urllib.request import Request, urlopen

    url = f"https://huggingface.co/{name}/resolve/main/config.json"
    try:
        with urlopen(Request(url, headers={"User-Agent": "loraplan"}), timeout=_TIMEOUT_SECONDS) as answer:
            body = answer.read(MAX_CONFIG_BYTES + 1)
        config = json.loads(body) if len(body) <= MAX_CONFIG_BYTES else None
    except HTTPError as error:
        reason = "it is gated or private" if error.code in (401, 403) else "there is none of this name"
        problems.append(f"{url}: {error.code}, {reason}")
        return None
    except (URLError, OSError, ValueError, RecursionError) as error:
        problems.append(f"{url} cannot be read: {getattr(error, 'reason', error)}")
        return None
    if not isinstance(config, dict):
        problems.append(f"{url} holds no model configuration")
        return None
    return _described(config, name, url, problems, None)
