"""The language model of Gemma 3n (transformers 5.23.0 models/gemma3n).

With its towers it is unknown: the vision tower is a timm model, which no `config.json` describes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from loraplan.arch.families.gemma import _FOUR_NORMS
from loraplan.arch.families.layout import MAX_LAYERS, BadConfig, Facts, Layout, sizes
from loraplan.arch.spec import ArchSpec

_DEFAULTS: dict[str, Any] = {
    "vocab_size": 262400, "hidden_size": 2048, "intermediate_size": 16384, "num_hidden_layers": 35,
    "num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 256, "tie_word_embeddings": True,
    "vocab_size_per_layer_input": 262144, "hidden_size_per_layer_input": 256, "altup_num_inputs": 4, "laurel_rank": 64,
    "num_kv_shared_layers": 15,
}  # fmt: skip


def gemma3n_text(config: Mapping[str, Any]) -> ArchSpec:
    """Several residual streams (AltUp), low-rank residuals (Laurel) and an embedding for every layer."""
    given = config.get("intermediate_size")
    if isinstance(given, list):
        if not given or any(width != given[0] for width in given):
            raise BadConfig("intermediate_size differs between layers")
        config = {**config, "intermediate_size": given[0]}
    facts = Facts(config, _DEFAULTS)
    s, layout = sizes(facts), Layout()
    per_layer, rank = facts.size("hidden_size_per_layer_input"), facts.size("laurel_rank")
    streams, packed, block = facts.size("altup_num_inputs", most=64), s.layers * per_layer, "layers.{i}."
    layout.embedding("embed_tokens", s.vocab, s.hidden)
    layout.embedding("embed_tokens_per_layer", facts.size("vocab_size_per_layer_input"), packed, role="")
    layout.linear("per_layer_model_projection", s.hidden, packed, "", "other")
    layout.norm("per_layer_projection_norm", per_layer)
    for stream in range(streams - 1):
        for name in ("altup_projections", "altup_unembed_projections"):
            layout.linear(f"{name}.{stream}", s.hidden, s.hidden, "", "other")
    bias = facts.flag("attention_bias")
    # The last layers reuse keys and values of earlier ones.
    shared = facts.count("num_kv_shared_layers", most=MAX_LAYERS)
    if shared >= s.layers:
        raise BadConfig(f"num_kv_shared_layers is {shared}, with {s.layers} layers")
    own, wide, narrow = s.all[: s.layers - shared], s.heads * s.head_dim, s.kv_heads * s.head_dim
    layout.linear(f"{block}self_attn.q_proj", s.hidden, wide, "q", layers=s.all, bias=bias)
    layout.linear(f"{block}self_attn.k_proj", s.hidden, narrow, "k", layers=own, bias=bias)
    layout.linear(f"{block}self_attn.v_proj", s.hidden, narrow, "v", layers=own, bias=bias)
    layout.linear(f"{block}self_attn.o_proj", wide, s.hidden, "o", layers=s.all, bias=bias)
    layout.norm(f"{block}self_attn.q_norm", s.head_dim, s.all)
    layout.norm(f"{block}self_attn.k_norm", s.head_dim, own)
    layout.gated_mlp(f"{block}mlp.", s.hidden, s.inner, s.all)
    layout.norms((block + name for name in _FOUR_NORMS), s.hidden, s.all)
    layout.linear(f"{block}per_layer_input_gate", s.hidden, per_layer, "", "other", s.all)
    layout.linear(f"{block}per_layer_projection", per_layer, s.hidden, "", "other", s.all)
    layout.linear(f"{block}laurel.linear_left", s.hidden, rank, "", "other", s.all)
    layout.linear(f"{block}laurel.linear_right", rank, s.hidden, "", "other", s.all)
    names = ("post_per_layer_input_norm", "laurel.post_laurel_norm", "altup.router_norm")
    layout.norms((block + name for name in names), s.hidden, s.all)
    layout.parameter(f"{block}altup.correct_output_scale", (s.hidden,), "other", s.all)
    layout.linear(f"{block}altup.correction_coefs", streams, streams, "", "other", s.all)
    layout.linear(f"{block}altup.prediction_coefs", streams, streams**2, "", "other", s.all)
    layout.linear(f"{block}altup.modality_router", s.hidden, streams, "", "other", s.all)
    layout.norm("norm", s.hidden)
    layout.head(s)
    return layout.spec("gemma3n_text", s)
