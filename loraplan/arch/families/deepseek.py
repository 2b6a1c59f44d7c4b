"""DeepSeek V2 and V3, GLM-4.7-Flash, GLM-5: attention through low-rank latents, experts after some dense layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from loraplan.arch.families.layout import BadConfig, Facts, Layout, Sizes
from loraplan.arch.families.moe import dense_then_experts, experts_of, finish, frame
from loraplan.arch.spec import ArchSpec

# Class defaults: transformers 5.23.0 models/*/configuration_*.py.
_DEFAULTS: dict[str, dict[str, Any]] = {
    "deepseek_v2": {
        "vocab_size": 102400, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
        "num_attention_heads": 32, "first_k_dense_replace": 0, "kv_lora_rank": 512, "q_lora_rank": 1536,
        "n_routed_experts": 64, "n_shared_experts": 2, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64,
        "v_head_dim": 128, "moe_intermediate_size": 1407,
    },
    "deepseek_v3": {
        "vocab_size": 129280, "hidden_size": 7168, "intermediate_size": 18432, "num_hidden_layers": 61,
        "num_attention_heads": 128, "first_k_dense_replace": 3, "kv_lora_rank": 512, "q_lora_rank": 1536,
        "n_routed_experts": 256, "n_shared_experts": 1, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64,
        "v_head_dim": 128, "moe_intermediate_size": 2048, "num_experts_per_tok": 8,
    },
    "glm4_moe_lite": {
        "vocab_size": 154880, "hidden_size": 2048, "intermediate_size": 10240, "num_hidden_layers": 47,
        "num_attention_heads": 20, "first_k_dense_replace": 1, "kv_lora_rank": 512, "q_lora_rank": 768,
        "n_routed_experts": 64, "n_shared_experts": 1, "qk_nope_head_dim": 192, "qk_rope_head_dim": 64,
        "v_head_dim": 256, "moe_intermediate_size": 1536, "num_experts_per_tok": 4,
    },
    "glm_moe_dsa": {
        "vocab_size": 154880, "hidden_size": 6144, "intermediate_size": 12288, "num_hidden_layers": 78,
        "num_attention_heads": 64, "first_k_dense_replace": 3, "kv_lora_rank": 512, "q_lora_rank": 2048,
        "n_routed_experts": 256, "n_shared_experts": 1, "qk_nope_head_dim": 192, "qk_rope_head_dim": 64,
        "v_head_dim": 256, "moe_intermediate_size": 2048, "num_experts_per_tok": 8, "index_head_dim": 128,
        "index_n_heads": 32,
    },
}  # fmt: skip


def deepseek(config: Mapping[str, Any]) -> ArchSpec:
    """Latent attention, then `first_k_dense_replace` dense layers before those with experts."""
    model_type = str(config.get("model_type"))
    facts = Facts(config, _DEFAULTS[model_type])
    s, layout = frame(facts)
    latent_attention(layout, facts, s)
    experts = experts_of(facts)
    dense_then_experts(layout, facts, s, experts)
    return finish(layout, s, model_type, facts, experts)


def glm_moe_dsa(config: Mapping[str, Any]) -> ArchSpec:
    """GLM-5: a small indexer chooses the tokens to attend to; layers marked `shared` use an earlier layer's choice."""
    facts = Facts(config, _DEFAULTS["glm_moe_dsa"])
    s, layout = frame(facts)
    latent_attention(layout, facts, s)
    own = _indexed(facts, s)
    heads, head = facts.size("index_n_heads"), facts.size("index_head_dim")
    block = "layers.{i}.self_attn.indexer."
    layout.linear(f"{block}wq_b", facts.size("q_lora_rank"), heads * head, layers=own)
    layout.linear(f"{block}wk", s.hidden, head, layers=own)
    layout.norm(f"{block}k_norm", head, own, bias=True)
    layout.linear(f"{block}weights_proj", s.hidden, heads, layers=own)
    experts = experts_of(facts)
    dense_then_experts(layout, facts, s, experts)
    return finish(layout, s, "glm_moe_dsa", facts, experts)


def _indexed(facts: Facts, s: Sizes) -> tuple[int, ...]:
    """The layers with an indexer of their own: listed, or every `index_topk_freq`-th after an offset."""
    kinds = facts.get("indexer_types") or facts.get("index_topk_pattern")
    if isinstance(kinds, list | str):
        if len(kinds) < s.layers:
            raise BadConfig("the pattern of indexers names too few layers")
        return tuple(layer for layer in s.all if kinds[layer] not in ("shared", "S"))
    every, offset = facts.size("index_topk_freq", 1), facts.count("index_skip_topk_offset", 2)
    return tuple(layer for layer in s.all if max(layer - offset + 1, 0) % every == 0)


def latent_attention(layout: Layout, facts: Facts, s: Sizes) -> None:
    """Queries through a latent unless `q_lora_rank` is null, keys and values through one with a shared rotary part."""
    block, bias = "layers.{i}.self_attn.", facts.flag("attention_bias")
    nope, rope, value = facts.size("qk_nope_head_dim"), facts.size("qk_rope_head_dim"), facts.size("v_head_dim")
    latent = facts.size("kv_lora_rank")
    # An explicit null switches the query latent off; an absent key is the class default.
    query = None if "q_lora_rank" in facts.data and facts.data["q_lora_rank"] is None else facts.size("q_lora_rank")
    if query is None:
        layout.linear(f"{block}q_proj", s.hidden, s.heads * (nope + rope), "q", layers=s.all)
    else:
        layout.linear(f"{block}q_a_proj", s.hidden, query, "q", layers=s.all, bias=bias)
        layout.norm(f"{block}q_a_layernorm", query, s.all)
        layout.linear(f"{block}q_b_proj", query, s.heads * (nope + rope), "q", layers=s.all)
    layout.linear(f"{block}kv_a_proj_with_mqa", s.hidden, latent + rope, "k", layers=s.all, bias=bias)
    layout.norm(f"{block}kv_a_layernorm", latent, s.all)
    layout.linear(f"{block}kv_b_proj", latent, s.heads * (nope + value), "v", layers=s.all)
    layout.linear(f"{block}o_proj", s.heads * value, s.hidden, "o", layers=s.all, bias=bias)
