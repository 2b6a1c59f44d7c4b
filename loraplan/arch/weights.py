"""Shapes from the headers of safetensors files; no tensor is read."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

MAX_HEADER_BYTES = 32_000_000
MAX_FILES = 512
_EMBEDDINGS = frozenset(
    ("embed_tokens.weight", "wte.weight", "word_embeddings.weight", "embed_in.weight", "tok_embeddings.weight")
)
_PLAIN_DTYPES = frozenset(("F32", "F16", "BF16", "F64"))


def header(path: Path) -> dict[str, Any]:
    """Tensor name -> {dtype, shape, data_offsets} (safetensors format: 8 bytes of length, then JSON).

    Raises ValueError for what is no safetensors file.
    """
    with path.open("rb") as file:
        start = file.read(8)
        if len(start) < 8:
            raise ValueError("shorter than its header")
        (length,) = struct.unpack("<Q", start)
        if length > MAX_HEADER_BYTES:
            raise ValueError(f"its header is larger than {MAX_HEADER_BYTES // 1_000_000} MB")
        text = file.read(length)
    if len(text) < length:
        raise ValueError("shorter than its header")
    tensors = json.loads(text)
    if not isinstance(tensors, dict):
        raise ValueError("its header is no mapping")  # noqa: TRY004  one error for all that is wrong with a file
    return tensors


def embedding_rows(directory: Path, problems: list[str]) -> int | None:
    """Rows of the token embedding in the checkpoint, where it is stored unquantized; None where that is not known."""
    for path in sorted(directory.glob("*.safetensors"))[:MAX_FILES]:
        if path.name.startswith("adapter_"):
            continue
        try:
            tensors = header(path)
        except (OSError, ValueError, RecursionError) as error:
            problems.append(f"{path} cannot be read: {error}")
            return None
        for name, tensor in tensors.items():
            if ".".join(name.split(".")[-2:]) in _EMBEDDINGS and "visual" not in name and "vision" not in name:
                shape = tensor.get("shape") if isinstance(tensor, dict) else None
                if (
                    isinstance(shape, list)
                    and len(shape) == 2
                    and type(shape[0]) is int
                    and shape[0] > 0
                    and tensor.get("dtype") in _PLAIN_DTYPES
                ):
                    return shape[0]
    return None
