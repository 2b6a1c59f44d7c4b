"""What happens on an Ampere or later GPU and not on the meta device: other kernels, and what they allocate inside.

Read in torch 2.13 `aten/src/ATen/native/transformers/cuda/flash_attn/flash_api.cpp` (`mha_bwd`),
`attention_backward.cu`, `mem_eff_attention/kernel_backward.h`, `attention.cpp` (`scaled_dot_product_attention`),
`aten/src/ATen/native/Dropout.cpp`, and bitsandbytes 0.50 `backends/cuda/ops.py` (`_dequant_linear_fallback`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from loraplan.trace import accumulated
from loraplan.trace.patched import patched

LONGEST_FLASH_HEAD = 256


def _up(count: int, multiple: int) -> int:
    return -(-count // multiple) * multiple


def kernels() -> dict[Any, Callable[..., Any]]:
    """Operations that allocate other than their results on CUDA, and the same in operations that show it."""
    import torch

    aten = torch.ops.aten
    found: dict[Any, Callable[..., Any]] = {
        aten.add.Tensor: accumulated.add,
        aten._scaled_dot_product_flash_attention_backward.default: _flash_backward,  # noqa: SLF001
        aten._scaled_dot_product_efficient_attention_backward.default: _efficient_backward,  # noqa: SLF001
    }
    try:
        from bitsandbytes.backends.default.ops import _gemm_4bit_default_impl
    except ImportError:
        return found
    # A few hundred rows are multiplied without dequantizing first, 1,536 at most; a training batch has more.
    return {**found, torch.ops.bitsandbytes.gemm_4bit.default: _gemm_4bit_default_impl}


def _flash_backward(_: Any, query: Any, key: Any, value: Any, *_rest: Any, **_named: Any) -> tuple[Any, Any, Any]:
    """FlashAttention 2: the query's gradient is summed in fp32; each query head has a key and value gradient first."""
    import torch

    batch, heads, length, width = query.shape
    rounded = _up(length, 128)
    gradients = [torch.empty_like(item.transpose(1, 2)).transpose(1, 2) for item in (query, key, value)]
    workspace = [
        query.new_empty((batch, heads, rounded), dtype=torch.float32),
        query.new_empty((batch, rounded, heads, _up(width, 32 if width <= 128 else 64)), dtype=torch.float32),
    ]
    if key.shape[1] != heads:
        workspace += [query.new_empty((batch, key.shape[2], heads, width)) for _ in (key, value)]
    del workspace
    return gradients[0], gradients[1], gradients[2]


def _efficient_backward(
    _: Any, query: Any, key: Any, value: Any, *_rest: Any, **_named: Any
) -> tuple[Any, Any, Any, None]:
    """The memory-efficient kernel: row sums, and the query's gradient in fp32 where it is a 16-bit one."""
    import torch

    batch, heads, length, width = query.shape
    gradients = [torch.empty_like(item.transpose(1, 2)).transpose(1, 2) for item in (query, key, value)]
    workspace = [query.new_empty((batch, heads, length), dtype=torch.float32)]
    if query.dtype != torch.float32:
        rounded = (batch, heads, _up(length, 64), _up(width, 64))
        workspace.append(query.new_empty(rounded, dtype=torch.float32))
    del workspace
    return gradients[0], gradients[1], gradients[2], None


@contextmanager
def as_on_cuda() -> Iterator[None]:
    """In this block torch's functions choose the kernels that they choose for CUDA tensors."""
    import torch

    aten = torch.ops.aten

    def attend(
        query: Any,
        key: Any,
        value: Any,
        attn_mask: Any = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Any:
        if torch.is_autocast_enabled("cuda"):
            dtype = torch.get_autocast_dtype("cuda")
            query, key, value = (item.to(dtype) for item in (query, key, value))
        half = query.dtype in {torch.float16, torch.bfloat16}
        even = query.shape[1] == key.shape[1]
        short = query.shape[-1] == value.shape[-1] <= LONGEST_FLASH_HEAD
        if attn_mask is None and half and short and (even or enable_gqa):
            # fewer key heads than query heads need no copies
            return aten._scaled_dot_product_flash_attention(  # noqa: SLF001
                query, key, value, dropout_p, is_causal, scale=scale
            )[0]
        if not even:  # `check_batch_size_and_num_heads_dense` in sdp_utils.cpp: no other fused kernel takes these
            return aten._scaled_dot_product_attention_math(  # noqa: SLF001
                query, key, value, attn_mask, dropout_p, is_causal, None, scale=scale, enable_gqa=enable_gqa
            )[0]
        bias = attn_mask
        if bias is not None:
            if bias.dtype == torch.bool:  # each layer makes its own, and keeps it
                bias = torch.zeros_like(bias, dtype=query.dtype).masked_fill_(bias.logical_not(), float("-inf"))
            bias = bias.to(query.dtype).expand(*query.shape[:3], key.shape[2])
        return aten._scaled_dot_product_efficient_attention(  # noqa: SLF001
            query, key, value, bias, True, dropout_p, is_causal, scale=scale
        )[0]

    plain_dropout = torch.nn.functional.dropout

    def dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:  # noqa: A002 -- torch's name
        if training and 0 < p < 1 and not inplace:
            return torch.native_dropout(input, p, True)[0]  # keeps a mask of one byte an element
        return plain_dropout(input, p, training, inplace)

    with patched(torch.nn.functional, scaled_dot_product_attention=attend, dropout=dropout):
        yield
