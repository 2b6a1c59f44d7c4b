"""One decoder block as the operations that PyTorch runs, for every way in which the stacks run it."""

from __future__ import annotations

from typing import NamedTuple

from loraplan.memory.tape import NOTHING, Profile, Size, Tape


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


class Block(NamedTuple):
    """The shape of a decoder block. Sizes in elements."""

    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    query: tuple[Projection, ...]
    """q, k, v, or one fused projection, or the longer chain of latent attention."""
    output: Projection | None
    mlp: tuple[Projection, ...]
    """gate, up, down; or gate_up, down; or fc1, fc2."""
    gated: bool = True
    norm: str = "rms"
    """`rms` (computed in fp32 by hand, as LlamaRMSNorm), `layer` (torch's LayerNorm), `rms32` (gemma: weight too) or
    `centred` (cohere's)."""
    post_norms: bool = False
    """The branches are normed again before they are added (gemma2, glm4)."""
    head_norms: bool = False
    parallel: bool = False
    """Attention and MLP read the same input and are added together."""
    two_norms: bool = False
    """Of parallel branches each has a norm of its own."""
    python_gelu: bool = False
    """The activation is transformers' NewGELUActivation, elementwise in Python, not one kernel."""
    attention: str = "flash"
    """`flash` (its caller casts to half precision), `sdpa`, `efficient` (sdpa with a mask that all layers share),
    `masked` (sdpa with a boolean mask, of which each layer makes its own), `plain`, `eager`."""
    softcapped: bool = False
    """Scores go through a tanh (gemma2), which eager attention keeps."""
    repeats_kv: bool = False
    """Keys and values are expanded to all heads before attention."""
    experts: int = 0
    """Experts that each token visits; 0 for a dense MLP."""
    routed: int = 0
    """Experts there are."""
    looped: bool = False
    """The experts run one after another (transformers before 5), not in one grouped product."""
    shared: tuple[Projection, ...] = ()
    """The shared expert's gate, up, down."""
    rotary: bool = True
    partial_rotary: bool = False
    """Only a part of each head is rotated: queries are joined anew, and attention's output is copied into order."""
    attention_dropout: bool = False


_MOST_PARTS = 64  # experts that run one after another are told apart up to this many


def profile(block: Block, numerics: Numerics, *, recomputed: bool) -> Profile:
    """Liveness of the block. `recomputed`: it is run again in the backward, whose caller holds its output."""
    stream = numerics.stream
    tape = Tape(Size(stream * block.hidden))
    if block.parallel:
        normed, width = _norm(tape, 0, stream, block.hidden, block.norm, numerics)
        attended, _ = _attention(tape, normed, width, block, numerics)
        if block.two_norms:
            normed, width = _norm(tape, 0, stream, block.hidden, block.norm, numerics)
        fed, _ = _feed(tape, normed, width, block, numerics)
        both = tape.op("branches added", (attended, fed), Size(numerics.compute * block.hidden), views=(attended, fed))
        tape.op("residual", (both, 0), Size(stream * block.hidden), views=(both, 0))
        return tape.profile(output_kept=recomputed)
    normed, width = _norm(tape, 0, stream, block.hidden, block.norm, numerics)
    attended, width = _attention(tape, normed, width, block, numerics)
    if block.post_norms:
        attended, width = _norm(tape, attended, width, block.hidden, block.norm, numerics)
    middle = _residual(tape, 0, attended, width, block, numerics)
    normed, width = _norm(tape, middle, stream, block.hidden, block.norm, numerics)
    fed, width = _feed(tape, normed, width, block, numerics)
    if block.post_norms:
        fed, width = _norm(tape, fed, width, block.hidden, block.norm, numerics)
    _residual(tape, middle, fed, width, block, numerics)
    return tape.profile(output_kept=recomputed)


def _residual(tape: Tape, base: int, branch: int, width: int, block: Block, numerics: Numerics) -> int:
    """The sum; a branch of another type has a gradient of its own."""
    same = (base, branch) if width == numerics.stream else (base,)
    return tape.op("residual", (base, branch), Size(numerics.stream * block.hidden), views=same)


def _norm(tape: Tape, x: int, width: int, size: int, kind: str, numerics: Numerics) -> tuple[int, int]:
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


