"""Llama and the decoders built like it: separate projections, gated MLP, no fused weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from loraplan.arch.families.layout import Facts, Layout, Sizes, sizes
from loraplan.arch.spec import ArchSpec

_LLAMA_SIZE = {
    "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32,
}  # fmt: skip
# Class defaults: transformers 5.23.0 models/*/configuration_*.py.
_DEFAULTS: dict[str, dict[str, Any]] = {
    "llama": {**_LLAMA_SIZE, "vocab_size": 32000},
    "granite": {**_LLAMA_SIZE, "vocab_size": 32000},
    "mistral": {**_LLAMA_SIZE, "vocab_size": 32000, "intermediate_size": 14336, "num_key_value_heads": 8},
    "ministral": {**_LLAMA_SIZE, "vocab_size": 32000, "intermediate_size": 14336, "num_key_value_heads": 8},
    "ministral3": {
        **_LLAMA_SIZE, "vocab_size": 131072, "intermediate_size": 14336, "num_hidden_layers": 34,
        "num_key_value_heads": 8, "head_dim": 128,
    },
    "qwen2": {**_LLAMA_SIZE, "vocab_size": 151936, "intermediate_size": 22016, "num_key_value_heads": 32},
    "qwen3": {
        **_LLAMA_SIZE, "vocab_size": 151936, "intermediate_size": 22016, "num_key_value_heads": 32, "head_dim": 128,
    },
    "smollm3": {
        "vocab_size": 128256, "hidden_size": 2048, "intermediate_size": 11008, "num_hidden_layers": 36,
        "num_attention_heads": 16, "num_key_value_heads": 4, "tie_word_embeddings": True,
    },
    "stablelm": {
        "vocab_size": 50304, "hidden_size": 2560, "intermediate_size": 6912, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 32,
    },
    "olmo": {**_LLAMA_SIZE, "vocab_size": 50304},
    "olmo2": {**_LLAMA_SIZE, "vocab_size": 50304},
    "olmo3": {**_LLAMA_SIZE, "vocab_size": 50304},
    "cohere": {
        "vocab_size": 256000, "hidden_size": 8192, "intermediate_size": 22528, "num_hidden_layers": 40,
        "num_attention_heads": 64, "tie_word_embeddings": True,
    },
    "cohere2": {
        "vocab_size": 256000, "hidden_size": 8192, "intermediate_size": 22528, "num_hidden_layers": 40,
        "num_attention_heads": 64, "tie_word_embeddings": True,
    },
}  # fmt: skip
_BLOCK_NORMS = ("input_layernorm", "post_attention_layernorm")


def decoder(
    layout: Layout,
    s: Sizes,
    *,
    qkv_bias: bool = False,
    out_bias: bool = False,
    mlp_bias: bool = False,
    norms: tuple[str, ...] = _BLOCK_NORMS,
    norm_bias: bool = False,
    final_norm: bool = True,
    head_norm: bool = False,
) -> None:
    """Embedding, blocks of attention and gated MLP, final norm. `head_norm`: queries and keys are normed by head."""
    layout.embedding("embed_tokens", s.vocab, s.hidden)
    layout.attention("layers.{i}.self_attn.", s, s.all, qkv_bias=qkv_bias, out_bias=out_bias)
    if head_norm:
        layout.norms(("layers.{i}.self_attn.q_norm", "layers.{i}.self_attn.k_norm"), s.head_dim, s.all)
    layout.gated_mlp("layers.{i}.mlp.", s.hidden, s.inner, s.all, mlp_bias)
    layout.norms((f"layers.{{i}}.{name}" for name in norms), s.hidden, s.all, norm_bias)
    if final_norm:
        layout.norm("norm", s.hidden, bias=norm_bias)


def llama(config: Mapping[str, Any]) -> ArchSpec:
    """llama, mistral, ministral, granite, smollm3: one plan, differing in defaults and optional biases."""
    model_type = str(config.get("model_type"))
    facts = Facts(config, _DEFAULTS[model_type])
    s, layout = sizes(facts), Layout()
    # Mistral's projections have no bias option.
    optional = model_type not in ("mistral", "ministral", "ministral3")
    bias = optional and facts.flag("attention_bias")
    decoder(layout, s, qkv_bias=bias, out_bias=bias, mlp_bias=optional and facts.flag("mlp_bias"))
    layout.head(s)
    return layout.spec(model_type, s)


def qwen2(config: Mapping[str, Any]) -> ArchSpec:
    """Query, key and value have biases, the output projection has none; heads are always hidden / heads wide."""
    facts = Facts(config, _DEFAULTS["qwen2"])
    s, layout = sizes(facts), Layout()
    decoder(layout, s, qkv_bias=True)
    layout.head(s)
    return layout.spec("qwen2", s)


def qwen3(config: Mapping[str, Any]) -> ArchSpec:
    """Queries and keys are normed by head."""
    facts = Facts(config, _DEFAULTS["qwen3"])
    s, layout = sizes(facts), Layout()
    bias = facts.flag("attention_bias")
    decoder(layout, s, qkv_bias=bias, out_bias=bias, head_norm=True)
    layout.head(s)
    return layout.spec("qwen3", s)


def stablelm(config: Mapping[str, Any]) -> ArchSpec:
    """LayerNorms with bias; the parallel variant has one norm a block; queries and keys may be normed by head."""
    facts = Facts(config, _DEFAULTS["stablelm"])
    s, layout = sizes(facts), Layout()
    norms = _BLOCK_NORMS[:1] if facts.flag("use_parallel_residual") else _BLOCK_NORMS
    decoder(layout, s, qkv_bias=facts.flag("use_qkv_bias"), norms=norms, norm_bias=True)
    if facts.flag("qk_layernorm"):
        for name, heads in (("q_layernorm", s.heads), ("k_layernorm", s.kv_heads)):
            for head in range(heads):
                layout.norm(f"layers.{{i}}.self_attn.{name}.norms.{head}", s.head_dim, s.all)
    layout.head(s)
    return layout.spec("stablelm", s)


def olmo(config: Mapping[str, Any]) -> ArchSpec:
    """OLMo's LayerNorms have no parameters."""
    facts = Facts(config, _DEFAULTS["olmo"])
    s, layout = sizes(facts), Layout()
    bias = facts.flag("attention_bias")
    decoder(layout, s, qkv_bias=bias, out_bias=bias, norms=(), final_norm=False)
    for name in (*(f"layers.{{i}}.{norm}" for norm in _BLOCK_NORMS), "norm"):
        layout.add(name, "Other", (0,), part="norm", layers=s.all if "{i}" in name else None)
    layout.head(s)
    return layout.spec("olmo", s)


