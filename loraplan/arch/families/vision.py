"""Models that see: a vision tower, a projector and a language model of a family described elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from loraplan.arch.families.layout import MAX_LAYERS, Facts, Layout, Sizes, sizes
from loraplan.arch.families.llama import decoder
from loraplan.arch.families.moe import experts_of, sparse_layers
from loraplan.arch.families.siglip import encoder
from loraplan.arch.spec import ArchSpec

# Class defaults: transformers 5.23.0 models/*/configuration_*.py.
_TEXT: dict[str, dict[str, Any]] = {
    "qwen2_vl": {
        "vocab_size": 152064, "hidden_size": 8192, "intermediate_size": 29568, "num_hidden_layers": 80,
        "num_attention_heads": 64, "num_key_value_heads": 8,
    },
    "qwen3_vl": {
        "vocab_size": 151936, "hidden_size": 4096, "intermediate_size": 22016, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 32, "head_dim": 128,
    },
    "qwen3_vl_moe": {
        "vocab_size": 151936, "hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 24,
        "num_attention_heads": 16, "num_key_value_heads": 16, "head_dim": 128, "moe_intermediate_size": 1408,
        "num_experts": 60, "num_experts_per_tok": 4, "decoder_sparse_step": 1,
    },
    "mistral3": {
        "vocab_size": 131072, "hidden_size": 5120, "intermediate_size": 32768, "num_hidden_layers": 40,
        "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128,
    },
    "mistral": {
        "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 8,
    },
    "ministral3": {
        "vocab_size": 131072, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 34,
        "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128,
    },
    "paddleocr_vl": {
        "vocab_size": 103424, "hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 18,
        "num_attention_heads": 16, "num_key_value_heads": 2, "head_dim": 128, "tie_word_embeddings": True,
    },
}  # fmt: skip
_VISION: dict[str, dict[str, Any]] = {
    "qwen2_vl": {
        "depth": 32, "embed_dim": 1280, "hidden_size": 3584, "mlp_ratio": 4, "in_channels": 3, "patch_size": 14,
        "spatial_merge_size": 2, "temporal_patch_size": 2,
    },
    "qwen2_5_vl": {
        "depth": 32, "hidden_size": 3584, "intermediate_size": 3420, "out_hidden_size": 3584, "in_channels": 3,
        "patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2,
    },
    "qwen3_vl": {
        "depth": 27, "hidden_size": 1152, "intermediate_size": 4304, "out_hidden_size": 3584, "in_channels": 3,
        "patch_size": 16, "spatial_merge_size": 2, "temporal_patch_size": 2, "num_position_embeddings": 2304,
    },
    "pixtral": {
        "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16,
        "num_channels": 3, "patch_size": 14,
    },
    "paddleocr_vl": {
        "hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "num_attention_heads": 16,
        "num_channels": 3, "image_size": 384, "patch_size": 14, "spatial_merge_size": 2,
    },
}  # fmt: skip


def text_of(config: Mapping[str, Any], defaults: Mapping[str, Any]) -> Facts:
    """The language model's configuration; older checkpoints have its keys at the top level."""
    whole = Facts(config)
    return whole.part("text_config", defaults) if config.get("text_config") else Facts(config, defaults)


def qwen2_vl(config: Mapping[str, Any]) -> ArchSpec:
    """Qwen2-VL, whose tower is LayerNorm and a two-layer MLP, and Qwen2.5-VL, whose is RMSNorm and a gated one."""
    model_type = str(config.get("model_type"))
    whole, layout = Facts(config), Layout("model.visual.")
    facts = text_of(config, _TEXT["qwen2_vl"])
    s = sizes(facts, tied=whole.flag("tie_word_embeddings"))
    vision = whole.part("vision_config", _VISION[model_type])
    if model_type == "qwen2_vl":
        width, out = vision.size("embed_dim"), vision.size("hidden_size")
        _qwen_patches(layout, vision, width, bias=False)
        inner = width * vision.size("mlp_ratio", most=1024)
        blocks = _qwen_blocks(layout, vision, width, norm_bias=True)
        layout.linear("blocks.{i}.mlp.fc1", width, inner, "fc1", "vision", blocks, bias=True)
        layout.linear("blocks.{i}.mlp.fc2", inner, width, "fc2", "vision", blocks, bias=True)
    else:
        width, out = vision.size("hidden_size"), vision.size("out_hidden_size")
        _qwen_patches(layout, vision, width, bias=False)
        blocks = _qwen_blocks(layout, vision, width, norm_bias=False)
        layout.gated_mlp("blocks.{i}.mlp.", width, vision.size("intermediate_size"), blocks, True, "vision")
    merged = width * vision.size("spatial_merge_size", most=64) ** 2
    layout.norm("merger.ln_q", width, bias=model_type == "qwen2_vl")
    layout.linear("merger.mlp.0", merged, merged, part="projector", bias=True)
    layout.linear("merger.mlp.2", merged, out, part="projector", bias=True)
    layout.prefix = "model.language_model."
    decoder(layout, s, qkv_bias=True)
    layout.head(s)
    return layout.spec(model_type, s, multimodal=True)


