"""From an architecture and an adapter to the blocks that run: which layers there are, and what is trained in each."""

from __future__ import annotations

from typing import NamedTuple

from loraplan.arch.match import Matched, extra, sides
from loraplan.arch.spec import ArchSpec, Module
from loraplan.memory.block import Block
from loraplan.memory.layers import Projection
from loraplan.memory.weights import Storage, quantizable
from loraplan.plan import Adapter

# Source of all five: the modelling files of transformers 5.23 (models/*/modeling_*.py).
_PARALLEL = frozenset("gpt_neox gptj falcon phi cohere cohere2 codegen".split())
_FP32_NORM_WEIGHT = frozenset("gemma gemma2 gemma3 gemma3_text gemma3n gemma3n_text gemma4 gemma4_text".split())
_PYTHON_GELU = frozenset("gpt2 gptj phi codegen".split())
_PARTIAL_ROTARY = frozenset("gpt_neox phi phi3 stablelm glm glm4".split())  # phi3 joins them always
_NO_ROTARY = frozenset("gpt2 gpt_bigcode bloom mpt opt".split())


class Layers(NamedTuple):
    """Blocks that are alike."""

    block: Block
    copies: int
    adapter: int
    """Adapter parameters of one of them."""


class Shape(NamedTuple):
    """The language model as it runs."""

    layers: tuple[Layers, ...]
    norm: str
    head: Projection
    vocabulary: int
    adapter: int
    """Adapter parameters altogether (LoRA-FA's frozen A matrices included)."""
    frozen_adapter: int
    """Those of them that are not trained."""
    saved: int
    """Parameters of `modules_to_save`, copied and trained whole."""
    head_trained: bool
    embedding_trained: bool
    irregular: bool
    """The blocks hold modules that this model of a block does not know (state-space layers, ...)."""


class _Ranks(NamedTuple):
    by_name: dict[str, tuple[int, frozenset[int] | None]]
    total: int
    frozen: int


def shape(
    arch: ArchSpec,
    adapter: Adapter,
    matched: Matched | None,
    storage: Storage,
    *,
    full: bool,
    attention: str,
    repeats_kv: bool,
    linear_experts: bool,
) -> Shape:
    """The blocks. `matched` is None where nothing is adapted; `full`: every weight is trained."""
    variant = "dora" if adapter.use_dora else "fa" if adapter.method in ("lora-fa", "lora_fa") else ""
    ranks = _ranks(adapter, matched)
    by_layer: dict[int, list[Module]] = {}
    for module in arch.modules:
        if module.layers is None or module.part in ("vision", "audio", "projector"):
            continue
        for layer in module.layers:
            by_layer.setdefault(layer, []).append(module)
    groups: dict[tuple[Block, int], int] = {}
    irregular = not by_layer
    for layer, modules in by_layer.items():
        made = _block(
            arch, modules, layer, ranks, storage, variant, attention,
            full=full, repeats_kv=repeats_kv, linear_experts=linear_experts,
        )  # fmt: skip
        if made is None:
            irregular = True
            continue
        groups[made] = groups.get(made, 0) + 1
    layers = tuple(Layers(block, copies, own) for (block, own), copies in groups.items())
    head = next((m for m in arch.modules if m.part == "head"), None)
    save = _saved(adapter, arch)
    rank = _rank(ranks, head, 0) if head is not None else 0
    return Shape(
        layers,
        layers[0].block.norm if layers else "rms",
        Projection(arch.hidden_size, arch.vocab_size, rank, variant if rank else "", "", full or bool(save & {"head"})),
        arch.vocab_size,
        ranks.total,
        ranks.frozen if variant == "fa" else 0,
        _saved_parameters(adapter, arch),
        full or "head" in save,
        full or "embedding" in save,
        irregular,
    )


def _ranks(adapter: Adapter, matched: Matched | None) -> _Ranks:
    """Rank and layers of each adapted module's name, and adapter parameters altogether."""
    found: dict[str, tuple[int, frozenset[int] | None]] = {}
    total = frozen = 0
    for module in matched.modules if matched is not None else ():
        best = 0
        for rank, copies in matched.rank_groups(adapter, module) if matched is not None else ():
            total += rank * sides(module) * copies + extra(adapter, module) * copies
            frozen += rank * module.features[0] * copies * (module.shape[0] if len(module.shape) == 3 else 1)
            best = max(best, rank)
        found[module.name] = (best, None if module.layers is None else frozenset(module.layers))
    return _Ranks(found, total, frozen)


def _rank(ranks: _Ranks, module: Module | None, layer: int) -> int:
    """The rank with which a module of a layer is adapted; 0 where it is not."""
    if module is None:
        return 0
    rank, layers = ranks.by_name.get(module.name, (0, None))
    return rank if layers is None or layer in layers else 0


