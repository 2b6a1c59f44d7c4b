"""What the trainer finds around it: device, processes, sharding. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Situation:
    """Decides, beside the Plan, whether a field can be honoured."""

    device: Literal["cpu", "cuda"] = "cpu"
    processes: int = 1
    sharding: Literal["none", "fsdp", "deepspeed"] = "none"
    """What the launcher set up through accelerate."""
    eval_data: bool = False
    """The manifest names held-out data, or the Plan splits some off."""
    liger: bool = False
    """liger-kernel is installed."""
