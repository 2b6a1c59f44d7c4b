"""Norms and linear layers with their adapters, as the operations that PyTorch runs under each stack."""

from __future__ import annotations

from typing import NamedTuple

from loraplan.memory.tape import NOTHING, Size, Tape


class Projection(NamedTuple):
    """A linear layer of the block, and what is trained of it. Sizes in elements."""

    inputs: int
    outputs: int
    rank: int = 0
    """LoRA rank, 0 where it is not adapted."""
    variant: str = ""
    """`dora`, `fa` (LoRA-FA: A is frozen) or nothing."""
    quantized: str = ""
    """`bnb4`, `bnb8`, `gptq`, ... where the base weight is dequantized for each product."""
    trained: bool = False
    """The weight itself is trained."""
    bias: bool = False
    wrapped: int = 0
    """Matrices of a fused parameter that is adapted as a whole: PEFT adds the update to all of them."""


class Numerics(NamedTuple):
    """Bytes per element and the implementation choices that decide what is saved."""

    weight: int = 2
    """Of the base weights, and so of activations outside autocast."""
    compute: int = 2
    """Of matrix products: the autocast type, or that of the weights."""
    stream: int = 2
    """Of the residual stream between blocks."""
    norm_weight: int = 2
    norm_trained: bool = False
    adapter: int = 4
    autocast: bool = False
    dropout: bool = False
    fused_norm: bool = False
    fused_mlp: bool = False
    fused_rope: bool = False
    fused_adapter: bool = False
    """The adapters of quantized layers run in one autograd function with their base (unsloth's kernels)."""
    input_cast: bool = True
    """PEFT casts the input of an adapter to the adapter's dtype."""
    quantized_input: bool = False
    """A 4-bit product keeps its input (bitsandbytes before 0.42 autograd/_functions.py `MatMul4Bit`)."""
    merged_query: bool = False
    """q, k and v are one layer with one adapter (litgpt lora.py `LoRAQKVLinear`)."""


def normalize(tape: Tape, x: int, width: int, size: int, kind: str, numerics: Numerics) -> tuple[int, int]:
    """A norm over the last dimension; its output and that output's bytes per element."""
    statistics = tape.aside(Size(8 if kind == "layer" else 4))
    if numerics.fused_norm and kind != "layer":
        saves = (x, statistics)
        return tape.op("norm", (x,), Size(width * size), saves=saves), width
    if kind == "layer":
        if numerics.autocast and width != 4:
            x, width = tape.op("norm upcast", (x,), Size(4 * size)), 4
        return tape.op("norm", (x,), Size(width * size), saves=(x, statistics)), width
    full = x if width == 4 else tape.op("norm upcast", (x,), Size(4 * size))
    if kind == "centred":
        # transformers 5.23 models/cohere: x - mean is computed twice, for square and product; both are kept.
        square = tape.op("centred for the square", (full,), Size(4 * size), saves=(-1,))
        scaled = tape.op("normalize", (full, square), Size(4 * size), saves=(tape.aside(Size(4 * size)), statistics))
        narrow = scaled if width == 4 else tape.op("norm downcast", (scaled,), Size(width * size))
        return narrow, width
    scaled = tape.op("normalize", (full,), Size(4 * size), saves=(full, statistics), backward=Size(8 * size))
    if kind == "rms32":
        keep = (scaled,) if numerics.norm_trained else ()
        weighted = tape.op("norm weight", (scaled,), Size(4 * size), saves=keep)
        return (weighted, width) if width == 4 else (tape.op("norm downcast", (weighted,), Size(width * size)), width)
    narrow = scaled if width == 4 else tape.op("norm downcast", (scaled,), Size(width * size))
    out = max(width, numerics.norm_weight)
    keep = (narrow,) if numerics.norm_trained else ()
    return tape.op("norm weight", (narrow,), Size(out * size), saves=keep), out


def project(
    tape: Tape, name: str, x: int, width: int, projection: Projection, numerics: Numerics, copies: float = 1
) -> tuple[int, int]:
    """A linear layer with its adapter; its output and that output's bytes per element. `copies`: rows per token."""
    compute, n_in, n_out = numerics.compute, projection.inputs * copies, projection.outputs * copies
    out = width if projection.quantized.startswith("bnb") else compute
    workspace = Size(0, 0, projection.inputs * projection.outputs * compute) if projection.quantized else NOTHING
    if projection.quantized == "bnb4" and numerics.quantized_input:
        # Before 0.42 the weight is first restored in the type it had when it was quantized (inferred: fp32), then cast.
        workspace = workspace.plus(Size(0, 0, projection.inputs * projection.outputs * 4))
    cast = x if width == compute else tape.op(f"{name} input cast", (x,), Size(compute * n_in))
    kept = projection.trained or projection.quantized == "bnb8"  # bitsandbytes 0.50 `MatMul8bitLt` keeps its input
    keep = (cast,) if kept or (projection.quantized == "bnb4" and numerics.quantized_input) else ()
    if numerics.autocast and numerics.weight == 4 and not projection.quantized:
        # The weight's copy in the autocast type is saved; that of a frozen weight is made anew for each product.
        keep = (*keep, tape.aside(Size(0, 0, projection.inputs * projection.outputs * compute)))
    if projection.wrapped:
        # peft 0.21.2 tuners/lora/layer.py `ParamWrapper`: weight + update, of all experts, is what the product saves.
        # The sum has a gradient, so the product saves its input too.
        whole = Size(0, 0, projection.wrapped * projection.inputs * projection.outputs * compute)
        keep, workspace = (*keep, cast, tape.aside(whole)), workspace.plus(whole)
    base = tape.op(name, (cast,), Size(out * n_out), saves=keep, forward=workspace, backward=workspace)
    if not projection.rank:
        return base, out
    return _adapter(tape, name, x, width, base, out, projection, numerics, copies)


