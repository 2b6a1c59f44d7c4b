"""Gemma 3n: the language model alone, and with its vision and audio towers.

Sources: transformers 5.23.0 models/gemma3n; the vision tower is the `mobilenetv5_300m_enc` of timm 1.0.31
(models/mobilenetv5.py), of which `config.json` states no size.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from loraplan.arch.families.gemma import _FOUR_NORMS
from loraplan.arch.families.layout import MAX_LAYERS, BadConfig, Facts, Layout, Sizes, sizes
from loraplan.arch.spec import ArchSpec, Role

_TEXT: dict[str, Any] = {
    "vocab_size": 262400, "hidden_size": 2048, "intermediate_size": 16384, "num_hidden_layers": 35,
    "num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 256, "tie_word_embeddings": True,
    "vocab_size_per_layer_input": 262144, "hidden_size_per_layer_input": 256, "altup_num_inputs": 4, "laurel_rank": 64,
    "num_kv_shared_layers": 15,
}  # fmt: skip
_VISION: dict[str, Any] = {"architecture": "mobilenetv5_300m_enc", "hidden_size": 2048, "vocab_size": 128}
_AUDIO: dict[str, Any] = {
    "hidden_size": 1536, "vocab_size": 128, "input_feat_size": 128, "conf_num_attention_heads": 8,
    "conf_num_hidden_layers": 12, "conf_conv_kernel_size": 5,
}  # fmt: skip
_BOTTLENECKS: tuple[tuple[int, int, int, int, int, int, tuple[int, ...]], ...] = (
    (1, 128, 768, 256, 3, 5, (0,)),
    (1, 256, 1024, 256, 5, 0, (1, 3)),
    (1, 256, 1024, 256, 3, 0, (2, 4)),
    (2, 256, 1536, 640, 5, 5, (0,)),
    (2, 640, 2560, 640, 5, 0, tuple(range(1, 8))),
    (2, 640, 640, 640, 0, 0, (8,)),
    (2, 640, 1280, 640, 0, 0, tuple(range(10, 38, 2))),
    (3, 640, 3840, 1280, 5, 5, (0,)),
    (3, 1280, 2560, 1280, 0, 0, tuple(range(2, 40, 2))),
)
"""Stage, width in, expanded and out, kernels of the first and the middle convolution, blocks that are so."""
_ATTENTION = (
    (2, 640, 768, 64, 3, tuple(range(9, 37, 2))),
    (3, 1280, 1536, 96, 0, tuple(range(1, 39, 2))),
)
"""Stage, width, widths of query and key, kernel that thins keys and values, blocks that are so."""


def gemma3n_text(config: Mapping[str, Any]) -> ArchSpec:
    """The language model alone."""
    facts, layout = _text_facts(config), Layout()
    s = sizes(facts)
    _text(layout, facts, s)
    layout.head(s)
    return layout.spec("gemma3n_text", s)


def gemma3n(config: Mapping[str, Any]) -> ArchSpec:
    """With its towers, which it always has."""
    whole, layout = Facts(config), Layout("model.")
    facts = _text_facts(whole.part("text_config").data)
    s = sizes(facts, tied=whole.flag("tie_word_embeddings", True))
    _vision(layout, whole.part("vision_config", _VISION), s.hidden)
    _audio(layout, whole.part("audio_config", _AUDIO), s.hidden)
    layout.prefix = "model.language_model."
    _text(layout, facts, s)
    layout.head(s)
    return layout.spec("gemma3n", s, multimodal=True)


def _text_facts(config: Mapping[str, Any]) -> Facts:
    """The language model's configuration, in which the width of the MLP may stand once for each layer."""
    given = config.get("intermediate_size")
    if isinstance(given, list):
        if not given or any(width != given[0] for width in given):
            raise BadConfig("intermediate_size differs between layers")
        config = {**config, "intermediate_size": given[0]}
    return Facts(config, _TEXT)


