"""Gemma 1 to 3, text and vision."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from loraplan.arch.families.layout import Facts, Layout, sizes
from loraplan.arch.families.llama import decoder
from loraplan.arch.families.siglip import siglip
from loraplan.arch.spec import ArchSpec

# Class defaults: transformers 5.23.0 models/gemma*/configuration_gemma*.py.
_DEFAULTS: dict[str, dict[str, Any]] = {
    "gemma": {
        "vocab_size": 256000, "hidden_size": 3072, "intermediate_size": 24576, "num_hidden_layers": 28,
        "num_attention_heads": 16, "num_key_value_heads": 16, "head_dim": 256, "tie_word_embeddings": True,
    },
    "gemma2": {
        "vocab_size": 256000, "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26,
        "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "tie_word_embeddings": True,
    },
    "gemma3_text": {
        "vocab_size": 262208, "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26,
        "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "tie_word_embeddings": True,
    },
}  # fmt: skip
_FOUR_NORMS = (
    "input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm",
)  # fmt: skip


def gemma(config: Mapping[str, Any]) -> ArchSpec:
    """Llama's plan with heads wider than hidden / heads, and tied embeddings."""
    facts = Facts(config, _DEFAULTS["gemma"])
    s, layout = sizes(facts), Layout()
    bias = facts.flag("attention_bias")
    decoder(layout, s, qkv_bias=bias, out_bias=bias)
    layout.head(s)
    return layout.spec("gemma", s)


def gemma2(config: Mapping[str, Any]) -> ArchSpec:
    """Norms before and after both halves of a block; Gemma 3 also norms queries and keys by head."""
    model_type = str(config.get("model_type"))
    facts = Facts(config, _DEFAULTS[model_type])
    s, layout = sizes(facts), Layout()
    bias = facts.flag("attention_bias")
    decoder(layout, s, qkv_bias=bias, out_bias=bias, norms=_FOUR_NORMS, head_norm=model_type == "gemma3_text")
    layout.head(s)
    return layout.spec(model_type, s)


def gemma3(config: Mapping[str, Any]) -> ArchSpec:
    """Gemma 3 with its SigLIP vision tower."""
    whole = Facts(config)
    facts = whole.part("text_config", _DEFAULTS["gemma3_text"])
    s, layout = sizes(facts, tied=whole.flag("tie_word_embeddings", True)), Layout("model.vision_tower.")
    width = siglip(layout, whole.part("vision_config"))
    layout.prefix = "model."
    layout.parameter("multi_modal_projector.mm_input_projection_weight", (width, s.hidden), "projector")
    layout.norm("multi_modal_projector.mm_soft_emb_norm", width)
    layout.prefix = "model.language_model."
    bias = facts.flag("attention_bias")
    decoder(layout, s, qkv_bias=bias, out_bias=bias, norms=_FOUR_NORMS, head_norm=True)
    layout.head(s)
    return layout.spec("gemma3", s, multimodal=True)