def qwen3_vl(config: Mapping[str, Any]) -> ArchSpec:
    """Dense or with experts; features of several vision layers are fed into the language model (deepstack)."""
    model_type = str(config.get("model_type"))
    whole, layout = Facts(config), Layout("model.visual.")
    facts = text_of(config, _TEXT[model_type])
    s = sizes(facts, tied=whole.flag("tie_word_embeddings"))
    qwen3_vision(layout, whole.part("vision_config", _VISION["qwen3_vl"]), deepstack=3)
    layout.prefix = "model.language_model."
    bias = facts.flag("attention_bias")
    if model_type == "qwen3_vl":
        decoder(layout, s, qkv_bias=bias, out_bias=bias, head_norm=True)
        layout.head(s)
        return layout.spec(model_type, s, multimodal=True)
    experts = experts_of(facts)
    sparse, dense = sparse_layers(facts, s)
    layout.embedding("embed_tokens", s.vocab, s.hidden)
    layout.attention("layers.{i}.self_attn.", s, s.all, qkv_bias=bias, out_bias=bias)
    layout.norms(("layers.{i}.self_attn.q_norm", "layers.{i}.self_attn.k_norm"), s.head_dim, s.all)
    layout.experts("layers.{i}.mlp.experts.", experts, s.hidden, facts.size("moe_intermediate_size"), sparse)
    layout.router("layers.{i}.mlp.gate", s.hidden, experts, sparse)
    layout.gated_mlp("layers.{i}.mlp.", s.hidden, s.inner, dense)
    layout.norms(("layers.{i}.input_layernorm", "layers.{i}.post_attention_layernorm"), s.hidden, s.all)
    layout.norm("norm", s.hidden)
    layout.head(s)
    active = facts.count("num_experts_per_tok")
    return layout.spec(
        model_type, s, multimodal=True, num_experts=experts, experts_per_token=active, fused_experts=True
    )


def qwen3_vision(layout: Layout, vision: Facts, deepstack: int) -> None:
    """The tower of Qwen3-VL and Qwen3.5 with its merger; `deepstack` is how many layers are tapped by default."""
    width, inner = vision.size("hidden_size"), vision.size("intermediate_size")
    out = vision.size("out_hidden_size")
    _qwen_patches(layout, vision, width, bias=True)
    layout.embedding("pos_embed", vision.size("num_position_embeddings"), width, "vision", "")
    blocks = _qwen_blocks(layout, vision, width, norm_bias=True)
    layout.linear("blocks.{i}.mlp.linear_fc1", width, inner, "fc1", "vision", blocks, bias=True)
    layout.linear("blocks.{i}.mlp.linear_fc2", inner, width, "fc2", "vision", blocks, bias=True)
    merged = width * vision.size("spatial_merge_size", most=64) ** 2
    layout.norm("merger.norm", width, bias=True)
    layout.linear("merger.linear_fc1", merged, merged, part="projector", bias=True)
    layout.linear("merger.linear_fc2", merged, out, part="projector", bias=True)
    tapped = vision.whole_numbers("deepstack_visual_indexes") if deepstack else ()
    taps = tuple(range(deepstack if tapped is None else len(tapped)))
    layout.norm("deepstack_merger_list.{i}.norm", merged, taps, bias=True)
    layout.linear("deepstack_merger_list.{i}.linear_fc1", merged, merged, part="projector", layers=taps, bias=True)
    layout.linear("deepstack_merger_list.{i}.linear_fc2", merged, out, part="projector", layers=taps, bias=True)