def _text(layout: Layout, facts: Facts, s: Sizes) -> None:
    """Several residual streams (AltUp), low-rank residuals (Laurel) and an embedding for every layer."""
    per_layer, rank = facts.size("hidden_size_per_layer_input"), facts.size("laurel_rank")
    streams, packed, block = facts.size("altup_num_inputs", most=64), s.layers * per_layer, "layers.{i}."
    layout.embedding("embed_tokens", s.vocab, s.hidden)
    layout.embedding("embed_tokens_per_layer", facts.size("vocab_size_per_layer_input"), packed, role="")
    layout.linear("per_layer_model_projection", s.hidden, packed, "", "other")
    layout.norm("per_layer_projection_norm", per_layer)
    for stream in range(streams - 1):
        for name in ("altup_projections", "altup_unembed_projections"):
            layout.linear(f"{name}.{stream}", s.hidden, s.hidden, "", "other")
    bias = facts.flag("attention_bias")
    # The last layers reuse keys and values of earlier ones.
    shared = facts.count("num_kv_shared_layers", most=MAX_LAYERS)
    if shared >= s.layers:
        raise BadConfig(f"num_kv_shared_layers is {shared}, with {s.layers} layers")
    own, wide, narrow = s.all[: s.layers - shared], s.heads * s.head_dim, s.kv_heads * s.head_dim
    layout.linear(f"{block}self_attn.q_proj", s.hidden, wide, "q", layers=s.all, bias=bias)
    layout.linear(f"{block}self_attn.k_proj", s.hidden, narrow, "k", layers=own, bias=bias)
    layout.linear(f"{block}self_attn.v_proj", s.hidden, narrow, "v", layers=own, bias=bias)
    layout.linear(f"{block}self_attn.o_proj", wide, s.hidden, "o", layers=s.all, bias=bias)
    layout.norm(f"{block}self_attn.q_norm", s.head_dim, s.all)
    layout.norm(f"{block}self_attn.k_norm", s.head_dim, own)
    layout.gated_mlp(f"{block}mlp.", s.hidden, s.inner, s.all)
    layout.norms((block + name for name in _FOUR_NORMS), s.hidden, s.all)
    layout.linear(f"{block}per_layer_input_gate", s.hidden, per_layer, "", "other", s.all)
    layout.linear(f"{block}per_layer_projection", per_layer, s.hidden, "", "other", s.all)
    layout.linear(f"{block}laurel.linear_left", s.hidden, rank, "", "other", s.all)
    layout.linear(f"{block}laurel.linear_right", rank, s.hidden, "", "other", s.all)
    names = ("post_per_layer_input_norm", "laurel.post_laurel_norm", "altup.router_norm")
    layout.norms((block + name for name in names), s.hidden, s.all)
    layout.parameter(f"{block}altup.correct_output_scale", (s.hidden,), "other", s.all)
    layout.linear(f"{block}altup.correction_coefs", streams, streams, "", "other", s.all)
    layout.linear(f"{block}altup.prediction_coefs", streams, streams**2, "", "other", s.all)
    layout.linear(f"{block}altup.modality_router", s.hidden, streams, "", "other", s.all)
    layout.norm("norm", s.hidden)


def _vision(layout: Layout, facts: Facts, hidden: int) -> None:
    """MobileNetV5: three convolutional blocks, inverted bottlenecks, and these in turn with multi-query attention."""
    if (name := facts.text("architecture")) != "mobilenetv5_300m_enc":
        raise BadConfig(f"the vision tower {name} is not understood")
    tower = "vision_tower.timm_model."
    layout.add(f"{tower}conv_stem.conv", "Conv2d", (64, 3, 3, 3), bias=True, part="vision")
    layout.norm(f"{tower}conv_stem.bn", 64)
    for inner, outer, first in ((64, 128, (0,)), (128, 128, (1, 2))):
        block, wide = f"{tower}blocks.0.{{i}}.", 4 * inner
        layout.add(f"{block}conv_exp", "Conv2d", (wide, inner, 3, 3), part="vision", layers=first)
        layout.norm(f"{block}bn1", wide, first)
        layout.add(f"{block}conv_pwl", "Conv2d", (outer, wide, 1, 1), part="vision", layers=first)
        layout.norm(f"{block}bn2", outer, first)
    for stage, width, expanded, output, start, middle, layers in _BOTTLENECKS:
        block = f"{tower}blocks.{stage}.{{i}}."
        _bottleneck(layout, block, (width, expanded, output), start, middle, layers)
        layout.parameter(f"{block}layer_scale.gamma", (output,), "vision", layers)
    for stage, width, query, key, kernel, layers in _ATTENTION:
        block = f"{tower}blocks.{stage}.{{i}}."
        layout.norm(f"{block}norm", width, layers)
        layout.add(f"{block}attn.query.proj", "Conv2d", (query, width, 1, 1), part="vision", layers=layers)
        for name in ("key", "value"):
            if kernel:
                shape = (width, 1, kernel, kernel)
                layout.add(f"{block}attn.{name}.down_conv", "Conv2d", shape, part="vision", layers=layers)
                layout.norm(f"{block}attn.{name}.norm", width, layers)
            layout.add(f"{block}attn.{name}.proj", "Conv2d", (key, width, 1, 1), part="vision", layers=layers)
        layout.add(f"{block}attn.output.proj", "Conv2d", (width, query, 1, 1), part="vision", layers=layers)
        layout.parameter(f"{block}layer_scale.gamma", (width,), "vision", layers)
    # The last two stages together, 640 and 1280 wide, come out 2048 wide.
    _bottleneck(layout, f"{tower}msfa.ffn.", (1920, 3840, 2048), 0, 0, None)
    layout.norm(f"{tower}msfa.norm", 2048)
    _embedder(layout, "embed_vision.", facts.size("vocab_size"), facts.size("hidden_size"), hidden)


