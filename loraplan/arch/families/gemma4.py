"""Gemma 4: text, mixture of experts, with vision and audio towers, and the unified model without towers.

Source: transformers 5.23.0 models/gemma4 and models/gemma4_unified (configuration and modeling).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from loraplan.arch.families.layout import MAX_EXPERTS, MAX_LAYERS, BadConfig, Facts, Layout, Sizes, sizes
from loraplan.arch.spec import ArchSpec, Part, Role

_TEXT: dict[str, Any] = {
    "vocab_size": 262144, "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 30,
    "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "tie_word_embeddings": True,
    "global_head_dim": 512,
}  # fmt: skip
_PER_LAYER_INPUT = {"hidden_size_per_layer_input": 256, "vocab_size_per_layer_input": 262144}
_VISION = {
    "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 16, "num_attention_heads": 12,
    "num_key_value_heads": 12, "head_dim": 64, "patch_size": 16, "position_embedding_size": 10240,
}  # fmt: skip
_AUDIO = {
    "hidden_size": 1024, "num_hidden_layers": 12, "num_attention_heads": 8, "conv_kernel_size": 5,
    "output_proj_dims": 1536,
}  # fmt: skip
_UNIFIED_VISION = {
    "patch_size": 16, "pooling_kernel_size": 3, "mm_embed_dim": 3840, "mm_posemb_size": 1120, "output_proj_dims": 3840,
}  # fmt: skip
_FOUR_NORMS = (
    "input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm",
)  # fmt: skip
_EXPERT_NORMS = ("post_feedforward_layernorm_1", "post_feedforward_layernorm_2", "pre_feedforward_layernorm_2")
_ATTENTION: tuple[tuple[str, Role], ...] = (("q_proj", "q"), ("k_proj", "k"), ("v_proj", "v"))
_GATED: tuple[tuple[str, Role], ...] = (("gate_proj", "gate"), ("up_proj", "up"))


class _Block(NamedTuple):
    """What the attention of a layer looks like; layers that are alike share module patterns."""

    head_dim: int
    kv_heads: int
    has_kv: bool
    has_v: bool


def gemma4_text(config: Mapping[str, Any]) -> ArchSpec:
    """The language model alone."""
    model_type = str(config.get("model_type"))
    unified = model_type == "gemma4_unified_text"
    facts = Facts(config, _TEXT if unified else {**_TEXT, **_PER_LAYER_INPUT})
    s, layout = sizes(facts), Layout()
    experts = _text(layout, facts, s)
    layout.head(s)
    return layout.spec(model_type, s, **experts)


def gemma4(config: Mapping[str, Any]) -> ArchSpec:
    """With a vision and an audio tower, each where its configuration is given."""
    whole = Facts(config)
    layout = Layout("model.")
    facts = whole.part("text_config", {**_TEXT, **_PER_LAYER_INPUT})
    s = sizes(facts, tied=whole.flag("tie_word_embeddings", True))
    if whole.data.get("vision_config") is not None:
        _vision(layout, whole.part("vision_config", _VISION), s.hidden)
    if whole.data.get("audio_config") is not None:
        _audio(layout, whole.part("audio_config", _AUDIO), s.hidden)
    layout.prefix = "model.language_model."
    experts = _text(layout, facts, s)
    layout.head(s)
    sees = any(whole.data.get(key) is not None for key in ("vision_config", "audio_config"))
    return layout.spec("gemma4", s, multimodal=sees, **experts)


def gemma4_unified(config: Mapping[str, Any]) -> ArchSpec:
    """Image patches and sound frames are projected straight into the language model."""
    whole = Facts(config)
    layout = Layout("model.")
    facts = whole.part("text_config", _TEXT)
    s = sizes(facts, tied=whole.flag("tie_word_embeddings", True))
    if whole.data.get("vision_config") is not None:
        vision = whole.part("vision_config", _UNIFIED_VISION)
        width, positions = vision.size("mm_embed_dim"), vision.size("mm_posemb_size")
        pixels = 3 * (vision.size("patch_size", most=4096) * vision.size("pooling_kernel_size", most=4096)) ** 2
        layout.norm("embed_vision.patch_ln1", pixels, bias=True)
        layout.linear("embed_vision.patch_dense", pixels, width, "", "vision", bias=True)
        for name in ("patch_ln2", "pos_norm"):
            layout.norm(f"embed_vision.{name}", width, bias=True)
        layout.parameter("embed_vision.pos_embedding", (positions, 2, width), "vision")
        projection = "embed_vision.multimodal_embedder.embedding_projection"
        layout.linear(projection, vision.size("output_proj_dims"), s.hidden, "", "projector")
    if whole.data.get("audio_config") is not None:
        frame = whole.part("audio_config", {"audio_embed_dim": 640}).size("audio_embed_dim")
        layout.linear("embed_audio.embedding_projection", frame, s.hidden, "", "projector")
    layout.prefix = "model.language_model."
    _text(layout, facts, s)
    layout.head(s)
    return layout.spec("gemma4_unified", s, multimodal=True)


def _text(layout: Layout, facts: Facts, s: Sizes) -> dict[str, Any]:
    """Embedding, blocks and final norm under the layout's prefix; returns the facts of the experts, if any."""
    layout.embedding("embed_tokens", s.vocab, s.hidden)
    shared = facts.count("num_kv_shared_layers", most=MAX_LAYERS)
    groups: dict[_Block, list[int]] = {}
    for layer, block in enumerate(_blocks(facts, s, shared)):
        groups.setdefault(block, []).append(layer)
    bias, attention = facts.flag("attention_bias"), "layers.{i}.self_attn."
    for block, members in groups.items():
        layers = tuple(members)
        layout.linear(f"{attention}q_proj", s.hidden, s.heads * block.head_dim, "q", layers=layers, bias=bias)
        layout.norm(f"{attention}q_norm", block.head_dim, layers)
        if block.has_kv:
            width = block.kv_heads * block.head_dim
            layout.norm(f"{attention}k_norm", block.head_dim, layers)
            layout.linear(f"{attention}k_proj", s.hidden, width, "k", layers=layers, bias=bias)
            if block.has_v:
                layout.linear(f"{attention}v_proj", s.hidden, width, "v", layers=layers, bias=bias)
        layout.linear(f"{attention}o_proj", s.heads * block.head_dim, s.hidden, "o", layers=layers, bias=bias)
    wide = s.all[len(s.all) - shared :] if shared and facts.flag("use_double_wide_mlp") else ()
    layout.gated_mlp("layers.{i}.mlp.", s.hidden, s.inner, s.all[: len(s.all) - len(wide)])
    layout.gated_mlp("layers.{i}.mlp.", s.hidden, 2 * s.inner, wide)
    layout.norms((f"layers.{{i}}.{name}" for name in _FOUR_NORMS), s.hidden, s.all)
    per_layer = facts.count("hidden_size_per_layer_input")
    if per_layer:
        packed = s.layers * per_layer
        layout.embedding("embed_tokens_per_layer", facts.size("vocab_size_per_layer_input"), packed, role="")
        layout.linear("per_layer_model_projection", s.hidden, packed, "", "other")
        layout.norm("per_layer_projection_norm", per_layer)
        layout.linear("layers.{i}.per_layer_input_gate", s.hidden, per_layer, "", "other", s.all)
        layout.linear("layers.{i}.per_layer_projection", per_layer, s.hidden, "", "other", s.all)
        layout.norm("layers.{i}.post_per_layer_input_norm", s.hidden, s.all)
    layout.norm("norm", s.hidden)
    if not facts.flag("enable_moe_block"):
        return {}
    count, inner = facts.size("num_experts", most=MAX_EXPERTS), facts.size("moe_intermediate_size")
    layout.norms((f"layers.{{i}}.{name}" for name in _EXPERT_NORMS), s.hidden, s.all)
    layout.router("layers.{i}.router.proj", s.hidden, count, s.all, kind="Linear")
    layout.parameter("layers.{i}.router.scale", (s.hidden,), "router", s.all)
    layout.parameter("layers.{i}.router.per_expert_scale", (count,), "router", s.all)
    layout.experts("layers.{i}.experts.", count, s.hidden, inner, s.all)
    used = facts.count("top_k_experts", most=MAX_EXPERTS)
    return {"num_experts": count, "experts_per_token": used, "fused_experts": True}


