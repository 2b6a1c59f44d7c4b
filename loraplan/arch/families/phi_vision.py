"""Phi-3-vision and Phi-3.5-vision: a CLIP tower before a Phi-3 decoder; their code comes with their weights.

Sources: microsoft/Phi-3-vision-128k-instruct `modeling_phi3_v.py` and `image_embedding_phi3_v.py`, as copied in
Aritra02091998/Phi-3-vision-128k-instruct-Improvised-for-QLORA-Training @ 31ce181e; CLIP as in transformers 4.57.1
`models/clip/modeling_clip.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from loraplan.arch.families.fused import phi3_decoder
from loraplan.arch.families.layout import Facts, Layout, sizes
from loraplan.arch.families.siglip import encoder
from loraplan.arch.spec import ArchSpec

_DEFAULTS: dict[str, Any] = {
    "vocab_size": 32064, "hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 32,
    "num_attention_heads": 32,
}  # fmt: skip
# The tower is fixed in the code: CLIP ViT-L/14 at 336 pixels.
_WIDTH, _INNER, _LAYERS, _PATCH, _PLACES = 1024, 4096, 24, 14, (336 // 14) ** 2 + 1


def phi3_v(config: Mapping[str, Any]) -> ArchSpec:
    """The text model has Phi-3's fused names; the seven names of Llama match in the tower only."""
    facts = Facts(config, _DEFAULTS)
    s, layout = sizes(facts), Layout()
    layout.embedding("embed_tokens", s.vocab, s.hidden)
    layout.prefix = "model.vision_embed_tokens."
    merged = 4 * _WIDTH
    layout.parameter("glb_GN", (1, 1, merged), "projector")
    layout.parameter("sub_GN", (1, 1, 1, merged), "projector")
    layout.linear("img_projection.0", merged, s.hidden, part="projector", bias=True)
    layout.linear("img_projection.2", s.hidden, s.hidden, part="projector", bias=True)
    layout.prefix += "img_processor.vision_model."
    layout.parameter("embeddings.class_embedding", (_WIDTH,), "vision")
    layout.add("embeddings.patch_embedding", "Conv2d", (_WIDTH, 3, _PATCH, _PATCH), part="vision")
    layout.embedding("embeddings.position_embedding", _PLACES, _WIDTH, "vision", "")
    layout.norm("pre_layrnorm", _WIDTH, bias=True)
    encoder(layout, "encoder.layers.{i}.", _WIDTH, _INNER, tuple(range(_LAYERS)))
    layout.norm("post_layernorm", _WIDTH, bias=True)
    layout.prefix = "model."
    phi3_decoder(layout, s)
    layout.head(s)
    return layout.spec("phi3_v", s, multimodal=True)