def _adapter(
    tape: Tape,
    name: str,
    x: int,
    width: int,
    base: int,
    out: int,
    projection: Projection,
    numerics: Numerics,
    copies: float,
) -> tuple[int, int]:
    """base + dropout(x) A B * scaling, as peft 0.21.2 tuners/lora/layer.py `Linear.forward` and bnb.py compute it."""
    n_in, n_out, rank = projection.inputs * copies, projection.outputs * copies, projection.rank * copies
    adapter = numerics.adapter
    own_type = numerics.autocast and projection.quantized.startswith("bnb")  # bnb.py: no conversion under autocast
    if own_type or width == adapter or not numerics.input_cast:
        typed, bytes_in = x, width
    else:
        typed, bytes_in = tape.op(f"{name} adapter input cast", (x,), Size(adapter * n_in)), adapter
    cast = typed
    if numerics.dropout:
        mask = tape.aside(Size(n_in))
        typed = tape.op(f"{name} adapter dropout", (typed,), Size(bytes_in * n_in), saves=(mask,))
    dropped, bytes_dropped = typed, bytes_in
    if numerics.autocast and bytes_in != numerics.compute:
        typed, bytes_in = tape.op(f"{name} autocast", (typed,), Size(numerics.compute * n_in)), numerics.compute
    keep = () if projection.variant == "fa" else (typed,)
    low = tape.op(f"{name} lora_A", (typed,), Size(bytes_in * rank), saves=keep)
    high = tape.op(f"{name} lora_B", (low,), Size(bytes_in * n_out), saves=(low,))
    if projection.variant == "dora":
        again = None
        if numerics.dropout:
            again, bytes_again = _dora_product(tape, name, dropped, bytes_dropped, projection, numerics, copies)
        high = _dora(
            tape, name, base if again is None else again, out if again is None else bytes_again, high,
            bytes_dropped, projection, numerics, copies, copied=again is not None,
        )  # fmt: skip
        bytes_in = max(out, adapter)  # the magnitude is in the adapter's type
    else:
        high = tape.op(f"{name} scaling", (high,), Size(bytes_in * n_out))
    wide = max(out, bytes_in)
    same = tuple(item for item, size in ((base, out), (high, bytes_in)) if size == wide)
    total = tape.op(f"{name} adapter added", (base, high), Size(wide * n_out), views=same)
    if wide != out and not (own_type and projection.variant == "dora"):  # bnb.py converts the result outside autocast
        total, wide = tape.op(f"{name} result cast", (total,), Size(out * n_out)), out
    held = (x, cast, dropped) if projection.variant == "dora" else (x, cast)
    tape.hold_here(*held)  # the caller's argument and the layer's locals
    return total, wide


def _dora_product(
    tape: Tape, name: str, x: int, width: int, projection: Projection, numerics: Numerics, copies: float
) -> tuple[int, int]:
    """The base product once more, of the dropped input (peft 0.21.2 tuners/lora/variants.py: `base_result = None`).

    Its weight is a copy in the input's type, and is saved for the input's gradient.
    """
    size = numerics.compute if numerics.autocast else width
    if size != width:
        x = tape.op(f"{name} dora input cast", (x,), Size(size * projection.inputs * copies))
    plain = not projection.quantized and not numerics.autocast and numerics.weight == width
    weight = Size(0, 0, 0 if plain else size * projection.inputs * projection.outputs)
    product = tape.op(
        f"{name} dora product", (x,), Size(size * projection.outputs * copies), saves=(tape.aside(weight),)
    )
    return product, size


def _dora(
    tape: Tape,
    name: str,
    base: int,
    out: int,
    high: int,
    wide: int,
    projection: Projection,
    numerics: Numerics,
    copies: float,
    *,
    copied: bool,
) -> int:
    """(m - 1) * base + m * lora * scaling (peft 0.21.2 tuners/lora/dora.py): both products keep their factors.

    The column norm is computed through the identity: a square of the input's width, the update, the weight in the
    input's type, `wide` bytes, the scaled update and their sum. `copied`: that copy of the weight is saved already.
    """
    n_out = projection.outputs * copies
    weight = projection.inputs * projection.outputs
    # Without a graph the identity is gone before the norm is made; with one it stays to the end. The weight's copy in
    # the input's type is none where it has that type.
    cast = wide != numerics.compute
    identity = numerics.adapter * projection.inputs**2
    making = max(wide * weight * (4 if cast else 3), identity + wide * weight)
    first = Size(0, 0, making)
    first_graph = Size(0, 0, wide * weight * (4 if cast else 3) + identity - making)
    locals_ = 1 if not cast or (copied and not numerics.autocast) else 2
    rest, rest_graph = Size(0, 0, wide * weight * locals_), Size(0, 0, identity)
    size = max(out, numerics.adapter)
    shifted = tape.op(f"{name} dora base", (base,), Size(size * n_out), saves=(base,), forward=first, graph=first_graph)
    scaled = tape.op(f"{name} dora lora", (high,), Size(size * n_out), saves=(high,), forward=rest, graph=rest_graph)
    scaled = tape.op(f"{name} scaling", (scaled,), Size(size * n_out), forward=rest, graph=rest_graph)
    return tape.op(
        f"{name} dora sum", (shifted, scaled), Size(size * n_out), views=(shifted, scaled),
        forward=rest, graph=rest_graph,
    )  # fmt: skip
