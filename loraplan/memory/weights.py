"""Bytes of the base model's weights as each quantization stores them."""

from __future__ import annotations

from typing import NamedTuple

from loraplan.arch.spec import ArchSpec, Module

DTYPES = {"float32": 4, "float16": 2, "bfloat16": 2, "float64": 8, "float8": 1}
_TABLE_4BIT = 64  # 16 fp32 values of the 4-bit code
_TABLE_8BIT = 1024  # 256 fp32 values of the code of the nested statistics


class Storage(NamedTuple):
    """How quantized linear layers are stored."""

    kind: str
    """`bnb4`, `bnb8`, `gptq`, `awq`, `nf4tensor`, `fp8`, `hqq` or nothing."""
    double: bool = False
    block: int = 64
    bits: int = 4


PLAIN = Storage("")
SOURCES = {
    "": "elements × bytes of the load dtype",
    "bnb4": "bitsandbytes 0.50 functional.py `quantize_4bit`: half a byte an element; fp32 scale per 64, or with double"
    " quantization a byte per 64, fp32 per 256 of these, and the code tables",
    "bnb8": "bitsandbytes 0.50 nn/modules.py `Int8Params`: a byte an element, one fp32 a row",
    "gptq": "auto-gptq 0.7 nn_modules/qlinear: packed int32 weights, zero points and fp16 scales per group, an int32"
    " for each input",
    "awq": "autoawq 0.2 modules/linear: packed int32 weights, zero points and fp16 scales per group",
    "nf4tensor": "torchao 0.7 dtypes/nf4tensor.py: half a byte an element; a byte per 64 and fp32 per 256 of these",
    "fp8": "a byte an element, one fp32 per 128 × 128 block",
    "hqq": "hqq 0.2 core/quantize.py: packed weights, fp16 scale and zero point per group of 64",
}


def quantizable(module: Module, *, linear_experts: bool = False) -> bool:
    """Whether quantization replaces the module: linear layers of the language model, never the output head.

    Source: transformers 5.23 quantizers/base.py `get_keys_to_not_convert`. Fused experts are parameters, no layers;
    before transformers 5 most were layers (`linear_experts`).
    """
    if module.kind == "Parameter":
        return linear_experts and module.part == "expert" and len(module.shape) == 3
    return module.kind in ("Linear", "Conv1D") and module.part not in ("head", "vision", "audio", "projector")


def stored(module: Module, storage: Storage) -> tuple[int, int]:
    """(bytes that shards can split, bytes of statistics that every process keeps whole) of one quantized copy.

    Biases are left out: they stay in the load dtype.
    """
    first, second = module.features
    elements = first * second
    match storage.kind:
        case "bnb4":
            blocks = -(-elements // storage.block)
            if storage.double:
                return (elements + 1) // 2, blocks + 4 * -(-blocks // 256) + 4 + _TABLE_4BIT + _TABLE_8BIT
            return (elements + 1) // 2, 4 * blocks + _TABLE_4BIT
        case "bnb8":
            return elements, 4 * second
        case "nf4tensor":
            blocks = elements // 64
            return elements // 2 + blocks + 4 * -(-blocks // 256) + _TABLE_4BIT, 0
        case "gptq" | "awq":
            groups = -(-first // storage.block)
            size = elements * storage.bits // 8 + groups * second * 2 + groups * second * storage.bits // 8
            return size + (4 * first if storage.kind == "gptq" else 0), 0
        case "fp8":
            return elements, 4 * -(-first // 128) * -(-second // 128)
        case "hqq":
            return elements * storage.bits // 8 + 4 * -(-elements // storage.block), 0
    return elements * 2, 0


class Weights(NamedTuple):
    """Bytes of the base model, by what happens to them."""

    quantized: int
    statistics: int
    plain: int
    """Unquantized linear layers, experts, biases and what else is in the load dtype."""
    ends: int
    """Embeddings and output head, tied ones once."""
    norms: int
    other: int
    """Vision and audio towers and projectors."""
    largest: int
    """Elements of the largest quantized matrix: what one dequantization needs."""

    @property
    def total(self) -> int:
        """All of it."""
        return self.quantized + self.statistics + self.plain + self.ends + self.norms + self.other


def weights(
    arch: ArchSpec, storage: Storage, dtype: int, norm: int, end: int,
    *, linear_experts: bool = False, unties: bool = False, head: bool = False,
) -> Weights:  # fmt: skip
    """The base weights; `dtype`, `norm` and `end` are bytes an element of the rest, of norms and of the two ends.

    `unties`: tied embeddings are stored twice. `head`: the output head is quantized too.
    """
    quantized = statistics = plain = ends = norms = other = largest = 0
    for module in arch.modules:
        copies = module.copies
        if module.part in ("embedding", "head"):
            if module.part == "head" and head and storage.kind:
                split, whole = stored(module, storage)
                quantized, statistics = quantized + split, statistics + whole
            elif unties or not (module.part == "head" and arch.tied_embeddings):
                ends += module.elements * copies * end
        elif module.part in ("vision", "audio", "projector"):
            other += module.elements * copies * dtype
        elif module.kind == "Norm":
            norms += module.elements * copies * norm
        elif storage.kind and quantizable(module, linear_experts=linear_experts):
            split, whole = stored(module, storage)
            if module.kind == "Parameter":
                copies *= module.shape[0]
            first, second = module.features
            quantized += split * copies
            statistics += whole * copies
            largest = max(largest, first * second)
            plain += (module.elements - first * second) * copies * dtype if module.kind != "Parameter" else 0
        else:
            plain += module.elements * copies * dtype
    return Weights(quantized, statistics, plain, ends, norms, other, largest)
