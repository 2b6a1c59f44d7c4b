"""What the trainer finds around it: device, processes, sharding. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

OPTIONAL = (
    "bitsandbytes", "liger-kernel", "torchao", "schedulefree", "grokadamw", "torch-optimi", "torchdistx",
    "galore-torch", "apollo-torch", "lomo-optim", "deepspeed", "tensorboard", "wandb", "mlflow", "trackio",
)  # fmt: skip
"""Packages that a setting needs and the `train` extra does not have, or that quantized models alone need."""


@dataclass(frozen=True)
class Situation:
    """Decides, beside the Plan, whether a field can be honoured."""

    device: Literal["cpu", "cuda"] = "cpu"
    processes: int = 1
    sharding: Literal["none", "fsdp", "deepspeed"] = "none"
    """What the launcher set up through accelerate."""
    eval_data: bool = False
    """The manifest names held-out data, or the Plan splits some off."""
    absent: frozenset[str] = frozenset()
    """Optional packages that are not installed, by their names on PyPI."""


def absent() -> frozenset[str]:
    """Optional packages that cannot be imported here."""
    modules = {name: name.replace("-", "_") for name in OPTIONAL} | {"torch-optimi": "optimi"}
    return frozenset(name for name, module in modules.items() if find_spec(module) is None)