def _linear(
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


def _fused(
    tape: Tape, name: str, x: int, width: int, projections: tuple[Projection, ...], numerics: Numerics
) -> tuple[int, ...]:
    """Adapted quantized projections of one input in one autograd function (unsloth's LoRA_QKV and LoRA_W).

    It saves the input and, where there is dropout, a dropped copy for each projection; the gradient of the input is
    written over it.
    """
    n_in = projections[0].inputs
    dropped = tuple(tape.aside(Size(width * n_in)) for _ in projections) if numerics.dropout else ()
    workspace = Size(2 * width * n_in + n_in, 0, max(p.inputs * p.outputs for p in projections) * numerics.compute)
    sizes = tuple(Size(width * projection.outputs) for projection in projections)
    return tape.many(name, (x,), sizes, (x, *dropped), forward=workspace, backward=workspace)


def _fused_mlp(tape: Tape, x: int, width: int, projections: tuple[Projection, ...], numerics: Numerics) -> int:
    """Gate, up, product and down with their adapters in one function (unsloth's LoRA_MLP).

    It saves its input and the two factors; the gradients are written over them.
    """
    gate, _, down = projections
    n_in, inner = gate.inputs, down.inputs
    factors = (tape.aside(Size(width * inner)), tape.aside(Size(width * inner)))
    dropped = (tape.aside(Size(width * n_in)), tape.aside(Size(width * n_in))) if numerics.dropout else ()
    weight = n_in * inner * numerics.compute if gate.quantized else 0
    return tape.op(
        "mlp", (x,), Size(width * n_in), saves=(x, *factors, *dropped),
        forward=Size(width * inner, 0, weight), backward=Size(width * inner, 0, weight),
    )  # fmt: skip


def _attention(tape: Tape, x: int, width: int, block: Block, numerics: Numerics) -> tuple[int, int]:
    """Projections, rotation, attention, output projection."""
    fused = numerics.fused_adapter and all(p.rank for p in block.query)
    inner = block.heads * block.head_dim
    if numerics.merged_query:
        return _merged(tape, x, width, block, numerics)
    if fused and len(block.query) > 1:
        parts = _fused(tape, "qkv", x, width, block.query, numerics)
        made = [(part, width) for part in parts]
    else:
        made = [
            _linear(tape, name, x, width, projection, numerics)
            for name, projection in zip("qkv" if len(block.query) > 1 else ("qkv",), block.query, strict=False)
        ]
    rotated = _heads(tape, made, block, numerics)
    sources = tuple(item for item, _, _ in rotated)
    size = max(size for _, size, _ in rotated)
    result = _attend(tape, sources, inner, size, block)
    if block.partial_rotary and block.attention in ("flash", "sdpa"):
        result = tape.op("attention in order", (result,), Size(size * inner))
    if block.output is None:
        return result, size
    if fused and block.output.rank:
        return _fused(tape, "o", result, size, (block.output,), numerics)[0], size
    return _linear(tape, "o", result, size, block.output, numerics)


def _heads(tape: Tape, made: list[tuple[int, int]], block: Block, numerics: Numerics) -> list[tuple[int, int, int]]:
    """(tensor, bytes per element, width) of queries, keys and values as attention gets them.

    Of a fused projection queries and keys are new tensors once they are rotated; the values are a view, which keeps the
    whole alive. Without rotation all three are views.
    """
    inner, kv = block.heads * block.head_dim, block.kv_heads * block.head_dim
    if len(made) == 1 and not block.rotary:
        (whole, size), widths = made[0], [block.query[0].outputs]
        parts = [(whole, size)]
    else:
        parts, widths = (made * 3 if len(made) == 1 else made), [inner, kv, kv]
    found = []
    for number, ((made_by, made_size), width) in enumerate(zip(parts, widths, strict=False)):
        current, size = made_by, made_size
        if number < 2:  # queries and keys
            if block.head_norms:
                current, size = _norm(tape, current, size, width, block.norm, numerics)
            if block.rotary:
                current = tape.op("rotary", (current,), Size(size * width), backward=Size(size * width))
        if size != numerics.compute and block.attention == "flash":
            current, size = tape.op("attention cast", (current,), Size(numerics.compute * width)), numerics.compute
        found.append((current, size, width))
    if block.repeats_kv and len(found) == 3 and kv != inner:
        found[1:] = [(tape.op("repeat kv", (item,), Size(size * inner)), size, inner) for item, size, _ in found[1:]]
    if numerics.autocast and block.attention != "eager":  # torch 2.13 autocast_mode.h lists the attention's function
        compute = numerics.compute
        found = [
            (tape.op("attention cast", (item,), Size(compute * width)) if size != compute else item, compute, width)
            for item, size, width in found
        ]
    return found


def _merged(tape: Tape, x: int, width: int, block: Block, numerics: Numerics) -> tuple[int, int]:
    """litgpt's attention: the values are a view, so that the whole of q, k and v stays alive beside rotated copies.

    The adapter's update is written into a zero tensor by `index_copy`, whose backward keeps the update (torch 2.13
    tools/autograd/derivatives.yaml: `expand_as(source)`).
    """
    size = numerics.compute
    inner, kv = block.heads * block.head_dim, block.kv_heads * block.head_dim
    rows = inner + 2 * kv
    first = block.query[0]
    whole = Projection(first.inputs, rows, quantized=first.quantized, trained=first.trained)
    base, _ = _linear(tape, "qkv", x, width, whole, numerics)
    adapted = [p for p in block.query if p.rank]
    if adapted:
        typed = x
        if numerics.dropout:
            mask = tape.aside(Size(first.inputs))
            typed = tape.op("qkv adapter dropout", (x,), Size(size * first.inputs), saves=(mask,))
        # Of a projection that is fused in the checkpoint, litgpt adapts queries and values unless told otherwise.
        outputs = inner + kv if len(block.query) == 1 else sum(p.outputs for p in adapted)
        rank = 2 * first.rank if len(block.query) == 1 else sum(p.rank for p in adapted)
        low = tape.op("qkv lora_A", (typed,), Size(size * rank), saves=(typed,))
        high = tape.op("qkv lora_B", (low,), Size(size * outputs), saves=(low,))
        padded = tape.op("qkv zero pad", (high,), Size(size * rows), saves=(high,))
        scaled = tape.op("qkv scaling", (padded,), Size(size * rows))
        base = tape.op("qkv adapter added", (base, scaled), Size(size * rows), views=(base, scaled))
    query = tape.op("rotary", (base,), Size(size * inner), backward=Size(size * inner))
    key = tape.op("rotary", (base,), Size(size * (inner if block.repeats_kv else kv)), backward=Size(size * kv))
    value = base
    if block.repeats_kv and kv != inner:
        value = tape.op("repeat kv", (base,), Size(size * inner))
    result = _attend(tape, (query, key, value), inner, size, block)
    return (result, size) if block.output is None else _linear(tape, "o", result, size, block.output, numerics)


def _attend(tape: Tape, sources: tuple[int, ...], inner: int, size: int, block: Block) -> int:
    """softmax(q k) v. The fused kernels save their inputs, their output and one fp32 log-sum-exp for each head.

    In fp32 with fewer key-value heads and no mask neither kernel takes the input (transformers 5.23
    integrations/sdpa_attention.py passes enable_gqa): PyTorch writes the attention out, on expanded, scaled copies. So
    it does where no kernel can be asked for (`plain`).
    """
    matrix = Size(0, size * block.heads)
    if block.attention == "plain" or (block.attention == "sdpa" and size == 4 and block.kv_heads != block.heads):
        full = Size(0, 4 * block.heads)  # in fp32 whatever comes in (torch 2.13 transformers/attention.cpp)
        copies = tuple(tape.op("attention copies", (item,), Size(4 * inner)) for item in sources)
        scores = tape.op("scores", copies, full, saves=copies[:2])
        weights = tape.op("softmax", (scores,), full, saves=(-1,))
        found = tape.op("attention", (weights, copies[-1]), Size(4 * inner), saves=(weights, copies[-1]))
        return found if size == 4 else tape.op("attention cast", (found,), Size(size * inner))
    if block.attention != "eager":
        kept = (*sources, -1, tape.aside(Size(4 * block.heads)))
        negated = NOTHING
        if block.attention == "masked":
            # torch 2.13 transformers/attention.cpp `convert_boolean_attn_mask`: an addend in the queries' type
            kept, negated = (*kept, tape.aside(Size(0, size))), Size(0, 1)
        return tape.op("attention", sources, Size(size * inner), saves=kept, forward=negated)
    scores = tape.op("scores", sources, matrix, saves=sources)
    if block.softcapped:
        scores = tape.op("softcap", (scores,), matrix, saves=(-1,))
        scores = tape.op("softcap scaled", (scores,), matrix)
    masked = tape.op("mask", (scores,), matrix, views=(scores,))
    soft = tape.op("softmax", (masked,), Size(0, 4 * block.heads), saves=(-1,))
    weights = soft if size == 4 else tape.op("softmax cast", (soft,), matrix)
    if block.attention_dropout:
        mask = tape.aside(Size(0, block.heads))
        weights = tape.op("attention dropout", (weights,), matrix, saves=(mask,))
    return tape.op("attention", (weights, sources[-1]), Size(size * inner), saves=(weights, sources[-1]))


def _new_gelu(tape: Tape, x: int, size: int, inner: float, numerics: Numerics) -> tuple[int, int]:
    """0.5 x (1 + tanh(c (x + 0.044715 x³))) as transformers 5.23 activations.py has it; autocast cubes in fp32."""
    half = tape.op("activation half", (x,), Size(size * inner))
    base, wide = x, size
    if numerics.autocast and size != 4:
        base, wide = tape.op("activation upcast", (x,), Size(4 * inner)), 4
    full = Size(wide * inner)
    cube = tape.op("activation cube", (base,), full, saves=(base,), backward=full)
    scaled = tape.op("activation scaled", (cube,), full)
    added = tape.op("activation added", (x, scaled), full, views=(x, scaled) if wide == size else (scaled,))
    scaled = tape.op("activation scaled", (added,), full)
    curve = tape.op("activation tanh", (scaled,), full, saves=(-1,))
    shifted = tape.op("activation shifted", (curve,), full, views=(curve,))
    uncast = full if wide != size else NOTHING  # the half's gradient before it is cast
    return tape.op("activation", (half, shifted), full, saves=(half, shifted), backward=uncast), wide


def _feed(tape: Tape, x: int, width: int, block: Block, numerics: Numerics) -> tuple[int, int]:
    """The MLP, or the experts and their shared expert."""
    if not block.experts:
        return _mlp(tape, x, width, block.mlp, block, numerics, 1)
    keep = (x,) if numerics.norm_trained else ()
    router = tape.op("router", (x,), Size(4 * block.routed), saves=keep)
    weights = tape.op("router softmax", (router,), Size(4 * block.routed), saves=(-1,))
    parts = min(block.routed, _MOST_PARTS) if block.looped else 1
    share, out, done = block.experts / parts, width, []
    for _ in range(parts):
        dispatched = tape.op("dispatch", (x,), Size(width * block.hidden * share))
        fed, out = _mlp(tape, dispatched, width, block.mlp, block, numerics, share)
        done.append(tape.op("expert weights", (fed, weights), Size(out * block.hidden * share), saves=(fed,)))
    combined = tape.op("combine", tuple(done), Size(out * block.hidden))
    if not block.shared:
        return combined, out
    shared, _ = _mlp(tape, x, width, block.shared, block, numerics, 1)
    return tape.op("shared added", (combined, shared), Size(out * block.hidden), views=(combined, shared)), out


def _mlp(
    tape: Tape,
    x: int,
    width: int,
    projections: tuple[Projection, ...],
    block: Block,
    numerics: Numerics,
    copies: float,
) -> tuple[int, int]:
    """down(act(gate) * up), or fc2(act(fc1)). The activation keeps its input, the product both factors."""
    *first, last = projections
    inner = last.inputs * copies
    if numerics.fused_adapter and block.gated and len(first) == 2 and all(p.rank for p in projections):
        return _fused_mlp(tape, x, width, projections, numerics), width
    if not block.gated:
        low, size = _linear(tape, "fc1", x, width, first[0], numerics, copies)
        if block.python_gelu and not numerics.merged_query:
            active, size = _new_gelu(tape, low, size, inner, numerics)
        else:
            active = tape.op("activation", (low,), Size(size * inner), saves=(low,))
        return _linear(tape, "fc2", active, size, last, numerics, copies)
    if len(first) == 1:
        both, size = _linear(tape, "gate_up", x, width, first[0], numerics, copies)
        gate = up = both
    else:
        gate, size = _linear(tape, "gate", x, width, first[0], numerics, copies)
        up, _ = _linear(tape, "up", x, width, first[1], numerics, copies)
    if numerics.fused_mlp:
        product = tape.op("glu", (gate, up), Size(size * inner), saves=(gate, up), reuses=True)
    else:
        active = tape.op("activation", (gate,), Size(size * inner), saves=(gate,))
        product = tape.op("gate product", (active, up), Size(size * inner), saves=(active, up))
    return _linear(tape, "down", product, size, last, numerics, copies)
