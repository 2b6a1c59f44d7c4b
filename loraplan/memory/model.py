"""The estimate: what is alive at each phase of a training step, on one GPU of the run."""

from __future__ import annotations

from typing import NamedTuple

from loraplan.arch.spec import ArchSpec
from loraplan.devices import Device
from loraplan.memory.head import head_gradient
from loraplan.memory.observed import ranges
from loraplan.memory.setup import CUBLAS_WORKSPACE, CUBLAS_WORKSPACE_HOPPER, Setup, setup
from loraplan.memory.sharding import Shards, shards
from loraplan.memory.stack import Stack, stack_for
from loraplan.memory.term import Estimate, Phase, Term, phase
from loraplan.memory.weights import SOURCES
from loraplan.plan import Plan

_LIVENESS = "liveness of the operations as the stack runs them (loraplan.memory.block)"
_AUTOGRAD = "torch 2.13 csrc/autograd"
_COLLATOR = "transformers 5.23 data/data_collator.py"
_NONE = Term("", 0, "", "")
_CUBLAS = "torch 2.13 aten/src/ATen/cuda/CublasHandlePool.cpp"


def estimate(plan: Plan, arch: ArchSpec, device: Device | None = None, *, stack: Stack | None = None) -> Estimate:
    """Peak memory of a run. Without a stack, that of transformers + PEFT of today is taken."""
    return evaluate(setup(plan, arch, stack or stack_for("transformers")), device)


def evaluate(run: Setup, device: Device | None = None) -> Estimate:
    """The estimate of a run that is set up already."""
    split = shards(run)
    phases = _phases(run, split, device)
    peak = max(phases, key=lambda item: item.bytes)
    found = ranges(run, phases, peak, split, device)
    symbols = (
        ("tokens", run.tokens),
        ("length", run.length),
        ("layers", sum(item.copies for item in run.layers)),
        ("hidden", run.arch.hidden_size),
        ("vocabulary", run.arch.vocab_size),
        ("trained", run.trained),
        ("parameters", run.arch.parameters),
        ("gpus", split.gpus),
    )
    return Estimate(
        phases, *found[:4], split.host, run.unknown, run.assumptions, symbols, run.stack.name, split.gpus,
        found.evidence,
    )  # fmt: skip


class _Parts(NamedTuple):
    """Bytes that several phases share."""

    static: tuple[Term, ...]
    gathered_one: int
    gathered_two: int
    inputs: int
    """Of the blocks, as checkpointing keeps them."""
    saved: int
    """Of all blocks, without checkpointing."""
    grads: int
    batch: Term
    logits: int
    """The output that the training loop holds through the backward."""
    autocast: int


def _phases(run: Setup, split: Shards, device: Device | None) -> tuple[Phase, ...]:
    parts = _parts(run, split, device)
    return (
        _load(run, parts),
        _forward(run, split, parts),
        _loss(run, split, parts),
        _backward(run, split, parts),
        _step(run, split, parts),
        *_evaluation(run, split, parts),
    )


