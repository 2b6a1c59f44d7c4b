"""From a Plan, an architecture and a stack to the numbers that the estimate computes with; every guess is named."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

from loraplan.arch.match import match
from loraplan.arch.spec import ArchSpec
from loraplan.derived import family
from loraplan.memory import block as blocks
from loraplan.memory import head as heads
from loraplan.memory.layers import Numerics
from loraplan.memory.optimizer import Optimizer, find
from loraplan.memory.shape import Shape, shape
from loraplan.memory.stack import Stack
from loraplan.memory.tape import Profile
from loraplan.memory.term import Unknown
from loraplan.memory.weights import DTYPES, Storage, Weights, weights
from loraplan.plan import Adapter, Plan

CUBLAS_WORKSPACE = 8_519_680
"""Bytes of one cuBLAS workspace below Hopper (torch 2.13 aten/src/ATen/cuda/CUDABlas.cpp: :4096:2:16:8)."""
CUBLAS_WORKSPACE_HOPPER = 33_554_432


_block_profile = lru_cache(maxsize=512)(blocks.profile)
_head_profile = lru_cache(maxsize=512)(heads.profile)


class Layer(NamedTuple):
    """Blocks that are alike, with their liveness."""

    copies: int
    profile: Profile
    adapter: int
    """Adapter parameters of one."""
    parameters: int
    """Parameters of one, for full training and sharding."""
    stored: int
    """Bytes of one block's weights as a shard gathers them."""


class Setup(NamedTuple):
    """One run, resolved."""

    plan: Plan
    arch: ArchSpec
    stack: Stack
    storage: Storage
    weights: Weights
    shape: Shape
    numerics: Numerics
    layers: tuple[Layer, ...]
    head: Profile
    loss: str
    """A key of `loraplan.memory.head.LOSSES`."""
    pieces: heads.Pieces
    optimizer: Optimizer
    full: bool
    trained: int
    """Parameters with a gradient, the adapters' and the saved modules'."""
    adapter_bytes: int
    weight_bytes: int
    """Bytes an element of the base weights that are not quantized."""
    rows: int
    """Sequences of a micro-batch."""
    length: int
    """Tokens of a sequence."""
    positions: int
    """Tokens that attention has in one row."""
    checkpointing: bool
    offloads: bool
    accumulates: bool
    mask: int
    """Bytes a pair of tokens of the attention mask that all blocks share."""
    cache: int
    """Bytes a token of a key-value cache beyond what the backward keeps anyway."""
    unknown: tuple[Unknown, ...]
    assumptions: tuple[str, ...]

    @property
    def tokens(self) -> int:
        """Tokens of a micro-batch."""
        return self.rows * self.length


_kept: dict[tuple[Any, ...], tuple[Setup, tuple[Any, ...]]] = {}
_MOST = 4096


def setup(plan: Plan, arch: ArchSpec, stack: Stack) -> Setup:
    """Resolve a run. What does not depend on the batch is kept: many batches of one run are cheap."""
    accumulates = (plan.batch.gradient_accumulation_steps or 1) > 1
    parts = (plan.adapter, arch, stack)
    key = (*map(id, parts), accumulates, plan.data.packing or _padded(plan, stack), *_fields(plan))
    found = _kept.get(key)
    if found is None:
        if len(_kept) >= _MOST:
            _kept.clear()
        found = (_frame(plan, arch, stack, accumulates=accumulates), parts)
        _kept[key] = found  # with the parts, whose identities make the key
    assumptions: list[str] = []
    unknown: list[Unknown] = []
    rows, length = _batch(plan, arch, assumptions, unknown)
    strategy = plan.distributed.strategy
    if plan.distributed.devices is None and strategy not in (None, "single"):
        assumptions.append(f"one GPU: the config names {strategy} but not how many (--gpus says it)")
    run = found[0]
    return run._replace(
        plan=plan, rows=rows, length=length, positions=rows * length if _flat(plan, stack) else length,
        unknown=(*run.unknown, *unknown), assumptions=(*run.assumptions, *assumptions),
    )  # fmt: skip


