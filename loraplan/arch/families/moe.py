"""Decoders whose feed-forward layers are experts, which transformers 5 keeps fused in one parameter each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from loraplan.arch.families.layout import MAX_EXPERTS, Facts, Layout, Sizes, sizes
from loraplan.arch.spec import ArchSpec

# Class defaults: transformers 5.23.0 models/*/configuration_*.py.
_DEFAULTS: dict[str, dict[str, Any]] = {
    "mixtral": {
        "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 8, "num_local_experts": 8, "num_experts_per_tok": 2,
    },
    "minimax": {
        "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 8, "num_local_experts": 8, "num_experts_per_tok": 2,
    },
    "qwen2_moe": {
        "vocab_size": 151936, "hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 24,
        "num_attention_heads": 16, "num_key_value_heads": 16, "moe_intermediate_size": 1408, "num_experts": 60,
        "shared_expert_intermediate_size": 5632, "num_experts_per_tok": 4, "decoder_sparse_step": 1, "qkv_bias": True,
    },
    "qwen3_moe": {
        "vocab_size": 151936, "hidden_size": 2048, "intermediate_size": 6144, "num_hidden_layers": 24,
        "num_attention_heads": 32, "num_key_value_heads": 4, "moe_intermediate_size": 768, "num_experts": 128,
        "num_experts_per_tok": 8, "decoder_sparse_step": 1,
    },
    "olmoe": {
        "vocab_size": 50304, "hidden_size": 2048, "intermediate_size": 2048, "num_hidden_layers": 16,
        "num_attention_heads": 16, "num_experts": 64, "num_experts_per_tok": 8,
    },
    "granitemoe": {
        "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_local_experts": 8, "num_experts_per_tok": 2,
    },
    "gpt_oss": {
        "vocab_size": 201088, "hidden_size": 2880, "intermediate_size": 2880, "num_hidden_layers": 36, "head_dim": 64,
        "num_attention_heads": 64, "num_key_value_heads": 8, "num_local_experts": 128, "num_experts_per_tok": 4,
        "attention_bias": True,
    },
    "glm4_moe": {
        "vocab_size": 151552, "hidden_size": 4096, "intermediate_size": 10944, "num_hidden_layers": 46,
        "num_attention_heads": 96, "num_key_value_heads": 8, "moe_intermediate_size": 1408, "n_routed_experts": 128,
        "n_shared_experts": 1, "num_experts_per_tok": 8, "first_k_dense_replace": 1,
    },
}  # fmt: skip
_NORMS = ("layers.{i}.input_layernorm", "layers.{i}.post_attention_layernorm")


def experts_of(facts: Facts) -> int:
    """How many routed experts a layer has, under any of the names in use."""
    for key in ("num_local_experts", "num_experts", "n_routed_experts"):
        if facts.data.get(key) is not None:
            return facts.size(key, most=MAX_EXPERTS)
    for key in ("num_local_experts", "num_experts", "n_routed_experts"):
        if facts.get(key) is not None:
            return facts.size(key, most=MAX_EXPERTS)
    return 0


def frame(facts: Facts, tied: bool | None = None) -> tuple[Sizes, Layout]:
    """Embedding, block norms and final norm: what all of these have."""
    s, layout = sizes(facts, tied), Layout()
    layout.embedding("embed_tokens", s.vocab, s.hidden)
    layout.norms(_NORMS, s.hidden, s.all)
    layout.norm("norm", s.hidden)
    return s, layout


def finish(layout: Layout, s: Sizes, model_type: str, facts: Facts, experts: int) -> ArchSpec:
    """Add the output head and describe a model whose experts are fused."""
    layout.head(s)
    active = facts.count("num_experts_per_tok", most=MAX_EXPERTS)
    return layout.spec(model_type, s, num_experts=experts, experts_per_token=active, fused_experts=True)


def sparse_layers(facts: Facts, s: Sizes) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(layers with experts, layers without), from `decoder_sparse_step` and `mlp_only_layers`."""
    step = facts.size("decoder_sparse_step", 1)
    dense = set(facts.whole_numbers("mlp_only_layers") or ())
    sparse = tuple(layer for layer in s.all if layer not in dense and (layer + 1) % step == 0)
    return sparse, tuple(layer for layer in s.all if layer not in set(sparse))


