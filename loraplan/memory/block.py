"""One decoder block as the operations that PyTorch runs, for every way in which the stacks run it."""

from __future__ import annotations

from typing import NamedTuple

from loraplan.memory.layers import Numerics, Projection, normalize, project
from loraplan.memory.tape import NOTHING, Profile, Size, Tape


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
        normed, width = normalize(tape, 0, stream, block.hidden, block.norm, numerics)
        attended, _ = _attention(tape, normed, width, block, numerics)
        if block.two_norms:
            normed, width = normalize(tape, 0, stream, block.hidden, block.norm, numerics)
        fed, _ = _feed(tape, normed, width, block, numerics)
        both = tape.op("branches added", (attended, fed), Size(numerics.compute * block.hidden), views=(attended, fed))
        tape.op("residual", (both, 0), Size(stream * block.hidden), views=(both, 0))
        return tape.profile(output_kept=recomputed)
    normed, width = normalize(tape, 0, stream, block.hidden, block.norm, numerics)
    attended, width = _attention(tape, normed, width, block, numerics)
    if block.post_norms:
        attended, width = normalize(tape, attended, width, block.hidden, block.norm, numerics)
    middle = _residual(tape, 0, attended, width, block, numerics)
    normed, width = normalize(tape, middle, stream, block.hidden, block.norm, numerics)
    fed, width = _feed(tape, normed, width, block, numerics)
    if block.post_norms:
        fed, width = normalize(tape, fed, width, block.hidden, block.norm, numerics)
    _residual(tape, middle, fed, width, block, numerics)
    return tape.profile(output_kept=recomputed)


def _residual(tape: Tape, base: int, branch: int, width: int, block: Block, numerics: Numerics) -> int:
    """The sum; a branch of another type has a gradient of its own."""
    same = (base, branch) if width == numerics.stream else (base,)
    return tape.op("residual", (base, branch), Size(numerics.stream * block.hidden), views=same)


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
            project(tape, name, x, width, projection, numerics)
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
    return project(tape, "o", result, size, block.output, numerics)


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
                current, size = normalize(tape, current, size, width, block.norm, numerics)
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
    base, _ = project(tape, "qkv", x, width, whole, numerics)
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
    return (result, size) if block.output is None else project(tape, "o", result, size, block.output, numerics)


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
        low, size = project(tape, "fc1", x, width, first[0], numerics, copies)
        if block.python_gelu and not numerics.merged_query:
            active, size = _new_gelu(tape, low, size, inner, numerics)
        else:
            active = tape.op("activation", (low,), Size(size * inner), saves=(low,))
        return project(tape, "fc2", active, size, last, numerics, copies)
    if len(first) == 1:
        both, size = project(tape, "gate_up", x, width, first[0], numerics, copies)
        gate = up = both
    else:
        gate, size = project(tape, "gate", x, width, first[0], numerics, copies)
        up, _ = project(tape, "up", x, width, first[1], numerics, copies)
    if numerics.fused_mlp:
        product = tape.op("glu", (gate, up), Size(size * inner), saves=(gate, up), reuses=True)
    else:
        active = tape.op("activation", (gate,), Size(size * inner), saves=(gate,))
        product = tape.op("gate product", (active, up), Size(size * inner), saves=(active, up))
    return project(tape, "down", product, size, last, numerics, copies)