def _parts(run: Setup, split: Shards, device: Device | None) -> _Parts:
    base, shape, tokens = run.weights, run.shape, run.tokens
    tensor = max(run.plan.distributed.tensor_parallel or 1, 1)  # its plans split the blocks' matrices, not the ends
    weights = ((base.quantized + base.plain) // tensor + base.norms + base.ends + base.other) // split.parameters
    own = shape.adapter * run.adapter_bytes // split.adapters + shape.saved * run.weight_bytes // split.parameters
    if run.full:
        own = 0
    if split.weights_on_host:
        weights = own = 0
    state = split.state(run)
    hopper = device is not None and device.capability is not None and device.capability >= (9, 0)
    workspace = CUBLAS_WORKSPACE_HOPPER if hopper else CUBLAS_WORKSPACE
    stored = SOURCES.get(run.storage.kind, "")
    held = base.total - base.statistics if run.stack.holds_whole and not run.full and split.parameters > 1 else 0
    terms = [
        Term("base weights", weights * split.weight_copy, "bytes of the stored weights / shards", stored),
        Term("whole weights", held, "bytes of the stored weights, beside the shards", run.stack.name),
        Term("quantization statistics", base.statistics, "scales of every block, whole on each GPU", stored),
        Term("adapters", own, "adapter parameters × bytes of their dtype", "peft 0.21.2 tuners/lora/layer.py"),
        Term("optimizer state", state, "trained × state bytes", run.optimizer.source),
        Term("master weights", split.master, "trained × 4", split.source),
        Term("communication buffers", split.buffers, split.buffer_formula, split.source),
        Term("cuBLAS workspaces", 2 * workspace, "one for the forward's thread, one for the backward's", _CUBLAS),
    ]  # fmt: skip
    stream, hidden = run.numerics.stream, run.arch.hidden_size
    layers = sum(item.copies for item in run.layers)
    inputs = (layers * stream - (stream - run.weight_bytes)) * hidden * tokens if layers else 0
    saved = sum(item.copies * item.profile.saved.at(tokens, run.positions) for item in run.layers)
    grads = split.gradients(run)
    logits = tokens * run.arch.vocab_size * run.numerics.compute if run.stack.keeps_logits else 0
    cast = 0
    if run.numerics.autocast and not run.numerics.fused_adapter and split.parameters == 1:
        if not run.full:
            cast = 2 * run.trained if run.adapter_bytes == 4 else 0
        elif run.weight_bytes == 4 and run.checkpointing:
            # An embedding is not cast, and the head's copy is the loss's; without checkpointing the blocks save theirs.
            ends = run.arch.vocab_size * run.arch.hidden_size * (1 if run.arch.tied_embeddings else 2)
            cast = 2 * max(run.trained - ends, 0)
    return _Parts(
        tuple(term for term in terms if term.bytes),
        split.root + split.layer,
        split.root + 2 * split.layer,
        0 if run.offloads else inputs,
        int(saved),
        grads,
        Term("batch", 24 * tokens, "tokens × 3 int64: ids, mask, labels", _COLLATOR),
        logits,
        cast,
    )


def _phase(name: str, parts: _Parts, *terms: Term) -> Phase:
    return phase(name, (*parts.static, parts.batch, *terms))


def _gathered(size: int, blocks: int) -> Term:
    if not size:
        return _NONE
    return Term(
        "gathered weights", size, f"embeddings and head + {blocks} block{'s' if blocks > 1 else ''}, whole",
        "torch 2.13 distributed/fsdp/_flat_param.py, BACKWARD_PRE prefetch",
    )  # fmt: skip


def _load(run: Setup, parts: _Parts) -> Phase:
    """Weights as they are loaded; one matrix is quantized at a time."""
    terms = tuple(term for term in parts.static if term.name in ("base weights", "quantization statistics", "adapters"))
    piece = run.weights.largest * 2
    extra = (Term("one matrix before quantization", piece, "elements of the largest matrix × 2", SOURCES["bnb4"]),)
    return phase("load", (*terms, *extra))


def _kept(run: Setup, parts: _Parts) -> Term:
    """What the forward leaves for the backward of the blocks."""
    if run.checkpointing:
        if run.offloads:
            two = 2 * run.numerics.stream * run.arch.hidden_size * run.tokens
            return Term(
                "checkpointed inputs", two, "2 × tokens × hidden × bytes, the others on the host", run.stack.name
            )
        return Term(
            "checkpointed inputs", parts.inputs, "layers × tokens × hidden × bytes", "torch 2.13 utils/checkpoint.py"
        )
    return Term("saved activations", parts.saved, "sum over the blocks of what their operations save", _LIVENESS)


def _cast(parts: _Parts) -> Term:
    if not parts.autocast:
        return _NONE
    return Term(
        "autocast copies",
        parts.autocast,
        "trained × 2, cached until autocast ends",
        "torch 2.13 aten/src/ATen/autocast_mode.cpp",
    )


def _accumulated(run: Setup, parts: _Parts) -> Term:
    if not run.accumulates:
        return _NONE
    return Term(
        "gradients", parts.grads, "trained × bytes, of the micro-batches before",
        f"{_AUTOGRAD}/functions/accumulate_grad.h",
    )  # fmt: skip


def _cache(run: Setup) -> Term:
    if not run.cache:
        return _NONE
    return Term(
        "key-value cache",
        run.cache * run.tokens,
        "2 × layers × kv width × bytes × tokens",
        "transformers 5.23 cache_utils.py",
    )


def _kept_cache(run: Setup) -> Term:
    """The cache where the loop holds the model's output, which carries it, through the backward."""
    return _cache(run) if run.stack.keeps_logits else _NONE


def _mask(run: Setup, *, behind: bool = True) -> Term:
    """The attention mask; `behind` the forward, where checkpoints hold it as an argument, or attention as an input."""
    if not run.mask or (behind and not run.checkpointing and run.mask == 1):
        return _NONE
    return Term(
        "attention mask", run.mask * run.tokens * run.positions, "tokens × positions × bytes",
        "transformers 5.23 masking_utils.py",
    )  # fmt: skip


def _forward(run: Setup, split: Shards, parts: _Parts) -> Phase:
    """The last block's forward, all blocks before it done."""
    tokens, length = run.tokens, run.positions
    inside = 0.0
    for item in run.layers:
        instants = item.profile.transient if run.checkpointing else item.profile.forward
        kept = 0 if run.checkpointing else item.profile.saved.at(tokens, length)
        inside = max(inside, item.profile.peak(instants, tokens, length) - kept)
    work = Term("inside one block", int(max(inside, 0)), "the largest instant of its forward", _LIVENESS)
    return _phase(
        "forward", parts, _kept(run, parts), work, _cast(parts), _accumulated(run, parts), _cache(run),
        _mask(run, behind=False),
        _gathered(parts.gathered_one if split.parameters > 1 else 0, 1),
    )  # fmt: skip


def _loss(run: Setup, split: Shards, parts: _Parts) -> Phase:
    """Final norm, head and loss: the larger of the forward's end and the first step back."""
    tokens, length = run.tokens, run.positions
    trained = run.arch.vocab_size * run.arch.hidden_size if run.shape.head_trained else 0
    gradient = head_gradient(run.loss, run.weight_bytes)
    piece = run.pieces.at(tokens)
    inside, outside = run.head.apart
    ahead = parts.autocast + max(
        run.head.peak(run.head.forward, tokens, length), inside.at(tokens, length) + piece + trained * gradient.ahead
    )
    held = parts.logits
    if run.loss in ("own", "own_fused"):
        # Measured of GPTBigCode: its logits, and the fp32 copy that accelerate makes of outputs, outlive the forward.
        held = tokens * run.arch.vocab_size * (run.numerics.compute + (4 if run.numerics.autocast else 0))
    made = trained * run.weight_bytes if gradient.back else 0
    back = held + max(
        run.head.peak(run.head.backward, tokens, length) + made,
        outside.at(tokens, length) + piece + trained * gradient.back,
    )
    common = (_kept(run, parts), _accumulated(run, parts), _mask(run))
    gathered = _gathered(parts.gathered_one if split.parameters > 1 else 0, 1)
    formula = "tokens × (vocabulary × bytes a logit + hidden × bytes of norm and head)"
    source = f"loss `{run.loss}`: loraplan.memory.head"
    if ahead >= back:
        return _phase(
            "loss", parts, *common, _cache(run), Term("logits and loss", int(ahead) - parts.autocast, formula, source),
            _cast(parts), gathered,
        )  # fmt: skip
    return _phase(
        "loss", parts, *common, Term("logits and loss", int(back) - held, formula, source),
        Term("output held by the loop", held, "tokens × vocabulary × bytes", run.stack.name),
        _kept_cache(run), gathered,
    )  # fmt: skip


def _backward(run: Setup, split: Shards, parts: _Parts) -> Phase:
    """The worst block's backward: at the top, where all inputs are alive, or at the bottom, where all gradients are."""
    tokens, length = run.tokens, run.positions
    worst, saved = 0.0, 0.0
    for item in run.layers:
        size = item.profile.peak(item.profile.backward, tokens, length)
        if size >= worst:
            worst, saved = size, item.profile.saved.at(tokens, length)
    own = run.numerics.stream * run.arch.hidden_size * tokens
    work = Term("inside one block", int(worst), "the largest instant of its backward", _LIVENESS)
    ends = (run.shape.head_trained or run.shape.embedding_trained) and run.arch.vocab_size * run.arch.hidden_size
    early = max(parts.grads if run.accumulates else 0, int(ends or 0) * run.weight_bytes // split.gradient_shards)
    held = Term("output held by the loop", parts.logits, "tokens × vocabulary × bytes", run.stack.name)
    first = Term("gradients", early, "of the head, or of the micro-batches before", _AUTOGRAD)
    two = _gathered(parts.gathered_two if split.parameters > 1 else 0, 2)
    top: tuple[Term, ...]
    if run.checkpointing:
        kept = _kept(run, parts)
        top = (kept, work, first, held, _mask(run), two)
        if split.keeps_inputs and not run.offloads:
            retained = kept.bytes + max(sum(item.copies for item in run.layers) - 2, 0) * own
            bottom = Term(
                "inputs of the blocks and their gradients", retained,
                "(2 × layers - 2) × tokens × hidden × bytes: hooks on frozen blocks hold them until the backward ends",
                "torch 2.13 distributed/fsdp/_runtime_utils.py `_register_post_backward_reshard_only_hook`",
            )  # fmt: skip
        else:
            bottom = Term(
                "checkpointed inputs",
                own,
                "tokens × hidden × bytes, of the first block",
                "torch 2.13 utils/checkpoint.py",
            )
    else:
        rest = max(parts.saved - int(saved), 0)
        top = (
            Term("saved activations", rest, "of the blocks below", _LIVENESS),
            work,
            first,
            held,
            _kept_cache(run),
            _mask(run),
            two,
        )
        bottom = Term("saved activations", 0, "", "")
    late = 0  # the embedding's gradient, which no block's backward has beside it
    if run.full and not run.accumulates and not run.arch.tied_embeddings:
        late = min(run.arch.vocab_size * run.arch.hidden_size * run.weight_bytes // split.gradient_shards, parts.grads)
    low = (
        bottom, work, Term("gradients", parts.grads - late, "trained × bytes of the gradient", _AUTOGRAD), held,
        _kept_cache(run), _mask(run),
        _gathered(parts.gathered_one if split.parameters > 1 else 0, 1),
    )  # fmt: skip
    instants = [_phase("backward", parts, *top), _phase("backward", parts, *low)]
    if run.shape.embedding_trained:
        instants.append(_phase("backward", parts, *_last_gradient(run, parts, own), held, low[-1]))
    return max(instants, key=lambda item: item.bytes)


def _last_gradient(run: Setup, parts: _Parts, own: int) -> tuple[Term, ...]:
    """The embedding's gradient comes last. Where it is the head too, the head's has waited for it, to be added.

    The second is added in place, but for a head's gradient that is a view, as a linear layer in one type makes it.
    """
    weight = run.arch.vocab_size * run.arch.hidden_size * run.weight_bytes
    copies = 0
    if run.full and run.arch.tied_embeddings:
        converted = run.numerics.autocast and run.weight_bytes == 4
        copies = 1 if converted or head_gradient(run.loss, run.weight_bytes).back else 2
    source = f"{_AUTOGRAD}/input_buffer.cpp"
    return (
        Term("gradients", parts.grads, "trained × bytes of the gradient", _AUTOGRAD),
        Term("gradients of tied embeddings", copies * weight, "vocabulary × hidden × bytes, before the sum", source),
        Term("checkpointed inputs", own, "tokens × hidden × bytes, the gradient of the first block's input", source),
    )


def _evaluation(run: Setup, split: Shards, parts: _Parts) -> tuple[Phase, ...]:
    """A batch of the evaluation: a forward without gradients, whose logits are all there."""
    plan = run.plan
    strategy = plan.run.eval_strategy
    if strategy == "no" or (strategy is None and not plan.run.eval_steps):
        return ()  # a number of steps alone is a framework's default, or says nothing where the strategy is `no`
    tokens = (plan.batch.eval_batch_size or run.rows) * run.length
    inside = max((item.profile.peak(item.profile.transient, tokens, run.length) for item in run.layers), default=0)
    ending = max(
        run.head.peak(run.head.forward, tokens, run.length),
        run.head.apart[0].at(tokens, run.length) + run.pieces.at(tokens),
    )
    formula = "evaluation tokens × the larger of one block's forward and the loss's"
    return (
        phase(
            "evaluation",
            (
                *parts.static,
                Term("batch", 24 * tokens, "evaluation tokens × 3 int64", _COLLATOR),
                Term("logits and loss", int(max(inside, ending)), formula, _LIVENESS),
                _gathered(parts.gathered_one if split.parameters > 1 else 0, 1),
            ),
        ),
    )


def _step(run: Setup, split: Shards, parts: _Parts) -> Phase:
    """The optimizer's step: every gradient, the state, and what the step allocates."""
    size = split.step(run)
    return _phase(
        "optimizer",
        parts,
        Term("gradients", parts.grads, "trained × bytes of the gradient", _AUTOGRAD),
        Term("step temporaries", size, "trained × bytes", run.optimizer.source),
        Term("output held by the loop", parts.logits, "tokens × vocabulary × bytes", run.stack.name),
        _kept_cache(run),
    )