def mixtral(config: Mapping[str, Any]) -> ArchSpec:
    """Experts in every layer, no shared one."""
    facts = Facts(config, _DEFAULTS["mixtral"])
    s, layout = frame(facts)
    experts = experts_of(facts)
    layout.attention("layers.{i}.self_attn.", s, s.all)
    layout.router("layers.{i}.mlp.gate", s.hidden, experts, s.all)
    layout.experts("layers.{i}.mlp.experts.", experts, s.hidden, s.inner, s.all)
    return finish(layout, s, "mixtral", facts, experts)


def minimax(config: Mapping[str, Any]) -> ArchSpec:
    """Lightning attention in most layers, ordinary attention in the others, experts in all."""
    facts = Facts(config, _DEFAULTS["minimax"])
    s, layout = frame(facts)
    experts = experts_of(facts)
    kinds = facts.layer_types(s.layers)
    if kinds is None:
        kinds = tuple("full_attention" if layer % 2 == 0 else "linear_attention" for layer in s.all)
    full = tuple(layer for layer in s.all if kinds[layer] != "linear_attention")
    linear = tuple(layer for layer in s.all if kinds[layer] == "linear_attention")
    width = s.heads * s.head_dim
    layout.attention("layers.{i}.self_attn.", s, full)
    layout.linear("layers.{i}.self_attn.qkv_proj", s.hidden, 3 * width, "qkv", layers=linear)
    layout.linear("layers.{i}.self_attn.out_proj", width, s.hidden, "o", layers=linear)
    layout.linear("layers.{i}.self_attn.output_gate", s.hidden, width, layers=linear)
    layout.norm("layers.{i}.self_attn.norm", width, linear)
    layout.router("layers.{i}.mlp.gate", s.hidden, experts, s.all)
    layout.experts("layers.{i}.mlp.experts.", experts, s.hidden, s.inner, s.all)
    return finish(layout, s, "minimax", facts, experts)


def qwen2_moe(config: Mapping[str, Any]) -> ArchSpec:
    """Routed experts and one shared expert with a gate of its own."""
    facts = Facts(config, _DEFAULTS["qwen2_moe"])
    s, layout = frame(facts)
    experts = experts_of(facts)
    sparse, dense = sparse_layers(facts, s)
    layout.attention("layers.{i}.self_attn.", s, s.all, qkv_bias=facts.flag("qkv_bias"))
    layout.router("layers.{i}.mlp.gate", s.hidden, experts, sparse)
    layout.experts("layers.{i}.mlp.experts.", experts, s.hidden, facts.size("moe_intermediate_size"), sparse)
    shared = facts.size("shared_expert_intermediate_size")
    layout.gated_mlp("layers.{i}.mlp.shared_expert.", s.hidden, shared, sparse, part="shared_expert")
    layout.router("layers.{i}.mlp.shared_expert_gate", s.hidden, 1, sparse, kind="Linear")
    layout.gated_mlp("layers.{i}.mlp.", s.hidden, s.inner, dense)
    return finish(layout, s, "qwen2_moe", facts, experts)


def qwen3_moe(config: Mapping[str, Any]) -> ArchSpec:
    """No shared expert; queries and keys are normed by head."""
    facts = Facts(config, _DEFAULTS["qwen3_moe"])
    s, layout = frame(facts)
    experts = experts_of(facts)
    sparse, dense = sparse_layers(facts, s)
    bias = facts.flag("attention_bias")
    layout.attention("layers.{i}.self_attn.", s, s.all, qkv_bias=bias, out_bias=bias)
    layout.norms(("layers.{i}.self_attn.q_norm", "layers.{i}.self_attn.k_norm"), s.head_dim, s.all)
    layout.experts("layers.{i}.mlp.experts.", experts, s.hidden, facts.size("moe_intermediate_size"), sparse)
    layout.router("layers.{i}.mlp.gate", s.hidden, experts, sparse)
    layout.gated_mlp("layers.{i}.mlp.", s.hidden, s.inner, dense)
    return finish(layout, s, "qwen3_moe", facts, experts)


