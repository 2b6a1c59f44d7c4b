"""Gradients of one tensor from several uses, added as on a GPU: into the first of them.

Autograd's engine adds in place where it holds the last reference (torch 2.13 `csrc/autograd/input_buffer.cpp`,
`can_accumulate_inplace`), but never under a dispatch mode, so that a watched step would have a third tensor.
"""

from __future__ import annotations

import sys
from typing import Any

_OURS = ("__torch_dispatch__", "_fn", "inner")
"""Frames between an operation and what ran it: the watching mode, and torch's wrappers around it."""
_ENGINE = ("_backward", "_engine_run_backward")
"""What starts the engine: the step itself, and a checkpoint's backward (torch `autograd/graph.py`)."""


def add(first: Any, second: Any, *, alpha: Any = 1) -> Any:
    """`aten.add.Tensor`, or `first` itself where the engine would add into it."""
    import torch

    if not torch.is_grad_enabled() and _of_engine() and _last(first) and first.shape == second.shape:
        return first
    return torch.ops.aten.add.Tensor(first, second, alpha=alpha)


def _of_engine() -> bool:
    frame = sys._getframe(2)  # noqa: SLF001 -- no other way tells the engine's operations from those of a backward
    while frame.f_back is not None and frame.f_code.co_name in _OURS:
        frame = frame.f_back
    return frame.f_code.co_name in _ENGINE


def _last(tensor: Any) -> bool:
    """Whether nobody else has the storage: one reference is the tensor's, one that of this function."""
    import torch

    storage = tensor.untyped_storage()
    count: int = torch._C._storage_Use_Count(storage._cdata)  # noqa: SLF001 -- torch offers no public count
    return count == 2
