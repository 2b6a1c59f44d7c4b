"""AFMoE (Arcee's Trinity): gated attention, four norms a layer, a few dense layers before those with experts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from loraplan.arch.families.layout import MAX_EXPERTS, Facts, Layout, sizes
from loraplan.arch.spec import ArchSpec

# Class defaults: transformers 5.23.0 models/afmoe/configuration_afmoe.py.
_DEFAULTS = {
    "vocab_size": 200192, "hidden_size": 2048, "intermediate_size": 6144, "moe_intermediate_size": 1408,
    "num_hidden_layers": 32, "num_dense_layers": 1, "num_attention_heads": 16, "head_dim": 128, "num_experts": 64,
    "num_experts_per_tok": 6, "num_shared_experts": 2,
}  # fmt: skip
_NORMS = ("input_layernorm", "post_attention_layernorm", "pre_mlp_layernorm", "post_mlp_layernorm")


def afmoe(config: Mapping[str, Any]) -> ArchSpec:
    """The attention's output is gated by a projection of its input; the router's correction is a parameter."""
    facts = Facts(config, _DEFAULTS)
    s, layout, bias = sizes(facts), Layout(), facts.flag("attention_bias")
    first = min(facts.count("num_dense_layers"), s.layers)
    dense, sparse = s.all[:first], s.all[first:]
    experts, inner = facts.size("num_experts", most=MAX_EXPERTS), facts.size("moe_intermediate_size")
    block = "layers.{i}.self_attn."
    layout.embedding("embed_tokens", s.vocab, s.hidden)
    layout.attention(block, s, s.all, qkv_bias=bias, out_bias=bias)
    layout.norms((f"{block}q_norm", f"{block}k_norm"), s.head_dim, s.all)
    layout.linear(f"{block}gate_proj", s.hidden, s.heads * s.head_dim, layers=s.all)
    layout.norms((f"layers.{{i}}.{name}" for name in _NORMS), s.hidden, s.all)
    block = "layers.{i}.mlp."
    layout.gated_mlp(block, s.hidden, s.inner, dense)
    layout.router(f"{block}router.gate", s.hidden, experts, sparse, kind="Linear")
    layout.parameter(f"{block}expert_bias", (experts,), "router", sparse)
    layout.experts(f"{block}experts.", experts, s.hidden, inner, sparse)
    shared = facts.size("num_shared_experts", most=MAX_EXPERTS) * inner
    layout.gated_mlp(f"{block}shared_experts.", s.hidden, shared, sparse, part="shared_expert")
    layout.norm("norm", s.hidden)
    layout.head(s)
    active = facts.count("num_experts_per_tok")
    return layout.spec("afmoe", s, num_experts=experts, experts_per_token=active, fused_experts=True)
