"""The decoders of 2019 to 2023: GPT-2, GPT-NeoX, GPT-J, GPTBigCode, Falcon, BLOOM, MPT, OPT."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from loraplan.arch.families.layout import MAX_LAYERS, BadConfig, Facts, Layout, Sizes, positions, scaled
from loraplan.arch.spec import ArchSpec

# Class defaults: transformers 5.23.0 models/*/configuration_*.py.
_DEFAULTS: dict[str, dict[str, Any]] = {
    "gpt2": {"vocab_size": 50257, "n_positions": 1024, "n_embd": 768, "n_layer": 12, "n_head": 12},
    "gpt_bigcode": {
        "vocab_size": 50257, "n_positions": 1024, "n_embd": 768, "n_layer": 12, "n_head": 12, "multi_query": True,
    },
    "gptj": {"vocab_size": 50400, "n_positions": 2048, "n_embd": 4096, "n_layer": 28, "n_head": 16},
    "gpt_neox": {
        "vocab_size": 50432, "hidden_size": 6144, "num_hidden_layers": 44, "num_attention_heads": 64,
        "intermediate_size": 24576, "attention_bias": True,
    },
    "falcon": {
        "vocab_size": 65024, "hidden_size": 4544, "num_hidden_layers": 32, "num_attention_heads": 71,
        "multi_query": True, "parallel_attn": True,
    },
    "bloom": {"vocab_size": 250880, "hidden_size": 64, "n_layer": 2, "n_head": 8},
    "mpt": {"vocab_size": 50368, "d_model": 2048, "n_heads": 16, "n_layers": 24, "expansion_ratio": 4},
    "opt": {
        "vocab_size": 50272, "hidden_size": 768, "num_hidden_layers": 12, "ffn_dim": 3072, "num_attention_heads": 12,
        "max_position_embeddings": 2048, "do_layer_norm_before": True, "enable_bias": True,
        "layer_norm_elementwise_affine": True,
    },
}  # fmt: skip


def gpt2(config: Mapping[str, Any]) -> ArchSpec:
    """Every linear layer is a Conv1D, stored (in, out)."""
    s, facts = _dimensions(config, "gpt2", "n_layer", "n_embd", "n_head", True)
    s = s._replace(inner=facts.count("n_inner") or 4 * s.hidden, max_positions=facts.size("n_positions"))
    layout = Layout("transformer.")
    layout.embedding("wte", s.vocab, s.hidden)
    layout.embedding("wpe", facts.size("n_positions"), s.hidden, role="")
    block = "h.{i}."
    layout.norms((f"{block}ln_1", f"{block}ln_2"), s.hidden, s.all, bias=True)
    for name, rows, columns, role, part in (
        ("attn.c_attn", s.hidden, 3 * s.hidden, "qkv", "attention"),
        ("attn.c_proj", s.hidden, s.hidden, "o", "attention"),
        ("mlp.c_fc", s.hidden, s.inner, "fc1", "mlp"),
        ("mlp.c_proj", s.inner, s.hidden, "fc2", "mlp"),
    ):
        layout.add(block + name, "Conv1D", (rows, columns), bias=True, part=part, role=role, layers=s.all)  # type: ignore[arg-type]
    layout.norm("ln_f", s.hidden, bias=True)
    layout.head(s)
    return layout.spec("gpt2", s)


def gpt_bigcode(config: Mapping[str, Any]) -> ArchSpec:
    """GPT-2's names with linear layers; one key-value head with `multi_query`."""
    s, facts = _dimensions(config, "gpt_bigcode", "n_layer", "n_embd", "n_head", True)
    keys = (1 if facts.flag("multi_query") else s.heads) * s.head_dim
    s = s._replace(
        inner=facts.count("n_inner") or 4 * s.hidden,
        max_positions=facts.size("n_positions"),
        kv_heads=1 if facts.flag("multi_query") else s.heads,
    )
    layout = Layout("transformer.")
    layout.embedding("wte", s.vocab, s.hidden)
    layout.embedding("wpe", facts.size("n_positions"), s.hidden, role="")
    block = "h.{i}."
    layout.norms((f"{block}ln_1", f"{block}ln_2"), s.hidden, s.all, bias=True)
    layout.linear(f"{block}attn.c_attn", s.hidden, s.hidden + 2 * keys, "qkv", layers=s.all, bias=True)
    layout.linear(f"{block}attn.c_proj", s.hidden, s.hidden, "o", layers=s.all, bias=True)
    _mlp(layout, f"{block}mlp.c_fc", f"{block}mlp.c_proj", s, True)
    layout.norm("ln_f", s.hidden, bias=True)
    layout.head(s)
    return layout.spec("gpt_bigcode", s)


