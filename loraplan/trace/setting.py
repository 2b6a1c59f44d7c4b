"""What a traced step depends on, besides the model's own config."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Checkpointing = Literal["off", "reentrant", "non-reentrant"]
Loss = Literal["unfused", "chunked"]
Attention = Literal["sdpa", "eager"]
Float = Literal["float32", "bfloat16", "float16"]


@dataclass(frozen=True, slots=True)
class Setting:
    """One training step of transformers + PEFT (+ bitsandbytes), on one GPU."""

    batch: int = 1
    sequence: int = 1024
    rank: int = 16
    alpha: int = 16
    dropout: float = 0.0
    targets: str | tuple[str, ...] = "all-linear"
    dora: bool = False
    rslora: bool = False
    adapter: Float = "float32"
    """Of the adapter's weights; PEFT makes them float32 unless `autocast_adapter_dtype=False`."""
    base: Float = "bfloat16"
    nf4: bool = False
    double_quantized: bool = True
    upcast: bool = False
    """`prepare_model_for_kbit_training`: what is not quantized becomes float32."""
    autocast: bool = False
    """Trainer's `bf16=True`: the forward runs under `torch.autocast("cuda", torch.bfloat16)`."""
    checkpointing: Checkpointing = "off"
    loss: Loss = "unfused"
    attention: Attention = "sdpa"
    padded: bool = False
    """A batch with padding: attention gets a mask, which rules FlashAttention out under sdpa."""
    cache: bool = True
    """`use_cache` of the forward; models default to true, TRL's trainer passes false."""
    outputs_kept: bool = False
    """The caller holds the model's outputs through the backward; transformers' Trainer drops them."""
    optimizer: Literal["adamw_foreach", "adamw_loop"] = "adamw_foreach"
