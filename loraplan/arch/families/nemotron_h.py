"""Nemotron-H: each layer is one of Mamba-2, attention, MLP or experts, in an order that the config states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from loraplan.arch.families.layout import MAX_EXPERTS, MAX_LAYERS, BadConfig, Facts, Layout, sizes
from loraplan.arch.spec import ArchSpec

# Class defaults: transformers 5.23.0 models/nemotron_h/configuration_nemotron_h.py.
_DEFAULTS = {
    "vocab_size": 131072, "hidden_size": 4096, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128,
    "intermediate_size": 21504, "ssm_state_size": 128, "mamba_num_heads": 128, "mamba_head_dim": 64, "n_groups": 8,
    "conv_kernel": 4, "use_conv_bias": True, "n_routed_experts": 8, "moe_intermediate_size": 7688,
    "moe_shared_expert_intermediate_size": 7688, "num_experts_per_tok": 2,
}  # fmt: skip
_SIGNS = {"M": "linear_attention", "E": "moe", "*": "full_attention", "-": "mlp"}
_KINDS = {"mamba": "linear_attention", "attention": "full_attention"}
"""Names of layer kinds before transformers 5."""


def nemotron_h(config: Mapping[str, Any]) -> ArchSpec:
    """Experts and MLPs have no gate: up, squared ReLU, down. No layer has an attention and an MLP."""
    facts = Facts(config, _DEFAULTS)
    kinds = _kinds(facts)
    s = sizes(Facts({**config, "num_hidden_layers": len(kinds)}, _DEFAULTS))
    layout, block = Layout(), "layers.{i}.mixer."
    mamba, full, dense, sparse = (
        tuple(layer for layer in s.all if kinds[layer] == kind)
        for kind in ("linear_attention", "full_attention", "mlp", "moe")
    )
    layout.embedding("embeddings", s.vocab, s.hidden)
    layout.norm("layers.{i}.norm", s.hidden, s.all)
    _mamba(layout, block, facts, s.hidden, mamba)
    layout.attention(block, s, full)
    bias = facts.flag("mlp_bias")
    layout.linear(f"{block}up_proj", s.hidden, s.inner, "fc1", "mlp", dense, bias)
    layout.linear(f"{block}down_proj", s.inner, s.hidden, "fc2", "mlp", dense, bias)
    experts = facts.size("n_routed_experts", most=MAX_EXPERTS) if sparse else 0
    if sparse:
        inner, shared = facts.size("moe_intermediate_size"), facts.size("moe_shared_expert_intermediate_size")
        latent = facts.count("moe_latent_size")
        width = latent or s.hidden
        layout.router(f"{block}gate", s.hidden, experts, sparse)
        layout.parameter(f"{block}experts.up_proj", (experts, inner, width), "expert", sparse, "up")
        layout.parameter(f"{block}experts.down_proj", (experts, width, inner), "expert", sparse, "down")
        name = f"{block}shared_experts."
        layout.linear(f"{name}up_proj", s.hidden, shared, "fc1", "shared_expert", sparse, bias)
        layout.linear(f"{name}down_proj", shared, s.hidden, "fc2", "shared_expert", sparse, bias)
        if latent:
            layout.linear(f"{block}fc1_latent_proj", s.hidden, latent, part="mlp", layers=sparse, bias=bias)
            layout.linear(f"{block}fc2_latent_proj", latent, s.hidden, part="mlp", layers=sparse, bias=bias)
        s = s if dense else s._replace(inner=inner)
    layout.norm("norm_f", s.hidden)
    layout.head(s)
    active = facts.count("num_experts_per_tok") if sparse else 0
    return layout.spec("nemotron_h", s, num_experts=experts, experts_per_token=active, fused_experts=bool(sparse))


def _kinds(facts: Facts) -> tuple[str, ...]:
    """What each layer is, from `hybrid_override_pattern` or a list of kinds."""
    pattern = facts.text("hybrid_override_pattern")
    if pattern is not None:
        if not 0 < len(pattern) <= MAX_LAYERS or set(pattern) - _SIGNS.keys():
            raise BadConfig("hybrid_override_pattern is no row of M, E, * and -")
        return tuple(_SIGNS[sign] for sign in pattern)
    listed = facts.get("layer_types") or facts.get("layers_block_type") or list(_SIGNS.values())
    if not isinstance(listed, list) or not 0 < len(listed) <= MAX_LAYERS:
        raise BadConfig("layer_types is no list of layer kinds")
    kinds = tuple(_KINDS.get(kind, kind) if isinstance(kind, str) else "" for kind in listed)
    if set(kinds) - set(_SIGNS.values()):
        raise BadConfig("layer_types names an unknown kind of layer")
    return kinds


def _mamba(layout: Layout, block: str, facts: Facts, hidden: int, layers: tuple[int, ...]) -> None:
    heads = facts.size("mamba_num_heads")
    width = heads * facts.size("mamba_head_dim")
    mixed, bias = width + 2 * facts.size("n_groups") * facts.size("ssm_state_size"), facts.flag("use_bias")
    kernel = (mixed, 1, facts.size("conv_kernel"))
    layout.add(f"{block}conv1d", "Conv1d", kernel, bias=facts.flag("use_conv_bias"), layers=layers)
    layout.linear(f"{block}in_proj", hidden, width + mixed + heads, layers=layers, bias=bias)
    for name in ("dt_bias", "A_log", "D"):
        layout.parameter(block + name, (heads,), "attention", layers)
    layout.norm(f"{block}norm", width, layers)
    layout.linear(f"{block}out_proj", width, hidden, "o", layers=layers, bias=bias)