def _blocks(facts: Facts, s: Sizes, shared: int) -> list[_Block]:
    """Layers of full attention have wider heads; the last `shared` layers reuse keys and values of earlier ones."""
    if shared >= s.layers:
        raise BadConfig(f"num_kv_shared_layers is {shared}, with {s.layers} layers")
    if facts.data.get("per_layer_config") is not None:
        raise BadConfig("per_layer_config is not understood")
    given = facts.layer_types(s.layers)
    kinds = list(given or ("full_attention" if i % 6 == 5 else "sliding_attention" for i in s.all))
    kinds[-1] = "full_attention"
    same = facts.flag("attention_k_eq_v")
    wide = facts.size("global_head_dim", most=1 << 16)
    wide_kv = facts.size("num_global_key_value_heads", s.kv_heads, most=1 << 16) if same else s.kv_heads
    blocks = []
    for layer, kind in enumerate(kinds):
        has_kv = layer < s.layers - shared
        if kind == "full_attention":
            blocks.append(_Block(wide, wide_kv, has_kv, has_kv and not same))
        else:
            sliding = kind == "sliding_attention"
            blocks.append(_Block(s.head_dim, s.kv_heads, has_kv, has_kv and (sliding or not same)))
    return blocks


def _clipped(
    layout: Layout, name: str, rows: int, columns: int, role: Role, part: Part, layers: tuple[int, ...]
) -> None:
    """A linear layer inside a module that clips its values."""
    layout.linear(f"{name}.linear", rows, columns, role, part, layers)