def _fields(plan: Plan) -> tuple[Any, ...]:
    """Every field besides the adapter's that `_frame` reads."""
    model, quantization, precision, distributed = plan.model, plan.quantization, plan.precision, plan.distributed
    return (
        model.dtype, model.attn_implementation, model.task,
        quantization.bits, quantization.method, quantization.load_in_4bit, quantization.load_in_8bit,
        quantization.double_quant, plan.optimizer.name, precision.bf16, precision.fp16,
        precision.gradient_checkpointing, precision.checkpointing_kind, precision.activation_offloading,
        precision.fused_loss, distributed.strategy, distributed.devices, plan.data.packing, plan.data.packing_strategy,
        plan.data.padding_free,
    )  # fmt: skip


def _frame(plan: Plan, arch: ArchSpec, stack: Stack, *, accumulates: bool) -> Setup:
    """Everything but the batch."""
    if stack.host_experts:
        arch = _without_experts(arch)
    assumptions: list[str] = []
    unknown: list[Unknown] = _measured_apart(stack, plan)
    full = plan.adapter.method in ("none", "full")
    storage = _storage(plan, arch, unknown)
    prepared = storage.kind in ("bnb4", "bnb8") and not _sharded(plan)
    own_linear = arch.model_type in _OWN_LINEAR and stack.name not in _OWN_CLASSES and not stack.linear_experts
    if own_linear and storage.kind.startswith("bnb"):
        storage = Storage("")
        assumptions.append("bitsandbytes leaves this model's own linear layers as they are (transformers 5)")
    weight_bytes = _weight_bytes(plan, arch, stack, storage, assumptions)
    half = stack.autocast and bool(plan.precision.bf16 or plan.precision.fp16)
    mixed = half and not (stack.pure_half and weight_bytes == 2)
    upcast = stack.upcast if prepared else ""
    if upcast == "all" and not storage.kind:
        weight_bytes = 4
    norm = 4 if upcast else weight_bytes
    end = 4 if upcast == "all" else weight_bytes
    name = stack.adapter_quantized if storage.kind else stack.adapter
    adapter_bytes = 4 if name == "float32" and plan.adapter.autocast_adapter_dtype is not False else weight_bytes
    attention, masked = _attention(plan, arch, stack)
    repeats = "*" in stack.repeats_kv or arch.model_type in stack.repeats_kv or attention == "eager"
    linear_experts = stack.linear_experts and (stack.name == "unsloth" or arch.model_type not in _FUSED_ALWAYS)
    made = _shape(plan.adapter, arch, (storage, full, attention, repeats or masked, linear_experts))
    checkpointing = plan.precision.gradient_checkpointing
    if checkpointing is None:
        checkpointing = stack.checkpointing
    # bitsandbytes returns the type it is given, and autocast's layer_norm gives fp32; DoRA's magnitude in fp32 makes
    # fp32 of what a quantized layer returns (peft 0.21.2 lora/bnb.py). Then the residual stream is fp32 too.
    widened = False
    if mixed and storage.kind.startswith("bnb"):
        dora = adapter_bytes == 4 and bool(plan.adapter.use_dora)
        # Measured runs of GPTBigCode do not show it.
        norm_widens = made.norm == "layer" and arch.model_type != "gpt_bigcode"
        widened = norm_widens or (dora and any(_ends_in_adapter(item.block) for item in made.layers))
    numerics = Numerics(
        weight=weight_bytes,
        compute=2 if mixed or weight_bytes == 2 else 4,
        stream=4 if (norm == 4 and weight_bytes == 2) or widened else weight_bytes,
        norm_weight=norm,
        norm_trained=full,
        adapter=adapter_bytes,
        autocast=bool(mixed),
        dropout=bool(plan.adapter.dropout),
        fused_norm=stack.fused_norm or plan.precision.fused_loss == "liger",
        fused_mlp=stack.fused_mlp or plan.precision.fused_loss == "liger",
        fused_rope=stack.fused_rope,
        fused_adapter=stack.fused_adapter and not _unfused(plan, stack, storage),
        input_cast=stack.input_cast,
        quantized_input=stack.quantized_input,
        merged_query=stack.merged_query,
    )
    layers = tuple(
        Layer(
            item.copies,
            _block_profile(item.block, numerics, recomputed=bool(checkpointing)),
            item.adapter,
            *_block_weights(item.block, weight_bytes),
        )
        for item in made.layers
    )
    loss, chunk = _loss(plan, stack)
    if arch.model_type in _OWN_LOSS and loss in ("shift", "replace", "fused", "fused_replace"):
        loss = "own_fused" if loss.startswith("fused") else "own"
    # The head's weight can be wider than the blocks': then its products are too, or autocast copies it.
    ends = numerics._replace(weight=end, compute=2 if mixed else max(end, numerics.compute))
    ending = _head_profile(
        arch.hidden_size,
        arch.vocab_size,
        made.norm,
        ends,
        loss,
        made.head._replace(quantized=storage.kind if stack.quantizes_head else ""),
        chunk=chunk,
        softcapped=arch.model_type in _SOFTCAPPED,
    )
    pieces = heads.pieces(loss, arch.hidden_size, arch.vocab_size, ends, chunk)
    optimizer, recognised = find(plan.optimizer.name, fused=stack.fused_adam)
    if not recognised:
        unknown.append(Unknown(f"optimizer `{plan.optimizer.name}`", "AdamW's state was taken", 0.02, 0.02))
    trained = arch.parameters if full else made.adapter - made.frozen_adapter + made.saved
    cached = stack.cache and not checkpointing and made.layers and made.layers[0].block.repeats_kv
    cache = (
        2 * sum(item.copies for item in layers) * arch.num_kv_heads * arch.head_dim * numerics.compute if cached else 0
    )
    if made.irregular:
        unknown.append(Unknown("blocks of a form that is not modelled", "their activations are left out", 0.05, 0.4))
    if any(m.part in ("vision", "audio") for m in arch.modules) and plan.model.task == "vision_language":
        unknown.append(Unknown("activations of the vision tower", "they depend on the images", 0, 0.15))
    return Setup(
        plan, arch, stack, storage, weights(
            arch, storage, weight_bytes, norm, end,
            # NVFP4 checkpoints (modelopt) hold the experts in 4 bits too
            linear_experts=linear_experts or stack.quantizes_experts or arch.prequantized == "nvfp4",
            unties=stack.unties, head=stack.quantizes_head,
        ), made, numerics, layers, ending, loss, pieces,
        optimizer, full, trained, adapter_bytes, weight_bytes, 0, 0, 0, bool(checkpointing),
        stack.offloads or plan.precision.checkpointing_kind in ("unsloth", "offload", "offload_disk")
        or bool(plan.precision.activation_offloading),
        accumulates, _MASK.get(attention, 0), cache, tuple(unknown), tuple(assumptions),
    )  # fmt: skip


