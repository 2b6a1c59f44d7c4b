"""TRL's loss in tiles on the meta device: its Triton kernels work in place, so here they do nothing.

Every label counts (`-100` would need values), as in packed batches: the selection of positions copies all of them.
Source: trl 1.16 `trainer/utils.py` (`add_fused_lm_head`), `kernels/chunked_logprob.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from loraplan.trace.patched import patched


@contextmanager
def tiles_in_place() -> Iterator[None]:
    """In this block the loss takes its GPU path, its kernels left out."""
    from trl.kernels import chunked_logprob
    from trl.trainer import utils

    def nothing(*_: Any, **__: Any) -> None:
        """Work that allocates nothing."""

    with (
        patched(utils, _use_triton=lambda _: True),
        patched(chunked_logprob, _forward_tile=nothing, _backward_tile=nothing, _addmm_fp32=nothing),
    ):
        yield


def selections() -> dict[Any, Callable[..., Any]]:
    """Operations on boolean masks, whose result's size is in the mask's values; here every position is selected."""
    import torch

    aten = torch.ops.aten
    return {
        aten.index.Tensor: _index,
        aten._index_put_impl_.default: _index_put,
        aten.masked_select.default: lambda source, mask: source.new_empty((mask.numel(),)),
    }


def _positions(mask: Any) -> Any:
    import torch

    return mask.new_empty((mask.numel(), mask.dim()), dtype=torch.int64)


def _index(source: Any, indices: Any) -> Any:
    import torch

    mask = indices[0]
    if len(indices) > 1 or mask is None or mask.dtype != torch.bool:
        return torch.ops.aten.index.Tensor(source, indices)
    positions = _positions(mask)
    result = source.new_empty((mask.numel(), *source.shape[mask.dim() :]))
    del positions
    return result


def _index_put(source: Any, indices: Any, values: Any, *rest: Any, **named: Any) -> Any:
    import torch

    if indices[0] is None or indices[0].dtype != torch.bool:
        return torch.ops.aten._index_put_impl_.default(source, indices, values, *rest, **named)
    positions = _positions(indices[0])
    del positions
    return source
