"""Decoders with fused projections, and those with a plain two-layer MLP: Phi, GLM, StarCoder2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from loraplan.arch.families.layout import Facts, Layout, Sizes, sizes
from loraplan.arch.spec import ArchSpec

# Class defaults: transformers 5.23.0 models/*/configuration_*.py.
_DEFAULTS: dict[str, dict[str, Any]] = {
    "phi": {
        "vocab_size": 51200, "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 24,
        "num_attention_heads": 32,
    },
    "phi3": {
        "vocab_size": 32064, "hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 32,
        "num_attention_heads": 32,
    },
    "glm": {
        "vocab_size": 151552, "hidden_size": 4096, "intermediate_size": 13696, "num_hidden_layers": 40,
        "num_attention_heads": 32, "num_key_value_heads": 2, "head_dim": 128, "attention_bias": True,
    },
    "starcoder2": {
        "vocab_size": 49152, "hidden_size": 3072, "intermediate_size": 12288, "num_hidden_layers": 30,
        "num_attention_heads": 24, "num_key_value_heads": 2, "use_bias": True, "tie_word_embeddings": True,
    },
}  # fmt: skip
_NORMS = ("layers.{i}.input_layernorm", "layers.{i}.post_attention_layernorm")


def phi(config: Mapping[str, Any]) -> ArchSpec:
    """Phi 1 and 2: biases everywhere, the output head included; attention and MLP side by side."""
    facts = Facts(config, _DEFAULTS["phi"])
    s, layout = sizes(facts), Layout()
    layout.embedding("embed_tokens", s.vocab, s.hidden)
    layout.attention("layers.{i}.self_attn.", s, s.all, qkv_bias=True, out_bias=True, out="dense")
    if facts.flag("qk_layernorm"):
        width = s.hidden // s.heads
        layout.norms(("layers.{i}.self_attn.q_layernorm", "layers.{i}.self_attn.k_layernorm"), width, s.all, bias=True)
    two_layers(layout, "layers.{i}.mlp.fc1", "layers.{i}.mlp.fc2", s, bias=True)
    layout.norm("layers.{i}.input_layernorm", s.hidden, s.all, bias=True)
    layout.norm("final_layernorm", s.hidden, bias=True)
    layout.head(s, bias=True)
    return layout.spec("phi", s)


def phi3(config: Mapping[str, Any]) -> ArchSpec:
    """Phi 3 and 4: query, key and value in one matrix, gate and up in another."""
    facts = Facts(config, _DEFAULTS["phi3"])
    s, layout = sizes(facts), Layout()
    layout.embedding("embed_tokens", s.vocab, s.hidden)
    phi3_decoder(layout, s)
    layout.head(s)
    return layout.spec("phi3", s)


def phi3_decoder(layout: Layout, s: Sizes) -> None:
    """The blocks and the final norm."""
    queries, keys = s.heads * s.head_dim, s.kv_heads * s.head_dim
    layout.linear("layers.{i}.self_attn.o_proj", queries, s.hidden, "o", layers=s.all)
    layout.linear("layers.{i}.self_attn.qkv_proj", s.hidden, queries + 2 * keys, "qkv", layers=s.all)
    fused_mlp(layout, s)
    layout.norms(_NORMS, s.hidden, s.all)
    layout.norm("norm", s.hidden)


def glm(config: Mapping[str, Any]) -> ArchSpec:
    """GLM-4 as transformers has it: separate attention projections, fused gate and up; GLM-4-0414 norms more."""
    model_type = str(config.get("model_type"))
    facts = Facts(config, _DEFAULTS["glm"])
    s, layout = sizes(facts), Layout()
    layout.embedding("embed_tokens", s.vocab, s.hidden)
    layout.attention("layers.{i}.self_attn.", s, s.all, qkv_bias=facts.flag("attention_bias"))
    fused_mlp(layout, s)
    norms: tuple[str, ...] = _NORMS
    if model_type == "glm4":
        norms = (*norms, "layers.{i}.post_self_attn_layernorm", "layers.{i}.post_mlp_layernorm")
    layout.norms(norms, s.hidden, s.all)
    layout.norm("norm", s.hidden)
    layout.head(s)
    return layout.spec(model_type, s)


def starcoder2(config: Mapping[str, Any]) -> ArchSpec:
    """Separate attention projections, a two-layer MLP with GPT-2's names, biases everywhere."""
    facts = Facts(config, _DEFAULTS["starcoder2"])
    s, layout = sizes(facts), Layout()
    bias = facts.flag("use_bias")
    layout.embedding("embed_tokens", s.vocab, s.hidden)
    layout.attention("layers.{i}.self_attn.", s, s.all, qkv_bias=bias, out_bias=bias)
    two_layers(layout, "layers.{i}.mlp.c_fc", "layers.{i}.mlp.c_proj", s, bias=bias)
    layout.norms(_NORMS, s.hidden, s.all, bias=True)
    layout.norm("norm", s.hidden, bias=True)
    layout.head(s)
    return layout.spec("starcoder2", s)


def two_layers(layout: Layout, first: str, second: str, s: Sizes, bias: bool) -> None:
    """An MLP of two linear layers."""
    layout.linear(first, s.hidden, s.inner, "fc1", "mlp", s.all, bias)
    layout.linear(second, s.inner, s.hidden, "fc2", "mlp", s.all, bias)


def fused_mlp(layout: Layout, s: Sizes) -> None:
    """Gate and up in one matrix, then down."""
    layout.linear("layers.{i}.mlp.gate_up_proj", s.hidden, 2 * s.inner, "gate_up", "mlp", s.all)
    layout.linear("layers.{i}.mlp.down_proj", s.inner, s.hidden, "down", "mlp", s.all)