def olmo2(config: Mapping[str, Any]) -> ArchSpec:
    """OLMo 2 and 3 norm after attention and MLP, and queries and keys over all heads at once."""
    model_type = str(config.get("model_type"))
    facts = Facts(config, _DEFAULTS[model_type])
    s, layout = sizes(facts), Layout()
    bias = facts.flag("attention_bias")
    norms = ("post_attention_layernorm", "post_feedforward_layernorm")
    decoder(layout, s, qkv_bias=bias, out_bias=bias, norms=norms)
    layout.norm("layers.{i}.self_attn.q_norm", s.heads * s.head_dim, s.all)
    layout.norm("layers.{i}.self_attn.k_norm", s.kv_heads * s.head_dim, s.all)
    layout.head(s)
    return layout.spec(model_type, s)


def cohere(config: Mapping[str, Any]) -> ArchSpec:
    """Command-R: attention and MLP in parallel behind one norm."""
    model_type = str(config.get("model_type"))
    facts = Facts(config, _DEFAULTS[model_type])
    s, layout = sizes(facts), Layout()
    bias = facts.flag("attention_bias")
    decoder(layout, s, qkv_bias=bias, out_bias=bias, norms=_BLOCK_NORMS[:1])
    if model_type == "cohere" and facts.flag("use_qk_norm"):
        layout.parameter("layers.{i}.self_attn.q_norm.weight", (s.heads, s.head_dim), "norm", s.all)
        layout.parameter("layers.{i}.self_attn.k_norm.weight", (s.kv_heads, s.head_dim), "norm", s.all)
    layout.head(s)
    return layout.spec(model_type, s)