_MASK = {"masked": 1, "efficient": 2}
_UNMASKED = ("litgpt", "torchtune", "unsloth")  # their own attention is causal and knows no padding
# axolotl 0.19 core/builders/causal.py: to a multiple of 64; llamafactory 0.9.5 train/sft/workflow.py: of 8.
_ROUNDS_UP = ("axolotl", "LLaMA-Factory")
_OWN_CLASSES = ("litgpt", "torchtune")  # stacks whose models are not transformers'
# transformers 5.23 integrations/bitsandbytes.py replaces `nn.Linear` itself, not classes made from it.
_OWN_LINEAR = frozenset(("falcon",))
_SOFTCAPPED = frozenset(("gemma2",))  # transformers 5.23 models/gemma2/configuration_gemma2.py
# Fused experts already before transformers 5.
_FUSED_ALWAYS = frozenset("gpt_oss llama4 llama4_text granitemoe granitemoeshared granitemoehybrid dbrx".split())
# Classes that compute their own cross-entropy on logits of their own type: transformers 4.48 modeling_gpt_bigcode.py,
# Qwen's modeling_qwen.py as published with the weights.
_OWN_LOSS = frozenset(("gpt_bigcode", "qwen"))


_shapes: dict[tuple[Any, ...], tuple[Shape, tuple[Any, ...]]] = {}


