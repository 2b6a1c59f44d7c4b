"""PEFT's target matching, emulated on an ArchSpec (peft 0.21.2 `tuners/tuners_utils.py`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from loraplan.arch.spec import ArchSpec, Module

if TYPE_CHECKING:
    from loraplan.plan import Adapter


@dataclass(frozen=True, slots=True)
class Matched:
    """What an adapter's targets select. A module stands with the layers that are really adapted."""

    modules: tuple[Module, ...]
    unmatched: tuple[str, ...]
    """Entries of a target list that match nothing."""
    from_default: bool
    """`target_modules` was absent and PEFT's table for the architecture was used."""
    no_default: bool = False
    """`target_modules` is absent and PEFT has no entry for the architecture: it raises."""

    def parameters(self, adapter: Adapter) -> int:
        """LoRA parameters: the sum of r * (in + out), rank pattern respected; DoRA magnitudes included."""
        raise NotImplementedError


def match(adapter: Adapter, arch: ArchSpec) -> Matched:
    """The modules that `get_peft_model` would adapt, with layer and exclusion filters applied."""
    raise NotImplementedError
