"""The SigLIP vision tower (transformers 5.23.0 models/siglip/modeling_siglip.py)."""

from __future__ import annotations

from loraplan.arch.families.layout import MAX_LAYERS, Facts, Layout

_DEFAULTS = {
    "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12,
    "num_channels": 3, "image_size": 224, "patch_size": 16, "vision_use_head": True,
}  # fmt: skip


def siglip(layout: Layout, given: Facts) -> int:
    """Add the tower under the layout's prefix; returns its width."""
    facts = Facts(given.data, _DEFAULTS)
    width, inner = facts.size("hidden_size"), facts.size("intermediate_size")
    patch, image = facts.size("patch_size"), facts.size("image_size")
    layers = tuple(range(facts.size("num_hidden_layers", most=MAX_LAYERS)))
    kernel = (width, facts.size("num_channels"), patch, patch)
    layout.add("embeddings.patch_embedding", "Conv2d", kernel, bias=True, part="vision")
    layout.embedding("embeddings.position_embedding", (image // patch) ** 2, width, "vision", "")
    encoder(layout, "encoder.layers.{i}.", width, inner, layers)
    layout.norm("post_layernorm", width, bias=True)
    if facts.flag("vision_use_head"):
        pooling_head(layout, width, inner)
    return width


def encoder(layout: Layout, block: str, width: int, inner: int, layers: tuple[int, ...]) -> None:
    """Blocks of attention and a two-layer MLP, biases everywhere."""
    layout.norms((f"{block}layer_norm1", f"{block}layer_norm2"), width, layers, bias=True)
    for name, role in (("q_proj", "q"), ("k_proj", "k"), ("v_proj", "v"), ("out_proj", "o")):
        layout.linear(f"{block}self_attn.{name}", width, width, role, "vision", layers, bias=True)  # type: ignore[arg-type]
    layout.linear(f"{block}mlp.fc1", width, inner, "fc1", "vision", layers, bias=True)
    layout.linear(f"{block}mlp.fc2", inner, width, "fc2", "vision", layers, bias=True)


def pooling_head(layout: Layout, width: int, inner: int) -> None:
    """Attention pooling of the patches; its attention is torch's own class, whose weights are bare parameters."""
    layout.parameter("head.probe", (1, 1, width), "vision")
    layout.parameter("head.attention.in_proj_weight", (3 * width, width), "vision")
    layout.parameter("head.attention.in_proj_bias", (3 * width,), "vision")
    layout.linear("head.attention.out_proj", width, width, "o", "vision", bias=True)
    layout.norm("head.layernorm", width, bias=True)
    layout.linear("head.mlp.fc1", width, inner, "fc1", "vision", bias=True)
    layout.linear("head.mlp.fc2", inner, width, "fc2", "vision", bias=True)
