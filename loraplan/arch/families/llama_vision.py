"""Llama 3.2 Vision and Llama 4."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from loraplan.arch.families.layout import MAX_LAYERS, Facts, Layout, Sizes, sizes
from loraplan.arch.families.moe import experts_of
from loraplan.arch.families.vision import vision_sizes
from loraplan.arch.spec import ArchSpec, Role

# Class defaults: transformers 5.23.0 models/{mllama,llama4}/configuration_*.py.
_MLLAMA_TEXT = {
    "vocab_size": 128256, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 40,
    "num_attention_heads": 32, "num_key_value_heads": 8, "cross_attention_layers": [3, 8, 13, 18, 23, 28, 33, 38],
}  # fmt: skip
_MLLAMA_VISION = {
    "hidden_size": 1280, "num_hidden_layers": 32, "num_global_layers": 8, "num_channels": 3, "intermediate_size": 5120,
    "vision_output_dim": 7680, "image_size": 448, "patch_size": 14, "max_num_tiles": 4,
}  # fmt: skip
_LLAMA4_TEXT = {
    "vocab_size": 202048, "hidden_size": 5120, "intermediate_size": 8192, "intermediate_size_mlp": 16384,
    "num_hidden_layers": 48, "num_attention_heads": 40, "num_key_value_heads": 8, "head_dim": 128,
    "num_experts_per_tok": 1, "num_local_experts": 16, "interleave_moe_layer_step": 1,
}  # fmt: skip
_LLAMA4_VISION = {
    "hidden_size": 768, "num_hidden_layers": 34, "num_channels": 3, "intermediate_size": 5632,
    "vision_output_dim": 7680, "image_size": 448, "patch_size": 14, "projector_input_dim": 4096,
    "projector_output_dim": 4096,
}  # fmt: skip
_NORMS = ("layers.{i}.input_layernorm", "layers.{i}.post_attention_layernorm")


def mllama(config: Mapping[str, Any]) -> ArchSpec:
    """Llama 3.2 Vision: some layers attend to the image instead of the text."""
    whole = Facts(config)
    facts = whole.part("text_config", _MLLAMA_TEXT)
    # The embedding has eight rows more than the output head, so nothing is tied.
    s, layout = sizes(facts, tied=False), Layout("model.vision_model.")
    vision = whole.part("vision_config", _MLLAMA_VISION)
    _mllama_vision(layout, vision, s)
    layout.prefix = "model."
    layout.linear("multi_modal_projector", vision.size("vision_output_dim"), s.hidden, part="projector", bias=True)
    layout.prefix = "model.language_model."
    crossing = {layer for layer in facts.whole_numbers("cross_attention_layers") or () if layer < s.layers}
    cross, plain = tuple(sorted(crossing)), tuple(layer for layer in s.all if layer not in crossing)
    layout.embedding("embed_tokens", s.vocab + 8, s.hidden)
    layout.attention("layers.{i}.self_attn.", s, plain)
    layout.attention("layers.{i}.cross_attn.", s, cross)
    layout.norms(("layers.{i}.cross_attn.q_norm", "layers.{i}.cross_attn.k_norm"), s.head_dim, cross)
    for gate in ("cross_attn_attn_gate", "cross_attn_mlp_gate"):
        layout.parameter(f"layers.{{i}}.{gate}", (1,), "attention", cross)
    layout.gated_mlp("layers.{i}.mlp.", s.hidden, s.inner, s.all)
    layout.norms(_NORMS, s.hidden, s.all)
    layout.norm("norm", s.hidden)
    layout.head(s)
    return layout.spec("mllama", s, multimodal=True)


def _mllama_vision(layout: Layout, vision: Facts, s: Sizes) -> None:
    width, inner, patch = vision.size("hidden_size"), vision.size("intermediate_size"), vision.size("patch_size")
    tiles = vision.size("max_num_tiles", most=64)
    ratios = vision.get("supported_aspect_ratios")
    kinds = (len(ratios) if isinstance(ratios, list) and ratios else 8) + 1
    places = (vision.size("image_size") // patch) ** 2 + 1
    layout.parameter("class_embedding", (width,), "vision")
    kernel = (width, vision.size("num_channels"), patch, patch)
    layout.add("patch_embedding", "Conv2d", kernel, part="vision")
    layout.parameter("gated_positional_embedding.gate", (1,), "vision")
    layout.parameter("gated_positional_embedding.embedding", (places, width), "vision")
    layout.embedding("gated_positional_embedding.tile_embedding", kinds, tiles * places * width, "vision", "")
    for name in ("pre_tile_positional_embedding", "post_tile_positional_embedding"):
        layout.parameter(f"{name}.gate", (1,), "vision")
        layout.embedding(f"{name}.embedding", kinds, tiles * width, "vision", "")
    layout.norm("layernorm_pre", width, bias=True)
    layout.norm("layernorm_post", width, bias=True)
    for name, key in (("transformer", "num_hidden_layers"), ("global_transformer", "num_global_layers")):
        layers, block = tuple(range(vision.size(key, most=MAX_LAYERS))), f"{name}.layers.{{i}}."
        if name == "global_transformer":
            layout.parameter(f"{block}gate_attn", (1,), "vision", layers)
            layout.parameter(f"{block}gate_ffn", (1,), "vision", layers)
        layout.attention(f"{block}self_attn.", vision_sizes(s, width), layers, part="vision")
        layout.linear(f"{block}mlp.fc1", width, inner, "fc1", "vision", layers, bias=True)
        layout.linear(f"{block}mlp.fc2", inner, width, "fc2", "vision", layers, bias=True)
        layout.norms((f"{block}input_layernorm", f"{block}post_attention_layernorm"), width, layers, bias=True)


def llama4(config: Mapping[str, Any]) -> ArchSpec:
    """Scout has experts in every layer, Maverick in every second; the router is a subclass of Linear."""
    whole = Facts(config)
    facts = whole.part("text_config", _LLAMA4_TEXT)
    s, layout = sizes(facts, tied=whole.flag("tie_word_embeddings")), Layout("")
    vision = whole.part("vision_config", _LLAMA4_VISION)
    _llama4_vision(layout, vision, s)
    layout.linear("multi_modal_projector.linear_1", vision.size("vision_output_dim"), s.hidden, part="projector")
    layout.prefix = "language_model.model."
    experts, bias = experts_of(facts), facts.flag("attention_bias")
    step = facts.size("interleave_moe_layer_step")
    listed = facts.whole_numbers("moe_layers")
    sparse = tuple(layer for layer in s.all if (layer in listed if listed is not None else (layer + 1) % step == 0))
    dense = tuple(layer for layer in s.all if layer not in set(sparse))
    layout.embedding("embed_tokens", s.vocab, s.hidden)
    layout.attention("layers.{i}.self_attn.", s, s.all, qkv_bias=bias, out_bias=bias)
    block = "layers.{i}.feed_forward."
    linear = whole.flag("linearized_experts")
    if linear:
        _linear_experts(layout, f"{block}experts.", experts, s, sparse)
    else:
        layout.experts(f"{block}experts.", experts, s.hidden, s.inner, sparse, transposed=True)
    layout.router(f"{block}router", s.hidden, experts, sparse, kind="Linear")
    layout.gated_mlp(f"{block}shared_expert.", s.hidden, s.inner, sparse, part="shared_expert")
    layout.gated_mlp(block, s.hidden, facts.size("intermediate_size_mlp"), dense)
    layout.norms(_NORMS, s.hidden, s.all)
    layout.norm("norm", s.hidden)
    layout.head(s, "language_model.lm_head")
    active = facts.count("num_experts_per_tok")
    return layout.spec(
        "llama4", s, multimodal=True, num_experts=experts, experts_per_token=active, fused_experts=not linear
    )


def _linear_experts(layout: Layout, block: str, experts: int, s: Sizes, layers: tuple[int, ...]) -> None:
    """One linear layer an expert, as axolotl 0.19.0 loads its linearized checkpoints.

    Source: axolotl/monkeypatch/models/llama4/modeling.py; `linearized_experts` is this catalogue's key for them.
    """
    into: tuple[tuple[str, Role], ...] = (("gate_projs", "gate"), ("up_projs", "up"))
    for name, role in into:
        layout.add(
            f"{block}{name}.{{e}}", "Linear", (s.hidden, s.inner), part="expert", role=role, layers=layers,
            experts=experts,
        )  # fmt: skip
    layout.add(
        f"{block}down_projs.{{e}}", "Linear", (s.inner, s.hidden), part="expert", role="down", layers=layers,
        experts=experts,
    )  # fmt: skip


def _llama4_vision(layout: Layout, vision: Facts, s: Sizes) -> None:
    layout.prefix = "vision_model."
    width, inner, patch = vision.size("hidden_size"), vision.size("intermediate_size"), vision.size("patch_size")
    layers, block = tuple(range(vision.size("num_hidden_layers", most=MAX_LAYERS))), "model.layers.{i}."
    layout.parameter("class_embedding", (width,), "vision")
    layout.parameter("positional_embedding_vlm", ((vision.size("image_size") // patch) ** 2 + 1, width), "vision")
    layout.linear("patch_embedding.linear", vision.size("num_channels") * patch**2, width, part="vision")
    layout.norm("layernorm_pre", width, bias=True)
    layout.norm("layernorm_post", width, bias=True)
    tower = vision_sizes(s, width)
    layout.attention(f"{block}self_attn.", tower, layers, qkv_bias=True, out_bias=True, part="vision")
    layout.linear(f"{block}mlp.fc1", width, inner, "fc1", "vision", layers, bias=True)
    layout.linear(f"{block}mlp.fc2", inner, width, "fc2", "vision", layers, bias=True)
    layout.norms((f"{block}input_layernorm", f"{block}post_attention_layernorm"), width, layers, bias=True)
    through, out = vision.size("projector_input_dim"), vision.size("projector_output_dim")
    layout.linear("vision_adapter.mlp.fc1", inner, through, part="projector")
    layout.linear("vision_adapter.mlp.fc2", out, out, part="projector")
    layout.prefix = ""
