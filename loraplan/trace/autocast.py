"""Autocast for meta tensors, which torch has none for: the casts that `torch.autocast("cuda")` makes.

Source: torch 2.13 `aten/src/ATen/autocast_mode.h` (the lists of operations, `cached_cast`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from loraplan.trace.patched import patched

LOWER_PRECISION = frozenset(
    "addbmm addmm addmv addr baddbmm bmm chain_matmul conv1d conv2d einsum linear matmul mm mv prelu"
    " __matmul__ __rmatmul__".split()
)
FLOAT32 = frozenset(
    "cdist cosine_similarity cross_entropy exp expm1 layer_norm log log10 log1p log2 logsumexp nll_loss norm pow"
    " __pow__ reciprocal rms_norm rsqrt softplus".split()
)
FLOAT32_UNLESS_SAID = frozenset("cumprod cumsum log_softmax prod softmax sum".split())


@contextmanager
def casting() -> Iterator[None]:
    """In this block `torch.autocast("cuda")` casts meta tensors, without a GPU."""
    import torch
    from torch.overrides import TorchFunctionMode
    from torch.utils._pytree import tree_map

    cache: dict[int, tuple[Any, Any]] = {}

    def cast(value: Any, dtype: Any) -> Any:
        if not isinstance(value, torch.Tensor) or not value.is_floating_point():
            return value
        if value.dtype in {dtype, torch.float64}:
            return value
        lowered = value.dtype == torch.float32 and dtype != torch.float32
        if not (lowered and value.is_leaf and value.requires_grad):
            return value.to(dtype)
        if id(value) not in cache:  # a trainable weight is cast once a forward
            cache[id(value)] = (value, value.to(dtype))
        return cache[id(value)][1]

    class Casts(TorchFunctionMode):
        """Sees calls above autograd, as autocast's dispatch key does."""

        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = kwargs or {}
            name = getattr(func, "__name__", "")
            if not torch.is_autocast_enabled("cuda"):
                cache.clear()
            elif name in LOWER_PRECISION:
                dtype = torch.get_autocast_dtype("cuda")
                args, kwargs = tree_map(lambda item: cast(item, dtype), (args, kwargs))
            elif name in FLOAT32 or (name in FLOAT32_UNLESS_SAID and kwargs.get("dtype") is None):
                args, kwargs = tree_map(lambda item: cast(item, torch.float32), (args, kwargs))
            return func(*args, **kwargs)

    initialize = torch.amp.autocast_mode.autocast.__init__

    def on_cuda(self: Any, device_type: str, *rest: Any, **named: Any) -> None:
        initialize(self, "cuda" if device_type == "meta" else device_type, *rest, **named)

    with (
        patched(torch.amp.autocast_mode.autocast, __init__=on_cuda),
        patched(torch.cuda.amp.common, amp_definitely_not_available=lambda: False),
        patched(torch.cuda, is_bf16_supported=lambda: True),
        patched(torch.amp, is_autocast_available=_for_meta(torch.amp.is_autocast_available)),
        patched(torch, is_autocast_enabled=_for_meta(torch.is_autocast_enabled)),
        patched(torch, get_autocast_dtype=_for_meta(torch.get_autocast_dtype)),
        Casts(),
    ):
        yield


def _for_meta(function: Any) -> Any:
    """The function, asked about CUDA where it is asked about meta tensors."""

    def asked(device_type: str = "cuda") -> Any:
        return function("cuda" if device_type == "meta" else device_type)

    return asked
