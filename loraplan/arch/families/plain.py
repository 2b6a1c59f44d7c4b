"""Llama's plan with one part changed: Arcee has no gate in its MLP, Seed-OSS has biases on queries, keys and values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from loraplan.arch.families.layout import Facts, Layout, sizes
from loraplan.arch.families.llama import decoder
from loraplan.arch.spec import ArchSpec

# Class defaults: transformers 5.23.0 models/*/configuration_*.py.
_ARCEE = {
    "vocab_size": 32000, "hidden_size": 2560, "intermediate_size": 18432, "num_hidden_layers": 32,
    "num_attention_heads": 32,
}  # fmt: skip
_SEED_OSS = {
    "vocab_size": 155136, "hidden_size": 4096, "intermediate_size": 27648, "num_hidden_layers": 64,
    "num_attention_heads": 80, "num_key_value_heads": 8, "head_dim": 128, "attention_bias": True,
}  # fmt: skip


def arcee(config: Mapping[str, Any]) -> ArchSpec:
    """Two projections in the MLP, with a squared ReLU between them."""
    facts = Facts(config, _ARCEE)
    s, layout = sizes(facts), Layout()
    bias, mlp_bias = facts.flag("attention_bias"), facts.flag("mlp_bias")
    layout.embedding("embed_tokens", s.vocab, s.hidden)
    layout.attention("layers.{i}.self_attn.", s, s.all, qkv_bias=bias, out_bias=bias)
    layout.linear("layers.{i}.mlp.up_proj", s.hidden, s.inner, "fc1", "mlp", s.all, mlp_bias)
    layout.linear("layers.{i}.mlp.down_proj", s.inner, s.hidden, "fc2", "mlp", s.all, mlp_bias)
    layout.norms(("layers.{i}.input_layernorm", "layers.{i}.post_attention_layernorm"), s.hidden, s.all)
    layout.norm("norm", s.hidden)
    layout.head(s)
    return layout.spec("arcee", s)


def seed_oss(config: Mapping[str, Any]) -> ArchSpec:
    """Heads together wider than the model; the output projection has a bias option of its own."""
    facts = Facts(config, _SEED_OSS)
    s, layout = sizes(facts), Layout()
    bias, out_bias = facts.flag("attention_bias"), facts.flag("attention_out_bias")
    decoder(layout, s, qkv_bias=bias, out_bias=out_bias, mlp_bias=facts.flag("mlp_bias"))
    layout.head(s)
    return layout.spec("seed_oss", s)