def gptj(config: Mapping[str, Any]) -> ArchSpec:
    """Attention without, MLP and output head with biases."""
    s, facts = _dimensions(config, "gptj", "n_layer", "n_embd", "n_head", False)
    s = s._replace(inner=facts.count("n_inner") or 4 * s.hidden, max_positions=facts.size("n_positions"))
    layout = Layout("transformer.")
    layout.embedding("wte", s.vocab, s.hidden)
    layout.norm("h.{i}.ln_1", s.hidden, s.all, bias=True)
    layout.attention("h.{i}.attn.", s, s.all, out="out_proj")
    _mlp(layout, "h.{i}.mlp.fc_in", "h.{i}.mlp.fc_out", s, True)
    layout.norm("ln_f", s.hidden, bias=True)
    layout.head(s, bias=True)
    return layout.spec("gptj", s)


def gpt_neox(config: Mapping[str, Any]) -> ArchSpec:
    """One matrix for query, key and value; biases everywhere but in the output head."""
    s, facts = _dimensions(config, "gpt_neox", "num_hidden_layers", "hidden_size", "num_attention_heads", False)
    s = s._replace(inner=facts.size("intermediate_size"))
    layout, block, bias = Layout("gpt_neox."), "layers.{i}.", facts.flag("attention_bias")
    layout.embedding("embed_in", s.vocab, s.hidden)
    layout.norms((f"{block}input_layernorm", f"{block}post_attention_layernorm"), s.hidden, s.all, bias=True)
    layout.linear(f"{block}attention.query_key_value", s.hidden, 3 * s.hidden, "qkv", layers=s.all, bias=bias)
    layout.linear(f"{block}attention.dense", s.hidden, s.hidden, "o", layers=s.all, bias=bias)
    _mlp(layout, f"{block}mlp.dense_h_to_4h", f"{block}mlp.dense_4h_to_h", s, True)
    layout.norm("final_layer_norm", s.hidden, bias=True)
    layout.head(s)
    return layout.spec("gpt_neox", s)


def falcon(config: Mapping[str, Any]) -> ArchSpec:
    """One key-value head (7B) or a few (40B, 180B: `new_decoder_architecture`, which has two norms a block)."""
    s, facts = _dimensions(config, "falcon", "num_hidden_layers", "hidden_size", "num_attention_heads", True)
    new, bias = facts.flag("new_decoder_architecture"), facts.flag("bias")
    if new:
        s = s._replace(kv_heads=facts.size("num_kv_heads", s.heads, most=1 << 16))
    elif facts.flag("multi_query"):
        s = s._replace(kv_heads=1)
    s = s._replace(inner=facts.count("ffn_hidden_size") or 4 * s.hidden)
    layout, block = Layout("transformer."), "h.{i}."
    width = (s.heads + 2 * s.kv_heads) * s.head_dim
    layout.embedding("word_embeddings", s.vocab, s.hidden)
    layout.linear(f"{block}self_attention.query_key_value", s.hidden, width, "qkv", layers=s.all, bias=bias)
    layout.linear(f"{block}self_attention.dense", s.hidden, s.hidden, "o", layers=s.all, bias=bias)
    _mlp(layout, f"{block}mlp.dense_h_to_4h", f"{block}mlp.dense_4h_to_h", s, bias)
    if not facts.flag("parallel_attn"):
        norms: tuple[str, ...] = ("input_layernorm", "post_attention_layernorm")
    elif (facts.count("num_ln_in_parallel_attn") or (2 if new else 1)) == 2:
        norms = ("ln_attn", "ln_mlp")
    else:
        norms = ("input_layernorm",)
    layout.norms((block + name for name in norms), s.hidden, s.all, bias=True)
    layout.norm("ln_f", s.hidden, bias=True)
    layout.head(s)
    return layout.spec("falcon", s)


def bloom(config: Mapping[str, Any]) -> ArchSpec:
    """GPT-NeoX's names, and a norm after the embedding."""
    data = dict(config)
    data["hidden_size"] = data.get("hidden_size", data.get("n_embed"))
    data["n_layer"] = data.get("n_layer", data.get("num_hidden_layers"))
    data["n_head"] = data.get("n_head", data.get("num_attention_heads"))
    s, _ = _dimensions(data, "bloom", "n_layer", "hidden_size", "n_head", True)
    s = s._replace(inner=4 * s.hidden)
    layout, block = Layout("transformer."), "h.{i}."
    layout.embedding("word_embeddings", s.vocab, s.hidden)
    layout.norm("word_embeddings_layernorm", s.hidden, bias=True)
    layout.norms((f"{block}input_layernorm", f"{block}post_attention_layernorm"), s.hidden, s.all, bias=True)
    layout.linear(f"{block}self_attention.query_key_value", s.hidden, 3 * s.hidden, "qkv", layers=s.all, bias=True)
    layout.linear(f"{block}self_attention.dense", s.hidden, s.hidden, "o", layers=s.all, bias=True)
    _mlp(layout, f"{block}mlp.dense_h_to_4h", f"{block}mlp.dense_4h_to_h", s, True)
    layout.norm("ln_f", s.hidden, bias=True)
    layout.head(s)
    return layout.spec("bloom", s)