def _bottleneck(
    layout: Layout, block: str, widths: tuple[int, int, int], start: int, middle: int, layers: tuple[int, ...] | None
) -> None:
    """An inverted bottleneck; `start` and `middle` are the kernels of its depthwise convolutions, 0 for none."""
    width, expanded, output = widths
    parts = (
        ("dw_start", (width, 1, start, start), start),
        ("pw_exp", (expanded, width, 1, 1), 1),
        ("dw_mid", (expanded, 1, middle, middle), middle),
        ("pw_proj", (output, expanded, 1, 1), 1),
    )
    for name, shape, there in parts:
        if there:
            layout.add(f"{block}{name}.conv", "Conv2d", shape, part="vision", layers=layers)
            layout.norm(f"{block}{name}.bn", shape[0], layers)


def _audio(layout: Layout, facts: Facts, hidden: int) -> None:
    """Conformer blocks behind two convolutions that halve time and frequency each."""
    for key, usual in (("sscp_conv_kernel_size", [[3, 3], [3, 3]]), ("sscp_conv_stride_size", [[2, 2], [2, 2]])):
        if facts.data.get(key, usual) != usual:
            raise BadConfig(f"{key} is not understood")
    channels = facts.whole_numbers("sscp_conv_channel_size") or (128, 32)
    if len(channels) != 2 or not all(channels):
        raise BadConfig("sscp_conv_channel_size is no pair of widths")
    width, heads = facts.size("hidden_size"), facts.size("conf_num_attention_heads", most=1 << 16)
    layers, head_dim = tuple(range(facts.size("conf_num_hidden_layers", most=MAX_LAYERS))), width // heads
    first, block = "audio_tower.subsample_conv_projection.", "audio_tower.conformer.{i}."
    for name, inner, outer in (("conv_0", 1, channels[0]), ("conv_1", channels[0], channels[1])):
        layout.add(f"{first}{name}.conv", "Conv2d", (outer, inner, 3, 3), part="audio")
        layout.norm(f"{first}{name}.norm", outer)
    bands = -(-facts.size("input_feat_size") // 4)
    layout.linear(f"{first}input_proj_linear", bands * channels[1], width, "", "audio")
    for half in ("ffw_layer_start", "ffw_layer_end"):
        layout.linear(f"{block}{half}.ffw_layer_1", width, 4 * width, "fc1", "audio", layers)
        layout.linear(f"{block}{half}.ffw_layer_2", 4 * width, width, "fc2", "audio", layers)
        layout.norms((f"{block}{half}.pre_layer_norm", f"{block}{half}.post_layer_norm"), width, layers)
    attention: tuple[tuple[str, Role], ...] = (("q_proj", "q"), ("k_proj", "k"), ("v_proj", "v"))
    for name, role in (*attention, ("relative_position_embedding.pos_proj", "")):
        layout.linear(f"{block}attention.attn.{name}", width, heads * head_dim, role, "audio", layers)
    layout.parameter(f"{block}attention.attn.per_dim_scale", (head_dim,), "audio", layers)
    layout.linear(f"{block}attention.post", width, width, "o", "audio", layers)
    layout.linear(f"{block}lconv1d.linear_start", width, 2 * width, "", "audio", layers)
    layout.linear(f"{block}lconv1d.linear_end", width, width, "", "audio", layers)
    kernel = (width, 1, facts.size("conf_conv_kernel_size", most=4096))
    layout.add(f"{block}lconv1d.depthwise_conv1d", "Conv1d", kernel, part="audio", layers=layers)
    names = ("attention.pre_attn_norm", "attention.post_norm", "lconv1d.pre_layer_norm", "lconv1d.conv_norm", "norm")
    layout.norms((block + name for name in names), width, layers)
    _embedder(layout, "embed_audio.", facts.size("vocab_size"), width, hidden)


def _embedder(layout: Layout, block: str, vocab: int, width: int, hidden: int) -> None:
    """What brings a tower's output, and tokens of its own, into the language model."""
    layout.embedding(f"{block}embedding", vocab, width, "projector", "")
    for name in ("hard_embedding_norm", "soft_embedding_norm"):
        layout.norm(block + name, width)
    layout.linear(f"{block}embedding_projection", width, hidden, "", "projector")