def _shape(adapter: Adapter, arch: ArchSpec, how: tuple[Storage, bool, str, bool, bool]) -> Shape:
    """The blocks, kept by the identity of adapter and architecture."""
    key = (id(adapter), id(arch), how)
    found = _shapes.get(key)
    if found is None:
        storage, full, attention, repeats, linear_experts = how
        matched = None if full else match(adapter, arch)
        made = shape(
            arch, adapter, matched, storage,
            full=full, attention=attention, repeats_kv=repeats, linear_experts=linear_experts,
        )  # fmt: skip
        if len(_shapes) >= _MOST:
            _shapes.clear()
        found = _shapes[key] = (made, (adapter, arch))
    return found[0]


def _without_experts(arch: ArchSpec) -> ArchSpec:
    """What stays on the GPU where the experts of a mixture do not."""
    modules = tuple(module for module in arch.modules if module.part != "expert")
    gone = sum(module.elements * module.copies for module in arch.modules if module.part == "expert")
    return replace(arch, modules=modules, parameters=arch.parameters - gone)


def _measured_apart(stack: Stack, plan: Plan) -> list[Unknown]:
    """Where measured runs of a stack show more than its operations explain."""
    quantized = (plan.quantization.bits or 16) < 16 or plan.quantization.load_in_4bit
    if stack.host_experts:
        return [Unknown("what KTransformers holds on the GPU besides", "the experts are left out", 0.1, 0.5)]
    if stack.name == "litgpt" and quantized:
        return [Unknown("what litgpt's 4-bit layers hold besides", "measured runs are up to half above", 0, 0.5)]
    if stack.holds_whole and _sharded(plan) and (plan.distributed.devices or 1) > 1:
        if plan.adapter.method in ("none", "full"):
            return [Unknown("when litgpt's FSDP frees whole weights", "a measured run was a sixth above", 0, 0.2)]
        return [Unknown("whether FSDP still holds whole weights under litgpt", "runs of 2023 did", 0.5, 0.05)]
    return []


def _storage(plan: Plan, arch: ArchSpec, unknown: list[Unknown]) -> Storage:
    quantization = plan.quantization
    bits = quantization.bits or (4 if quantization.load_in_4bit else 8 if quantization.load_in_8bit else 16)
    method = (quantization.method or "").lower()
    if bits >= 16 and arch.prequantized and quantization.method is None:
        method, bits = arch.prequantized.split("-")[0], 8 if "8" in arch.prequantized else 4
    if bits >= 16 and not method:
        return Storage("")
    if method in ("gptq", "awq"):
        return Storage(method, block=128, bits=int(bits) if bits < 16 else 4)
    if method in ("nf4tensor", "torchao") and bits <= 4:
        return Storage("nf4tensor", double=True)
    if method == "fp8":
        return Storage("fp8")
    if method == "hqq":
        return Storage("hqq", bits=int(bits))
    if method in ("", "bnb", "bitsandbytes", "quanto", "torchao") or bits in (4, 8):
        if method not in ("", "bnb", "bitsandbytes"):
            unknown.append(Unknown(f"storage of {method}", "bitsandbytes' was taken", 0.03, 0.03))
        return Storage("bnb8" if bits == 8 else "bnb4", double=bool(quantization.double_quant))
    unknown.append(Unknown(f"storage of quantization `{method}`", "4 bits an element were taken", 0.05, 0.2))
    return Storage("bnb4")


def _weight_bytes(plan: Plan, arch: ArchSpec, stack: Stack, storage: Storage, assumptions: list[str]) -> int:
    name = plan.model.dtype
    if name is None or name not in DTYPES:
        own = arch.dtype if arch.dtype in DTYPES else None
        name = (own or "bfloat16") if name == "auto" or stack.dtype == "auto" else stack.dtype
        if stack.dtype == "bfloat16" and not plan.precision.bf16 and not storage.kind:
            name = "float16" if plan.precision.fp16 else name
        assumptions.append(f"weights that are not quantized are loaded in {name}, as {stack.name} does")
    return DTYPES[name]


def _unfused(plan: Plan, stack: Stack, storage: Storage) -> bool:
    """Where axolotl leaves its kernels off (axolotl 0.19 utils/schemas/config.py)."""
    return stack.name == "axolotl" and (storage.kind == "bnb8" or plan.distributed.strategy == "fsdp")


def _sharded(plan: Plan) -> bool:
    return (plan.distributed.strategy or "").startswith(("fsdp", "zero3"))


