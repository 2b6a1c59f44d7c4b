"""4-bit linear layers on the meta device: bitsandbytes' own module and matmul over storages of the right size."""

from __future__ import annotations

from typing import Any

NESTED_BLOCK = 256
"""Block size of the second quantization (bitsandbytes 0.50 `functional.py`: `quantize_4bit`)."""


def quantize(model: Any, *, double: bool, compute_dtype: Any, block: int = 64) -> None:
    """Replace every linear layer but the output head by a `bitsandbytes.nn.Linear4bit` that holds nf4 weights.

    As transformers 5.23 does (`integrations/bitsandbytes.py`): subclasses of `nn.Linear` stay as they are.
    """
    import bitsandbytes
    import torch
    from transformers.pytorch_utils import Conv1D

    head = model.get_output_embeddings()
    for name, module in list(model.named_modules()):
        if (type(module) is not torch.nn.Linear and not isinstance(module, Conv1D)) or module is head:
            continue
        shape = tuple(reversed(module.weight.shape)) if isinstance(module, Conv1D) else tuple(module.weight.shape)
        with torch.device("meta"):
            replacement = bitsandbytes.nn.Linear4bit(
                shape[1],
                shape[0],
                bias=module.bias is not None,
                compute_dtype=compute_dtype,
                compress_statistics=double,
                quant_type="nf4",
            )
        count = shape[0] * shape[1]
        replacement.weight = bitsandbytes.nn.Params4bit(
            torch.empty(((count + 1) // 2, 1), dtype=torch.uint8, device="meta"),
            compress_statistics=double,
            quant_type="nf4",
            quant_state=_statistics(shape, module.weight.dtype, block, double=double),
            module=replacement,
            bnb_quantized=True,
        )
        replacement.bias = module.bias
        replacement.requires_grad_(requires_grad=False)
        model.set_submodule(name, replacement)
    model.is_loaded_in_4bit = True
    model.quantization_method = "bitsandbytes"


def _statistics(shape: tuple[int, ...], dtype: Any, block: int, *, double: bool) -> Any:
    import torch
    from bitsandbytes.functional import QuantState

    def empty(*size: int, dtype: Any = torch.float32) -> Any:
        return torch.empty(size, dtype=dtype, device="meta")

    blocks = -(-shape[0] * shape[1] // block)
    common = {"shape": torch.Size(shape), "code": empty(16), "blocksize": block, "quant_type": "nf4", "dtype": dtype}
    if not double:
        return QuantState(absmax=empty(blocks), **common)
    nested = QuantState(
        absmax=empty(-(-blocks // NESTED_BLOCK)), code=empty(256), blocksize=NESTED_BLOCK, dtype=torch.float32
    )
    return QuantState(absmax=empty(blocks, dtype=torch.uint8), offset=empty(), state2=nested, **common)


def statistics(model: Any) -> list[Any]:
    """Tensors of the quantization that are neither parameters nor buffers."""
    found = []
    for parameter in model.parameters():
        state = getattr(parameter, "quant_state", None)
        while state is not None:
            found += [item for item in (state.absmax, state.code, state.offset) if item is not None]
            state = state.state2
    return found