def mistral3(config: Mapping[str, Any]) -> ArchSpec:
    """Mistral Small 3.1 and later, Ministral 3: a Pixtral tower before a Mistral decoder."""
    whole = Facts(config)
    kind = whole.part("text_config").text("model_type") or "mistral3"
    facts = whole.part("text_config", _TEXT[kind if kind in _TEXT else "mistral3"])
    s = sizes(facts, tied=whole.flag("tie_word_embeddings", True))
    vision, layout = whole.part("vision_config", _VISION["pixtral"]), Layout("model.vision_tower.")
    width, inner, patch = vision.size("hidden_size"), vision.size("intermediate_size"), vision.size("patch_size")
    heads = vision.size("num_attention_heads")
    inside = heads * vision.size("head_dim", width // heads or None)
    layers = tuple(range(vision.size("num_hidden_layers", most=MAX_LAYERS)))
    layout.add("patch_conv", "Conv2d", (width, vision.size("num_channels"), patch, patch), part="vision")
    layout.norm("ln_pre", width)
    block = "transformer.layers.{i}."
    layout.norms((f"{block}attention_norm", f"{block}ffn_norm"), width, layers)
    layout.gated_mlp(f"{block}feed_forward.", width, inner, layers, part="vision")
    tower = s._replace(hidden=width, heads=1, kv_heads=1, head_dim=inside)
    layout.attention(f"{block}attention.", tower, layers, part="vision")
    layout.prefix = "model.multi_modal_projector."
    merge, bias = whole.size("spatial_merge_size", 2, most=64), whole.flag("multimodal_projector_bias")
    layout.norm("norm", width)
    layout.linear("patch_merger.merging_layer", width * merge**2, width, part="projector")
    layout.linear("linear_1", width, s.hidden, part="projector", bias=bias)
    layout.linear("linear_2", s.hidden, s.hidden, part="projector", bias=bias)
    layout.prefix = "model.language_model."
    decoder(layout, s)
    layout.head(s)
    return layout.spec("mistral3", s, multimodal=True)


def paddleocr_vl(config: Mapping[str, Any]) -> ArchSpec:
    """A SigLIP tower whose patches are merged by fours, before an ERNIE 4.5 decoder."""
    whole, layout = Facts(config), Layout("model.visual.vision_model.")
    facts = text_of(config, _TEXT["paddleocr_vl"])
    # Either flag ties, and the text's is true where the published flat config leaves it out.
    tied = whole.flag("tie_word_embeddings", True) or whole.part("text_config").flag("tie_word_embeddings", True)
    s = sizes(facts, tied=tied)
    vision = whole.part("vision_config", _VISION["paddleocr_vl"])
    width, patch = vision.size("hidden_size"), vision.size("patch_size")
    kernel = (width, vision.size("num_channels"), patch, patch)
    layout.add("embeddings.patch_embedding", "Conv2d", kernel, bias=True, part="vision")
    places = (vision.size("image_size") // patch) ** 2
    layout.embedding("embeddings.position_embedding", places, width, "vision", "")
    layers = tuple(range(vision.size("num_hidden_layers", most=MAX_LAYERS)))
    encoder(layout, "encoder.layers.{i}.", width, vision.size("intermediate_size"), layers)
    layout.norm("post_layernorm", width, bias=True)
    layout.prefix = "model."
    merged = width * vision.size("spatial_merge_size", most=64) ** 2
    layout.norm("projector.pre_norm", width, bias=True)
    layout.linear("projector.linear_1", merged, merged, part="projector", bias=True)
    layout.linear("projector.linear_2", merged, s.hidden, part="projector", bias=True)
    layout.prefix = "model.language_model."
    bias = facts.flag("use_bias")
    decoder(layout, s, qkv_bias=bias, out_bias=bias, mlp_bias=bias)
    layout.head(s)
    return layout.spec("paddleocr_vl", s, multimodal=True)


def _qwen_patches(layout: Layout, vision: Facts, width: int, bias: bool) -> None:
    patch = vision.size("patch_size", most=1024)
    kernel = (width, vision.size("in_channels", most=64), vision.size("temporal_patch_size", most=64), patch, patch)
    layout.add("patch_embed.proj", "Conv3d", kernel, bias=bias, part="vision")


def _qwen_blocks(layout: Layout, vision: Facts, width: int, norm_bias: bool) -> tuple[int, ...]:
    """Norms and attention of the blocks; returns the layers."""
    blocks = tuple(range(vision.size("depth", most=MAX_LAYERS)))
    layout.norms(("blocks.{i}.norm1", "blocks.{i}.norm2"), width, blocks, norm_bias)
    layout.linear("blocks.{i}.attn.qkv", width, 3 * width, "qkv", "vision", blocks, bias=True)
    layout.linear("blocks.{i}.attn.proj", width, width, "o", "vision", blocks, bias=True)
    return blocks


def vision_sizes(s: Sizes, width: int) -> Sizes:
    """The decoder's record with a tower's width and one head over all of it, for square attention."""
    return s._replace(hidden=width, heads=1, kv_heads=1, head_dim=width)
