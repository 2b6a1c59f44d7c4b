"""LoRAPlan: check a LoRA or QLoRA fine-tuning config, and its memory, before spending GPU hours on it."""

from typing import Any

__version__ = "0.1.0"
__all__ = ["__version__", "check", "estimate", "read"]


def __getattr__(name: str) -> Any:
    """`read`, `check` and `estimate`, imported on first use."""
    if name in ("read", "check"):
        from loraplan import api

        return getattr(api, name)
    if name == "estimate":
        from loraplan.memory.model import estimate

        return estimate
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