def olmoe(config: Mapping[str, Any]) -> ArchSpec:
    """Queries and keys are normed over all heads at once; `intermediate_size` is an expert's."""
    facts = Facts(config, _DEFAULTS["olmoe"])
    s, layout = frame(facts)
    experts = experts_of(facts)
    bias = facts.flag("attention_bias")
    layout.attention("layers.{i}.self_attn.", s, s.all, qkv_bias=bias, out_bias=bias)
    layout.norm("layers.{i}.self_attn.q_norm", s.hidden, s.all)
    layout.norm("layers.{i}.self_attn.k_norm", s.kv_heads * s.head_dim, s.all)
    layout.router("layers.{i}.mlp.gate", s.hidden, experts, s.all)
    layout.experts("layers.{i}.mlp.experts.", experts, s.hidden, s.inner, s.all)
    return finish(layout, s, "olmoe", facts, experts)


def granitemoe(config: Mapping[str, Any]) -> ArchSpec:
    """Experts under `block_sparse_moe`, the router called so."""
    facts = Facts(config, _DEFAULTS["granitemoe"])
    s, layout = frame(facts)
    experts = experts_of(facts)
    bias = facts.flag("attention_bias")
    layout.attention("layers.{i}.self_attn.", s, s.all, qkv_bias=bias, out_bias=bias)
    layout.router("layers.{i}.block_sparse_moe.router", s.hidden, experts, s.all)
    layout.experts("layers.{i}.block_sparse_moe.experts.", experts, s.hidden, s.inner, s.all)
    return finish(layout, s, "granitemoe", facts, experts)


def gpt_oss(config: Mapping[str, Any]) -> ArchSpec:
    """Attention with a learned sink for each head; experts with biases, stored (in, out)."""
    facts = Facts(config, _DEFAULTS["gpt_oss"])
    s, layout = frame(facts)
    experts = experts_of(facts)
    bias = facts.flag("attention_bias")
    layout.attention("layers.{i}.self_attn.", s, s.all, qkv_bias=bias, out_bias=bias)
    layout.parameter("layers.{i}.self_attn.sinks", (s.heads,), "attention", s.all)
    layout.router("layers.{i}.mlp.router", s.hidden, experts, s.all, bias=True)
    layout.experts("layers.{i}.mlp.experts.", experts, s.hidden, s.inner, s.all, transposed=True)
    layout.parameter("layers.{i}.mlp.experts.gate_up_proj_bias", (experts, 2 * s.inner), "expert", s.all)
    layout.parameter("layers.{i}.mlp.experts.down_proj_bias", (experts, s.hidden), "expert", s.all)
    return finish(layout, s, "gpt_oss", facts, experts)


def glm4_moe(config: Mapping[str, Any]) -> ArchSpec:
    """Dense layers first, then routed and shared experts (DeepSeek's plan with ordinary attention)."""
    facts = Facts(config, _DEFAULTS["glm4_moe"])
    s, layout = frame(facts)
    experts = experts_of(facts)
    layout.attention("layers.{i}.self_attn.", s, s.all, qkv_bias=facts.flag("attention_bias"))
    if facts.flag("use_qk_norm"):
        layout.norms(("layers.{i}.self_attn.q_norm", "layers.{i}.self_attn.k_norm"), s.head_dim, s.all)
    dense_then_experts(layout, facts, s, experts)
    return finish(layout, s, "glm4_moe", facts, experts)


def dense_then_experts(layout: Layout, facts: Facts, s: Sizes, experts: int) -> None:
    """`first_k_dense_replace` dense layers, then routed experts beside shared ones, which are one wide MLP."""
    first = min(facts.count("first_k_dense_replace"), s.layers)
    inner = facts.size("moe_intermediate_size")
    sparse = s.all[first:]
    layout.gated_mlp("layers.{i}.mlp.", s.hidden, s.inner, s.all[:first], facts.flag("mlp_bias"))
    layout.experts("layers.{i}.mlp.experts.", experts, s.hidden, inner, sparse)
    layout.router("layers.{i}.mlp.gate", s.hidden, experts, sparse)
    shared = facts.count("n_shared_experts", most=MAX_EXPERTS)
    if shared:
        block = "layers.{i}.mlp.shared_experts."
        layout.gated_mlp(block, s.hidden, inner * shared, sparse, facts.flag("mlp_bias"), part="shared_expert")