def mpt(config: Mapping[str, Any]) -> ArchSpec:
    """No biases; LayerNorms without bias."""
    s, facts = _dimensions(config, "mpt", "n_layers", "d_model", "n_heads", True)
    s = s._replace(inner=facts.size("expansion_ratio") * s.hidden, max_positions=positions(facts, "max_seq_len"))
    layout, block = Layout("transformer."), "blocks.{i}."
    layout.embedding("wte", s.vocab, s.hidden)
    layout.norms((f"{block}norm_1", f"{block}norm_2"), s.hidden, s.all)
    layout.linear(f"{block}attn.Wqkv", s.hidden, 3 * s.hidden, "qkv", layers=s.all)
    layout.linear(f"{block}attn.out_proj", s.hidden, s.hidden, "o", layers=s.all)
    # Hugging Face's class has a fixed inner width (modeling_mpt.py MptMLP: 4 * hidden).
    layout.linear(f"{block}ffn.up_proj", s.hidden, 4 * s.hidden, "fc1", "mlp", s.all)
    layout.linear(f"{block}ffn.down_proj", 4 * s.hidden, s.hidden, "fc2", "mlp", s.all)
    layout.norm("norm_f", s.hidden)
    layout.head(s)
    return layout.spec("mpt", s)


def opt(config: Mapping[str, Any]) -> ArchSpec:
    """Learned positions with an offset of two; the 350M model embeds in half its width and norms last."""
    s, facts = _dimensions(config, "opt", "num_hidden_layers", "hidden_size", "num_attention_heads", True)
    longest = facts.size("max_position_embeddings")
    s = s._replace(inner=facts.size("ffn_dim"), max_positions=longest)
    layout, block, bias = Layout("model.decoder."), "layers.{i}.", facts.flag("enable_bias")
    embedded = facts.size("word_embed_proj_dim", s.hidden)
    layout.embedding("embed_tokens", s.vocab, embedded)
    layout.embedding("embed_positions", longest + 2, s.hidden, role="")
    if embedded != s.hidden:
        layout.linear("project_out", s.hidden, embedded, part="other")
        layout.linear("project_in", embedded, s.hidden, part="other")
    affine = facts.flag("layer_norm_elementwise_affine")
    if facts.flag("do_layer_norm_before") and not facts.flag("_remove_final_layer_norm") and affine:
        layout.norm("final_layer_norm", s.hidden, bias=True)
    layout.attention(f"{block}self_attn.", s, s.all, qkv_bias=bias, out_bias=bias, out="out_proj")
    if affine:
        layout.norms((f"{block}self_attn_layer_norm", f"{block}final_layer_norm"), s.hidden, s.all, bias=True)
    _mlp(layout, f"{block}fc1", f"{block}fc2", s, bias)
    layout.modules.append(layout.modules[0]._replace(
        name="lm_head", kind="Linear", shape=(embedded, s.vocab), part="head", role="head"))  # fmt: skip
    return layout.spec("opt", s)


def _dimensions(
    config: Mapping[str, Any], model_type: str, layers: str, hidden: str, heads: str, tied: bool
) -> tuple[Sizes, Facts]:
    """Dimensions under a family's own names; some checkpoints have the usual names instead."""
    usual = {layers: "num_hidden_layers", hidden: "hidden_size", heads: "num_attention_heads"}
    data = {**config, **{own: config[name] for own, name in usual.items() if own not in config and name in config}}
    facts = Facts(data, _DEFAULTS[model_type])
    width, count = facts.size(hidden), facts.size(heads, most=1 << 16)
    if width % count:
        raise BadConfig(f"{hidden} {width} is no multiple of {heads} {count}")
    return Sizes(
        layers=facts.size(layers, most=MAX_LAYERS),
        hidden=width,
        inner=4 * width,
        heads=count,
        kv_heads=count,
        head_dim=width // count,
        vocab=facts.size("vocab_size"),
        tied=facts.flag("tie_word_embeddings", tied),
        max_positions=positions(facts),
        rope_scaling=scaled(facts),
    ), facts


def _mlp(layout: Layout, first: str, second: str, s: Sizes, bias: bool) -> None:
    layout.linear(first, s.hidden, s.inner, "fc1", "mlp", s.all, bias)
    layout.linear(second, s.inner, s.hidden, "fc2", "mlp", s.all, bias)