def _vision(layout: Layout, facts: Facts, hidden: int) -> None:
    s = sizes(Facts({**facts.data, "vocab_size": 1}, facts.defaults))
    patch, places = facts.size("patch_size", most=4096), facts.size("position_embedding_size")
    layout.linear("vision_tower.patch_embedder.input_proj", 3 * patch**2, s.hidden, "", "vision")
    layout.parameter("vision_tower.patch_embedder.position_embedding_table", (2, places, s.hidden), "vision")
    block = "vision_tower.encoder.layers.{i}."
    for name, role in _ATTENTION:
        heads = s.heads if role == "q" else s.kv_heads
        _clipped(layout, f"{block}self_attn.{name}", s.hidden, heads * s.head_dim, role, "vision", s.all)
    _clipped(layout, f"{block}self_attn.o_proj", s.heads * s.head_dim, s.hidden, "o", "vision", s.all)
    layout.norms((f"{block}self_attn.q_norm", f"{block}self_attn.k_norm"), s.head_dim, s.all)
    for name, role in _GATED:
        _clipped(layout, f"{block}mlp.{name}", s.hidden, s.inner, role, "vision", s.all)
    _clipped(layout, f"{block}mlp.down_proj", s.inner, s.hidden, "down", "vision", s.all)
    layout.norms((block + name for name in _FOUR_NORMS), s.hidden, s.all)
    layout.linear("embed_vision.embedding_projection", s.hidden, hidden, "", "projector")


def _audio(layout: Layout, facts: Facts, hidden: int) -> None:
    width, out = facts.size("hidden_size"), facts.size("output_proj_dims")
    heads = facts.size("num_attention_heads", most=1 << 16)
    head_dim = width // heads
    layers = tuple(range(facts.size("num_hidden_layers", most=MAX_LAYERS)))
    channels = facts.whole_numbers("subsampling_conv_channels") or (128, 32)
    if len(channels) != 2 or not all(channels):
        raise BadConfig("subsampling_conv_channels is no pair of widths")
    block, first = "audio_tower.layers.{i}.", "audio_tower.subsample_conv_projection."
    for name, inner, outer in (("layer0", 1, channels[0]), ("layer1", channels[0], channels[1])):
        layout.add(f"{first}{name}.conv", "Conv2d", (outer, inner, 3, 3), part="audio")
        layout.norm(f"{first}{name}.norm", outer)
    layout.linear(f"{first}input_proj_linear", channels[0] // 4 * channels[1], width, "", "audio")
    for half in ("feed_forward1", "feed_forward2"):
        _clipped(layout, f"{block}{half}.ffw_layer_1", width, 4 * width, "fc1", "audio", layers)
        _clipped(layout, f"{block}{half}.ffw_layer_2", 4 * width, width, "fc2", "audio", layers)
        layout.norms((f"{block}{half}.pre_layer_norm", f"{block}{half}.post_layer_norm"), width, layers)
    for name, role in _ATTENTION:
        _clipped(layout, f"{block}self_attn.{name}", width, heads * head_dim, role, "audio", layers)
    _clipped(layout, f"{block}self_attn.post", width, width, "o", "audio", layers)
    layout.linear(f"{block}self_attn.relative_k_proj", width, heads * head_dim, "", "audio", layers)
    layout.parameter(f"{block}self_attn.per_dim_scale", (head_dim,), "audio", layers)
    _clipped(layout, f"{block}lconv1d.linear_start", width, 2 * width, "", "audio", layers)
    _clipped(layout, f"{block}lconv1d.linear_end", width, width, "", "audio", layers)
    kernel = (width, 1, facts.size("conv_kernel_size", most=4096))
    layout.add(f"{block}lconv1d.depthwise_conv1d", "Conv1d", kernel, part="audio", layers=layers)
    names = ("lconv1d.pre_layer_norm", "lconv1d.conv_norm", "norm_pre_attn", "norm_post_attn", "norm_out")
    layout.norms((block + name for name in names), width, layers)
    layout.linear("audio_tower.output_proj", width, out, "", "audio", bias=True)
    layout.linear("embed_audio.embedding_projection", out, hidden, "", "projector")