def _batch(plan: Plan, arch: ArchSpec, assumptions: list[str], unknown: list[Unknown]) -> tuple[int, int]:
    rows = plan.batch.micro_batch_size
    if rows is None:
        rows = 1
        assumptions.append("a micro-batch of 1")
    length = plan.data.max_length
    if length is None or length <= 0:
        length = min(2048, arch.max_positions or 2048)
        unknown.append(Unknown("length of the sequences", "give it with --seq", 0.3, 0.3))
    elif not plan.data.packing:
        unknown.append(Unknown("true length of the padded batches", "the cap was taken: an upper bound", 0.0, 0.0))
    parallel = plan.distributed.context_parallel or 1
    if parallel > 1:
        length = -(-length // parallel)
        assumptions.append(f"each of {parallel} GPUs has its part of every sequence (context parallelism)")
    if (plan.distributed.tensor_parallel or 1) > 1:
        unknown.append(Unknown("activations under tensor parallelism", "those of a whole block were taken", 0.3, 0.05))
    match family(plan):
        case "preference" if plan.method != "kto":  # its second sequence has no gradients (trl 1.16.0 KTOTrainer)
            rows *= 2
            assumptions.append("each example is two sequences, the chosen and the rejected one")
        case "rl":
            unknown.append(Unknown("generation and reference model", "they depend on the trainer", 0.1, 0.6))
        case _:
            pass
    return max(int(rows), 1), int(length)


def _attention(plan: Plan, arch: ArchSpec, stack: Stack) -> tuple[str, bool]:
    """(kind, whether a mask makes sdpa expand keys and values)."""
    name = (plan.model.attn_implementation or stack.attention).lower()
    if "eager" in name:
        return "eager", True
    if "flash" in name or "xformers" in name or "flex" in name:
        return "flash", False
    if arch.model_type == "falcon" and arch.num_kv_heads == 1 and stack.name not in _OWN_CLASSES:
        return "plain", False  # transformers 5.23 modeling_falcon.py: one key head, a mask, and no enable_gqa
    if not _masked(plan, stack):
        return "sdpa", False
    return ("masked" if stack.boolean_mask else "efficient"), True


def _masked(plan: Plan, stack: Stack) -> bool:
    """Whether transformers makes a mask of all pairs: for padding, and for sequences that share a row."""
    if stack.name in _UNMASKED:
        return False
    return _flat(plan, stack) or (not plan.data.packing and _padded(plan, stack))


def _padded(plan: Plan, stack: Stack) -> bool:
    """A batch of one sequence has no padding, unless its length is rounded up."""
    rows = (plan.batch.micro_batch_size or 1) * (2 if family(plan) == "preference" else 1)
    return rows > 1 or stack.name in _ROUNDS_UP


def _flat(plan: Plan, stack: Stack) -> bool:
    """Whether the rows of a batch reach the model as one."""
    packed = plan.data.packing and plan.data.packing_strategy != "wrapped"
    return bool(stack.packs_flat and (packed or plan.data.padding_free))


def _ends_in_adapter(block: blocks.Block) -> bool:
    """Whether what a block adds to its input comes from an adapted layer."""
    return bool((block.output and block.output.rank) or block.mlp[-1].rank)


def _block_weights(item: blocks.Block, dtype: int) -> tuple[int, int]:
    """(parameters, bytes that a shard gathers) of one block; the statistics of a quantization are not gathered."""
    parameters = size = 0
    for projection, copies in (
        *((p, 1) for p in (*item.query, *((item.output,) if item.output else ()), *item.shared)),
        *((p, item.routed or 1) for p in item.mlp),
    ):
        elements = projection.inputs * projection.outputs * copies
        parameters += elements
        size += elements // 2 if projection.quantized == "bnb4" else elements * (1 if projection.quantized else dtype)
    norms = (4 if item.post_norms else 2) * item.hidden
    return parameters + norms, size + norms * dtype


def _loss(plan: Plan, stack: Stack) -> tuple[str, int]:
    name = (plan.precision.fused_loss or "").lower()
    if name in ("liger", "cut_cross_entropy", "unsloth"):
        return "linear", 0
    if name == "chunked":
        return "chunked", stack.chunk or 256
    if name in heads.LOSSES:
        return name, stack.chunk
    return stack.loss, stack.chunk
