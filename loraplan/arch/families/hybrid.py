"""Decoders that mix attention with recurrent or convolutional layers: Qwen3-Next, Qwen3.5, LFM2, Jamba, Falcon-H1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from loraplan.arch.families.layout import Facts, Layout, Sizes, sizes
from loraplan.arch.families.moe import experts_of, sparse_layers
from loraplan.arch.families.vision import qwen3_vision, text_of
from loraplan.arch.spec import ArchSpec

_DELTA = {
    "linear_conv_kernel_dim": 4, "linear_key_head_dim": 128, "linear_value_head_dim": 128,
    "linear_num_key_heads": 16, "linear_num_value_heads": 32, "head_dim": 256, "num_attention_heads": 16,
}  # fmt: skip
# Class defaults: transformers 5.23.0 models/*/configuration_*.py.
_DEFAULTS: dict[str, dict[str, Any]] = {
    "qwen3_next": {
        **_DELTA, "vocab_size": 151936, "hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 48,
        "num_key_value_heads": 2, "moe_intermediate_size": 512, "shared_expert_intermediate_size": 512,
        "num_experts": 512, "num_experts_per_tok": 10, "decoder_sparse_step": 1,
    },
    "qwen3_5": {
        **_DELTA, "vocab_size": 248320, "hidden_size": 4096, "intermediate_size": 12288, "num_hidden_layers": 32,
        "num_key_value_heads": 4,
    },
    "qwen3_5_moe": {
        **_DELTA, "vocab_size": 248320, "hidden_size": 2048, "intermediate_size": 1, "num_hidden_layers": 40,
        "num_key_value_heads": 2, "moe_intermediate_size": 512, "shared_expert_intermediate_size": 512,
        "num_experts": 256, "num_experts_per_tok": 8,
    },
    "lfm2": {
        "vocab_size": 65536, "hidden_size": 2560, "intermediate_size": 12288, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 8, "conv_L_cache": 3, "block_multiple_of": 256,
        "block_auto_adjust_ff_dim": True, "block_ffn_dim_multiplier": 1.0, "tie_word_embeddings": True,
    },
    "jamba": {
        "vocab_size": 65536, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 8, "num_experts": 16, "num_experts_per_tok": 2,
        "expert_layer_period": 2, "expert_layer_offset": 1, "attn_layer_period": 8, "attn_layer_offset": 4,
        "mamba_d_state": 16, "mamba_d_conv": 4, "mamba_expand": 2, "mamba_conv_bias": True,
    },
    "falcon_h1": {
        "vocab_size": 128000, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 8, "mamba_d_ssm": 1024, "mamba_n_heads": 128,
        "mamba_n_groups": 1, "mamba_d_state": 256, "mamba_d_conv": 4, "mamba_expand": 2, "mamba_conv_bias": True,
    },
}  # fmt: skip
_NORMS = ("layers.{i}.input_layernorm", "layers.{i}.post_attention_layernorm")


def qwen3_next(config: Mapping[str, Any]) -> ArchSpec:
    """Gated delta nets with fused inputs, experts in every layer."""
    facts = Facts(config, _DEFAULTS["qwen3_next"])
    s, layout = sizes(facts), Layout()
    experts = _delta_decoder(layout, facts, s, fused_inputs=True, sparse=True)
    layout.head(s)
    active = facts.count("num_experts_per_tok")
    return layout.spec("qwen3_next", s, num_experts=experts, experts_per_token=active, fused_experts=True)


def qwen3_5(config: Mapping[str, Any]) -> ArchSpec:
    """Qwen3.5 with its vision tower, dense or with experts."""
    model_type = str(config.get("model_type"))
    whole, layout = Facts(config), Layout("model.visual.")
    facts = text_of(config, _DEFAULTS[model_type])
    s = sizes(facts, tied=whole.flag("tie_word_embeddings"))
    vision = {
        "depth": 27, "hidden_size": 1152, "intermediate_size": 4304, "out_hidden_size": 3584, "in_channels": 3,
        "patch_size": 16, "spatial_merge_size": 2, "temporal_patch_size": 2, "num_position_embeddings": 2304,
    }  # fmt: skip
    qwen3_vision(layout, whole.part("vision_config", vision), deepstack=0)
    layout.prefix = "model.language_model."
    sparse = model_type == "qwen3_5_moe"
    experts = _delta_decoder(layout, facts, s, fused_inputs=False, sparse=sparse)
    layout.head(s)
    if sparse:
        s = s._replace(inner=facts.size("moe_intermediate_size"))
    active = facts.count("num_experts_per_tok") if sparse else 0
    return layout.spec(
        model_type, s, multimodal=True, num_experts=experts, experts_per_token=active, fused_experts=sparse
    )


def _delta_decoder(layout: Layout, facts: Facts, s: Sizes, fused_inputs: bool, sparse: bool) -> int:
    """Gated delta nets with a gated full attention every fourth layer; returns the number of experts."""
    kinds = facts.layer_types(s.layers)
    interval = facts.size("full_attention_interval", 4)
    full = tuple(
        layer
        for layer in s.all
        if (kinds[layer] == "full_attention" if kinds is not None else (layer + 1) % interval == 0)
    )
    linear = tuple(layer for layer in s.all if layer not in set(full))
    keys = facts.size("linear_key_head_dim") * facts.size("linear_num_key_heads")
    heads, head = facts.size("linear_num_value_heads"), facts.size("linear_value_head_dim")
    values, bias = heads * head, facts.flag("attention_bias")
    layout.embedding("embed_tokens", s.vocab, s.hidden)
    block = "layers.{i}.self_attn."
    layout.linear(f"{block}q_proj", s.hidden, 2 * s.heads * s.head_dim, "q", layers=full, bias=bias)
    layout.linear(f"{block}k_proj", s.hidden, s.kv_heads * s.head_dim, "k", layers=full, bias=bias)
    layout.linear(f"{block}v_proj", s.hidden, s.kv_heads * s.head_dim, "v", layers=full, bias=bias)
    layout.linear(f"{block}o_proj", s.heads * s.head_dim, s.hidden, "o", layers=full, bias=bias)
    layout.norms((f"{block}q_norm", f"{block}k_norm"), s.head_dim, full)
    block = "layers.{i}.linear_attn."
    layout.parameter(f"{block}dt_bias", (heads,), "attention", linear)
    layout.parameter(f"{block}A_log", (heads,), "attention", linear)
    kernel = (2 * keys + values, 1, facts.size("linear_conv_kernel_dim"))
    layout.add(f"{block}conv1d", "Conv1d", kernel, part="attention", layers=linear)
    layout.norm(f"{block}norm", head, linear)
    if fused_inputs:
        layout.linear(f"{block}in_proj_qkvz", s.hidden, 2 * (keys + values), layers=linear)
        layout.linear(f"{block}in_proj_ba", s.hidden, 2 * heads, layers=linear)
    else:
        layout.linear(f"{block}in_proj_qkv", s.hidden, 2 * keys + values, layers=linear)
        layout.linear(f"{block}in_proj_z", s.hidden, values, layers=linear)
        layout.linear(f"{block}in_proj_b", s.hidden, heads, layers=linear)
        layout.linear(f"{block}in_proj_a", s.hidden, heads, layers=linear)
    layout.linear(f"{block}out_proj", values, s.hidden, "o", layers=linear)
    layout.norms(_NORMS, s.hidden, s.all)
    layout.norm("norm", s.hidden)
    if not sparse:
        layout.gated_mlp("layers.{i}.mlp.", s.hidden, s.inner, s.all)
        return 0
    experts = experts_of(facts)
    with_experts, dense = sparse_layers(facts, s)
    block = "layers.{i}.mlp."
    layout.router(f"{block}gate", s.hidden, experts, with_experts)
    layout.experts(f"{block}experts.", experts, s.hidden, facts.size("moe_intermediate_size"), with_experts)
    shared = facts.size("shared_expert_intermediate_size")
    layout.gated_mlp(f"{block}shared_expert.", s.hidden, shared, with_experts, part="shared_expert")
    layout.router(f"{block}shared_expert_gate", s.hidden, 1, with_experts, kind="Linear")
    layout.gated_mlp(block, s.hidden, s.inner, dense)
    return experts


def lfm2(config: Mapping[str, Any]) -> ArchSpec:
    """Short convolutions in most layers, attention in the others."""
    facts = Facts(config, _DEFAULTS["lfm2"])
    s, layout = sizes(facts), Layout()
    inner = facts.size("block_ff_dim", s.inner)
    if facts.flag("block_auto_adjust_ff_dim"):
        factor, step = facts.get("block_ffn_dim_multiplier"), facts.size("block_multiple_of")
        inner = int(2 * inner / 3)
        if isinstance(factor, int | float) and 0 < factor < 1000:
            inner = step * -(-int(factor * inner) // step)
    s = s._replace(inner=inner)
    kinds = facts.layer_types(s.layers)
    listed = facts.whole_numbers("full_attn_idxs")
    full = tuple(
        layer
        for layer in s.all
        if (kinds[layer] == "full_attention" if kinds is not None else listed is None or layer in listed)
    )
    conv, bias = tuple(layer for layer in s.all if layer not in set(full)), facts.flag("conv_bias")
    layout.embedding("embed_tokens", s.vocab, s.hidden)
    layout.attention("layers.{i}.self_attn.", s, full, out="out_proj")
    layout.norms(("layers.{i}.self_attn.q_layernorm", "layers.{i}.self_attn.k_layernorm"), s.head_dim, full)
    kernel = (s.hidden, 1, facts.size("conv_L_cache"))
    layout.add("layers.{i}.conv.conv", "Conv1d", kernel, bias=bias, layers=conv)
    layout.linear("layers.{i}.conv.in_proj", s.hidden, 3 * s.hidden, part="attention", layers=conv, bias=bias)
    layout.linear("layers.{i}.conv.out_proj", s.hidden, s.hidden, "o", layers=conv, bias=bias)
    layout.linear("layers.{i}.feed_forward.w1", s.hidden, inner, "gate", "mlp", s.all)
    layout.linear("layers.{i}.feed_forward.w3", s.hidden, inner, "up", "mlp", s.all)
    layout.linear("layers.{i}.feed_forward.w2", inner, s.hidden, "down", "mlp", s.all)
    layout.norms(("layers.{i}.operator_norm", "layers.{i}.ffn_norm"), s.hidden, s.all)
    layout.norm("embedding_norm", s.hidden)
    layout.head(s)
    return layout.spec("lfm2", s)


def jamba(config: Mapping[str, Any]) -> ArchSpec:
    """Mamba in seven layers of eight, experts in every second."""
    facts = Facts(config, _DEFAULTS["jamba"])
    s, layout = sizes(facts), Layout()
    experts = experts_of(facts)
    period, offset = facts.size("attn_layer_period"), facts.count("attn_layer_offset")
    full = tuple(layer for layer in s.all if layer % period == offset)
    mamba = tuple(layer for layer in s.all if layer % period != offset)
    period, offset = facts.size("expert_layer_period"), facts.count("expert_layer_offset")
    sparse = tuple(layer for layer in s.all if layer % period == offset and experts > 1)
    dense = tuple(layer for layer in s.all if layer not in set(sparse))
    width, state = facts.size("mamba_expand") * s.hidden, facts.size("mamba_d_state")
    given = facts.get("mamba_dt_rank")
    rank = facts.size("mamba_dt_rank") if isinstance(given, int) else -(-s.hidden // 16)
    bias, block = facts.flag("mamba_proj_bias"), "layers.{i}.mamba."
    layout.embedding("embed_tokens", s.vocab, s.hidden)
    layout.attention("layers.{i}.self_attn.", s, full)
    kernel = (width, 1, facts.size("mamba_d_conv"))
    layout.add(f"{block}conv1d", "Conv1d", kernel, bias=facts.flag("mamba_conv_bias"), layers=mamba)
    layout.linear(f"{block}in_proj", s.hidden, 2 * width, layers=mamba, bias=bias)
    layout.linear(f"{block}x_proj", width, rank + 2 * state, layers=mamba)
    layout.linear(f"{block}dt_proj", rank, width, layers=mamba, bias=True)
    layout.parameter(f"{block}A_log", (width, state), "attention", mamba)
    layout.parameter(f"{block}D", (width,), "attention", mamba)
    layout.linear(f"{block}out_proj", width, s.hidden, "o", layers=mamba, bias=bias)
    layout.norm(f"{block}dt_layernorm", rank, mamba)
    layout.norms((f"{block}b_layernorm", f"{block}c_layernorm"), state, mamba)
    layout.gated_mlp("layers.{i}.feed_forward.", s.hidden, s.inner, dense)
    layout.experts("layers.{i}.feed_forward.experts.", experts, s.hidden, s.inner, sparse)
    layout.router("layers.{i}.feed_forward.router", s.hidden, experts, sparse)
    layout.norms(("layers.{i}.input_layernorm", "layers.{i}.pre_ff_layernorm"), s.hidden, s.all)
    layout.norm("final_layernorm", s.hidden)
    layout.head(s)
    active = facts.count("num_experts_per_tok")
    return layout.spec("jamba", s, num_experts=experts, experts_per_token=active, fused_experts=True)


def falcon_h1(config: Mapping[str, Any]) -> ArchSpec:
    """Mamba-2 and attention side by side in every layer."""
    facts = Facts(config, _DEFAULTS["falcon_h1"])
    s, layout = sizes(facts), Layout()
    width = facts.count("mamba_d_ssm") or facts.size("mamba_expand") * s.hidden
    heads = facts.size("mamba_n_heads")
    mixed = width + 2 * facts.size("mamba_n_groups") * facts.size("mamba_d_state")
    block, bias = "layers.{i}.mamba.", facts.flag("attention_bias")
    layout.embedding("embed_tokens", s.vocab, s.hidden)
    layout.attention("layers.{i}.self_attn.", s, s.all, qkv_bias=bias, out_bias=bias)
    kernel = (mixed, 1, facts.size("mamba_d_conv"))
    layout.add(f"{block}conv1d", "Conv1d", kernel, bias=facts.flag("mamba_conv_bias"), layers=s.all)
    layout.linear(f"{block}in_proj", s.hidden, width + mixed + heads, layers=s.all, bias=facts.flag("mamba_proj_bias"))
    for name in ("dt_bias", "A_log", "D"):
        layout.parameter(block + name, (heads,), "attention", s.all)
    if facts.flag("mamba_rms_norm"):
        layout.norm(f"{block}norm", width, s.all)
    layout.linear(f"{block}out_proj", width, s.hidden, "o", layers=s.all, bias=facts.flag("projectors_bias"))
    layout.gated_mlp("layers.{i}.feed_forward.", s.hidden, s.inner, s.all, facts.flag("mlp_bias"))
    layout.norms(("layers.{i}.input_layernorm", "layers.{i}.pre_ff_layernorm"), s.hidden, s.all)
    layout.norm("final_layernorm", s.hidden)
    layout.head(s)
    return layout.spec("falcon_h1", s)
