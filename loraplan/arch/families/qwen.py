"""Qwen, the first generation, whose code is published with the weights: fused query, key, value, gated MLP of halves.

Names and shapes: modeling_qwen.py of the model's repository (read in mapengAdam/qianwen-72B @ 3334bfe3); the names of
a `config.json` before and after September 2023: vllm transformers_utils/configs/qwen.py @ 396dee62.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from loraplan.arch.families.layout import Facts, Layout, sizes
from loraplan.arch.spec import ArchSpec

_EARLIER = {
    "n_embd": "hidden_size", "n_head": "num_attention_heads", "n_layer": "num_hidden_layers",
    "n_positions": "max_position_embeddings", "ffn_hidden_size": "intermediate_size",
}  # fmt: skip
_DEFAULTS = {
    "vocab_size": 151936, "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
    "intermediate_size": 22016, "kv_channels": 128, "no_bias": True,
}  # fmt: skip


def qwen(config: Mapping[str, Any]) -> ArchSpec:
    """`intermediate_size` counts both halves of the MLP: `w2` is the gate, `w1` what it gates, each half as wide."""
    earlier = {new: config[old] for old, new in _EARLIER.items() if config.get(old) is not None}
    facts = Facts({**earlier, **config}, _DEFAULTS)
    s, layout = sizes(facts), Layout("transformer.")
    head = facts.size("kv_channels", most=1 << 16)
    s = s._replace(inner=max(s.inner // 2, 1), kv_heads=s.heads, head_dim=head)
    width, bias = s.heads * head, not facts.flag("no_bias")
    layout.embedding("wte", s.vocab, s.hidden)
    layout.linear("h.{i}.attn.c_attn", s.hidden, 3 * width, "qkv", layers=s.all, bias=True)
    layout.linear("h.{i}.attn.c_proj", width, s.hidden, "o", layers=s.all, bias=bias)
    layout.linear("h.{i}.mlp.w1", s.hidden, s.inner, "up", "mlp", s.all, bias)
    layout.linear("h.{i}.mlp.w2", s.hidden, s.inner, "gate", "mlp", s.all, bias)
    layout.linear("h.{i}.mlp.c_proj", s.inner, s.hidden, "down", "mlp", s.all, bias)
    layout.norms(("h.{i}.ln_1", "h.{i}.ln_2"), s.hidden, s.all)
    layout.norm("ln_f", s.hidden)
    layout.head(s)
    return layout.spec("qwen", s)