def _block(
    arch: ArchSpec,
    modules: list[Module],
    layer: int,
    ranks: _Ranks,
    storage: Storage,
    variant: str,
    attention: str,
    *,
    full: bool,
    repeats_kv: bool,
    linear_experts: bool,
) -> tuple[Block, int] | None:
    """(block, its adapter parameters); None for what has neither attention nor MLP of a known form."""

    def projection(module: Module) -> Projection:
        first, second = module.features
        rank = _rank(ranks, module, layer)
        if module.kind == "Parameter" and len(module.shape) == 3:
            first, second = _expert_sides(arch, module)
            kind = storage.kind if storage.kind and quantizable(module, linear_experts=linear_experts) else ""
            return Projection(first, second, 0, "", kind, full, wrapped=module.shape[0] if rank else 0)
        kind = storage.kind if storage.kind and quantizable(module) else ""
        return Projection(first, second, rank, variant if rank else "", kind, full, module.bias)

    linear = [m for m in modules if m.kind in ("Linear", "Conv1D", "Parameter") and m.role]
    attend = [m for m in linear if m.part == "attention"]
    query = tuple(projection(m) for role in ("qkv", "q", "k", "v") for m in attend if m.role == role)
    output = next((projection(m) for m in attend if m.role == "o"), None)
    dense = _feed([m for m in linear if m.part == "mlp"])
    experts = _feed([m for m in linear if m.part == "expert"])
    shared = _feed([m for m in linear if m.part == "shared_expert"])
    feed = experts or dense
    # Several queries: an encoder's and a decoder's block of one number, with cross-attention.
    if not query or output is None or not feed or sum(m.role == "q" for m in attend) > 1:
        return None
    inner = [m for m in modules if m.kind == "Norm"]
    around = [m for m in inner if m.shape[-1] == arch.hidden_size and "attn" not in m.name.rpartition(".")[0]]
    normed = any(m.name.endswith(("q_norm", "k_norm", "q_layernorm", "query_layernorm")) for m in inner)
    kind = "layer" if any(m.bias for m in around) or arch.model_type in ("stablelm", "olmo") else "rms"
    if arch.model_type in ("cohere", "cohere2"):
        kind = "centred"
    if arch.model_type in _FP32_NORM_WEIGHT:
        kind = "rms32"
    roles = {m.role for m in feed}
    adapters = sum((_rank(ranks, m, layer) * sides(m)) * max(m.experts, 1) for m in linear if m.name in ranks.by_name)
    block = Block(
        arch.hidden_size,
        arch.num_heads,
        arch.num_kv_heads,
        arch.head_dim,
        query,
        output,
        tuple(projection(m) for m in feed),
        gated=bool(roles & {"gate", "gate_up"}),
        norm=kind,
        post_norms=len(around) >= 4,
        head_norms=normed,
        parallel=arch.model_type in _PARALLEL,
        two_norms=arch.model_type in _PARALLEL and len(around) > 1,
        python_gelu=arch.model_type in _PYTHON_GELU,
        attention=attention,
        softcapped=arch.model_type == "gemma2",
        repeats_kv=repeats_kv,
        experts=arch.experts_per_token or 1 if experts else 0,
        routed=arch.num_experts if experts else 0,
        looped=bool(experts) and linear_experts,
        shared=tuple(projection(m) for m in shared),
        rotary=arch.model_type not in _NO_ROTARY,
        partial_rotary=arch.model_type in _PARTIAL_ROTARY,
    )
    return block, adapters


def _feed(modules: list[Module]) -> list[Module]:
    """The projections of an MLP in the order in which they run."""
    return [m for role in ("gate_up", "gate", "up", "fc1", "down", "fc2") for m in modules if m.role == role]


def _expert_sides(arch: ArchSpec, module: Module) -> tuple[int, int]:
    """(in, out) of one fused expert: the side that is the hidden size tells which way round it is stored."""
    first, second = module.features
    hidden_last = second == arch.hidden_size
    if module.role == "down":
        return (second, first) if first == arch.hidden_size and not hidden_last else (first, second)
    return (second, first) if hidden_last else (first, second)


def _saved(adapter: Adapter, arch: ArchSpec) -> set[str]:
    """Which ends of the model `modules_to_save` names."""
    names = adapter.modules_to_save or ()
    return {m.part for m in arch.modules for name in names if m.part in ("head", "embedding") and m.name.endswith(name)}


def _saved_parameters(adapter: Adapter, arch: ArchSpec) -> int:
    """Parameters that `modules_to_save` copies."""
    from loraplan.arch.match import saved_modules

    hit = {m for found in saved_modules(tuple(adapter.modules_to_save or ()), arch).values() for m in found}
    return sum(m.elements * m.copies for m in hit)
