"""T5, an encoder and a decoder (transformers 5.23.0 models/t5; its class defaults are those of google-t5/t5-small)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from loraplan.arch.families.layout import MAX_LAYERS, Facts, Layout, Sizes
from loraplan.arch.spec import ArchSpec, Role

_DEFAULTS: dict[str, Any] = {
    "vocab_size": 32128, "d_model": 512, "d_kv": 64, "d_ff": 2048, "num_layers": 6, "num_heads": 8,
    "relative_attention_num_buckets": 32, "feed_forward_proj": "relu",
}  # fmt: skip
_ATTENTION: tuple[tuple[str, Role], ...] = (("q", "q"), ("k", "k"), ("v", "v"))


def t5(config: Mapping[str, Any]) -> ArchSpec:
    """Relative positions in the first blocks alone, and one matrix for both embeddings and the head."""
    facts, layout = Facts(config, _DEFAULTS), Layout("")
    depth = facts.size("num_layers", most=MAX_LAYERS)
    heads, head_dim = facts.size("num_heads", most=1 << 16), facts.size("d_kv", most=1 << 16)
    s = Sizes(
        layers=facts.size("num_decoder_layers", depth, most=MAX_LAYERS),
        hidden=facts.size("d_model"),
        inner=facts.size("d_ff"),
        heads=heads,
        kv_heads=heads,
        head_dim=head_dim,
        vocab=facts.size("vocab_size"),
        tied=True,
        max_positions=None,
        rope_scaling=False,
    )
    gated = (facts.text("feed_forward_proj") or "").startswith("gated")
    layout.embedding("shared", s.vocab, s.hidden)
    for stack, layers in (("encoder", tuple(range(depth))), ("decoder", s.all)):
        layout.prefix = f"{stack}."
        layout.embedding("embed_tokens", s.vocab, s.hidden)
        attention = ("SelfAttention",) if stack == "encoder" else ("SelfAttention", "EncDecAttention")
        for place, name in enumerate(attention):
            block = f"block.{{i}}.layer.{place}."
            for module, role in _ATTENTION:
                layout.linear(f"{block}{name}.{module}", s.hidden, s.heads * s.head_dim, role, layers=layers)
            layout.linear(f"{block}{name}.o", s.heads * s.head_dim, s.hidden, "o", layers=layers)
            layout.norm(f"{block}layer_norm", s.hidden, layers)
        buckets = facts.size("relative_attention_num_buckets")
        layout.embedding("block.0.layer.0.SelfAttention.relative_attention_bias", buckets, s.heads, "attention", "")
        block = f"block.{{i}}.layer.{len(attention)}."
        inward: tuple[tuple[str, Role], ...] = (("wi_0", "gate"), ("wi_1", "up")) if gated else (("wi", "fc1"),)
        for module, role in inward:
            layout.linear(f"{block}DenseReluDense.{module}", s.hidden, s.inner, role, "mlp", layers)
        layout.linear(f"{block}DenseReluDense.wo", s.inner, s.hidden, "down" if gated else "fc2", "mlp", layers)
        layout.norm(f"{block}layer_norm", s.hidden, layers)
        layout.norm("final_layer_norm", s.hidden)
    layout.head(s)
    spec = layout.spec("t5", s)
    return replace(spec, parameters=spec.parameters - 2 * s.vocab * s.hidden)
