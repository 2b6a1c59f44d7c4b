"""LoRAPlan: check a LoRA or QLoRA fine-tuning config before spending GPU hours on it."""

from typing import Any

__version__ = "0.1.0"
__all__ = ["__version__", "check", "read"]


def __getattr__(name: str) -> Any:
    """`read` and `check`, imported on first use."""
    if name in ("read", "check"):
        from loraplan import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
