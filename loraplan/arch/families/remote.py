"""Models whose code comes with their weights: InternLM, InternLM2, Baichuan, ChatGLM.

Sources, copies of the files published with the weights: `modeling_internlm2.py` in OpenGVLab/InternVL @ 28e99fc8
(internvl_chat/internvl/model/internlm2), `modeling_baichuan.py` in jrd77/Baichuan2-13B-Chat @ 35e3d5af (Baichuan 2) and
MrInouye/baichuan-13b-chat-batch @ 3d41c0c7 (Baichuan 1, a plain linear head), `modeling_chatglm.py` in
THUDM/language_filter_chatglm3 @ fc4c6766, `modeling_internlm.py` in yangulei/internlm-20b @ 5d2ec530 (InternLM: Llama's
classes, with `config.bias` on all four projections of the attention).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from loraplan.arch.families.layout import MAX_LAYERS, Facts, Layout, Sizes, positions, scaled, sizes
from loraplan.arch.families.llama import decoder
from loraplan.arch.spec import ArchSpec

_DEFAULTS: dict[str, dict[str, Any]] = {
    "internlm": {
        "vocab_size": 103168, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
        "num_attention_heads": 32, "bias": True,
    },
    "internlm2": {
        "vocab_size": 103168, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
        "num_attention_heads": 32, "bias": True,
    },
    "baichuan": {
        "vocab_size": 125696, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
        "num_attention_heads": 32,
    },
    "chatglm": {
        "num_layers": 28, "padded_vocab_size": 65024, "hidden_size": 4096, "ffn_hidden_size": 13696,
        "kv_channels": 128, "num_attention_heads": 32, "multi_query_group_num": 1,
    },
}  # fmt: skip
_BAICHUAN2_VOCABULARY = 125696


def internlm(config: Mapping[str, Any]) -> ArchSpec:
    """Llama's plan; the 7B has biases on its attention."""
    facts = Facts(config, _DEFAULTS["internlm"])
    s, layout, bias = sizes(facts), Layout(), facts.flag("bias")
    decoder(layout, s, qkv_bias=bias, out_bias=bias)
    layout.head(s)
    return layout.spec("internlm", s)


def internlm2(config: Mapping[str, Any]) -> ArchSpec:
    """Query, key and value in one `wqkv`; the output head is called `output`."""
    facts = Facts(config, _DEFAULTS["internlm2"])
    s, layout, bias = sizes(facts), Layout(), facts.flag("bias")
    width = (s.heads + 2 * s.kv_heads) * s.head_dim
    layout.embedding("tok_embeddings", s.vocab, s.hidden)
    layout.linear("layers.{i}.attention.wqkv", s.hidden, width, "qkv", layers=s.all, bias=bias)
    layout.linear("layers.{i}.attention.wo", s.heads * s.head_dim, s.hidden, "o", layers=s.all, bias=bias)
    layout.linear("layers.{i}.feed_forward.w1", s.hidden, s.inner, "gate", "mlp", s.all)
    layout.linear("layers.{i}.feed_forward.w3", s.hidden, s.inner, "up", "mlp", s.all)
    layout.linear("layers.{i}.feed_forward.w2", s.inner, s.hidden, "down", "mlp", s.all)
    layout.norms(("layers.{i}.attention_norm", "layers.{i}.ffn_norm"), s.hidden, s.all)
    layout.norm("norm", s.hidden)
    layout.head(s, "output")
    return layout.spec("internlm2", s)


def baichuan(config: Mapping[str, Any]) -> ArchSpec:
    """Query, key and value in one `W_pack`; Baichuan 2 norms its output head, in a class of its own."""
    facts = Facts(config, _DEFAULTS["baichuan"])
    s, layout = sizes(facts), Layout()
    layout.embedding("embed_tokens", s.vocab, s.hidden)
    layout.linear("layers.{i}.self_attn.W_pack", s.hidden, 3 * s.hidden, "qkv", layers=s.all)
    layout.linear("layers.{i}.self_attn.o_proj", s.hidden, s.hidden, "o", layers=s.all)
    layout.gated_mlp("layers.{i}.mlp.", s.hidden, s.inner, s.all)
    layout.norms(("layers.{i}.input_layernorm", "layers.{i}.post_attention_layernorm"), s.hidden, s.all)
    layout.norm("norm", s.hidden)
    layout.head(s)
    if s.vocab == _BAICHUAN2_VOCABULARY:
        layout.modules[-1] = layout.modules[-1]._replace(kind="Other")
    return layout.spec("baichuan", s)


def chatglm(config: Mapping[str, Any]) -> ArchSpec:
    """ChatGLM2, ChatGLM3 and GLM-4: fused query, key, value and fused gate, up."""
    facts = Facts(config, _DEFAULTS["chatglm"])
    hidden, heads = facts.size("hidden_size"), facts.size("num_attention_heads", most=1 << 16)
    head = facts.size("kv_channels", most=1 << 16)
    groups = facts.size("multi_query_group_num", most=1 << 16) if facts.flag("multi_query_attention") else heads
    inner, vocabulary = facts.size("ffn_hidden_size"), facts.size("padded_vocab_size")
    s = Sizes(
        layers=facts.size("num_layers", most=MAX_LAYERS),
        hidden=hidden,
        inner=inner,
        heads=heads,
        kv_heads=groups,
        head_dim=head,
        vocab=vocabulary,
        tied=facts.flag("tie_word_embeddings"),
        max_positions=positions(facts, "seq_length"),
        rope_scaling=scaled(facts),
    )
    layout, block, bias = Layout("transformer."), "encoder.layers.{i}.", facts.flag("add_bias_linear")
    qkv_bias = bias or facts.flag("add_qkv_bias")
    width = heads * head
    layout.embedding("embedding.word_embeddings", vocabulary, hidden)
    name = f"{block}self_attention."
    layout.linear(f"{name}query_key_value", hidden, width + 2 * groups * head, "qkv", layers=s.all, bias=qkv_bias)
    layout.linear(f"{name}dense", width, hidden, "o", layers=s.all, bias=bias)
    layout.linear(f"{block}mlp.dense_h_to_4h", hidden, 2 * inner, "gate_up", "mlp", s.all, bias)
    layout.linear(f"{block}mlp.dense_4h_to_h", inner, hidden, "down", "mlp", s.all, bias)
    layout.norms((f"{block}input_layernorm", f"{block}post_attention_layernorm"), hidden, s.all)
    layout.norm("encoder.final_layernorm", hidden)
    layout.head(s, "transformer.output_layer")
    return layout.spec("chatglm", s)
