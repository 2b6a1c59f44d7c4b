"""GPUs that rules ask about: memory and CUDA compute capability."""

from __future__ import annotations

import re
from typing import NamedTuple

_GIB = 1 << 30
# NVIDIA's tables of compute capability; those before Turing have a page of their own.
_NVIDIA = "https://developer.nvidia.com/cuda-gpus"
_NVIDIA_LEGACY = "https://developer.nvidia.com/cuda-legacy-gpus"
_AMD = "https://www.amd.com/en/products/accelerators/instinct.html"


class Device(NamedTuple):
    """One GPU model. `capability` is None for what is not CUDA."""

    name: str
    memory_bytes: int
    capability: tuple[int, int] | None
    source: str


class UnknownDevice(LookupError):
    """A GPU that the table does not have."""

    def __init__(self, name: str, suggestions: tuple[str, ...]) -> None:
        super().__init__(name)
        self.name = name
        self.suggestions = suggestions

    def __str__(self) -> str:
        close = " or ".join(f"`{name}`" for name in self.suggestions)
        hint = f"did you mean {close}?" if close else f"known: {', '.join(_TABLE)}"
        return f"unknown GPU `{self.name}`; {hint}"


# Name -> nominal memory in GiB, compute capability. Where a card is sold with several memory sizes, each has a name
# and the bare name is the smallest: advice that holds for it holds for the others.
_TABLE: dict[str, tuple[int, tuple[int, int] | None]] = {
    "p100": (16, (6, 0)),
    "p40": (24, (6, 1)),
    "gtx-1080-ti": (11, (6, 1)),
    "v100": (16, (7, 0)),
    "v100-32gb": (32, (7, 0)),
    "t4": (16, (7, 5)),
    "rtx-2080-ti": (11, (7, 5)),
    "titan-rtx": (24, (7, 5)),
    "rtx-6000": (24, (7, 5)),
    "rtx-8000": (48, (7, 5)),
    "a100": (40, (8, 0)),
    "a100-40gb": (40, (8, 0)),
    "a100-80gb": (80, (8, 0)),
    "a800": (80, (8, 0)),
    "a30": (24, (8, 0)),
    "a2": (16, (8, 6)),
    "a10": (24, (8, 6)),
    "a10g": (24, (8, 6)),
    "a16": (16, (8, 6)),
    "a40": (48, (8, 6)),
    "a6000": (48, (8, 6)),
    "a5000": (24, (8, 6)),
    "a4500": (20, (8, 6)),
    "a4000": (16, (8, 6)),
    "rtx-3060": (12, (8, 6)),
    "rtx-3070": (8, (8, 6)),
    "rtx-3080": (10, (8, 6)),
    "rtx-3080-ti": (12, (8, 6)),
    "rtx-3090": (24, (8, 6)),
    "rtx-3090-ti": (24, (8, 6)),
    "l2": (24, (8, 9)),
    "l4": (24, (8, 9)),
    "l20": (48, (8, 9)),
    "l40": (48, (8, 9)),
    "l40s": (48, (8, 9)),
    "rtx-4060": (8, (8, 9)),
    "rtx-4060-ti": (8, (8, 9)),
    "rtx-4060-ti-16gb": (16, (8, 9)),
    "rtx-4070": (12, (8, 9)),
    "rtx-4070-ti": (12, (8, 9)),
    "rtx-4070-ti-super": (16, (8, 9)),
    "rtx-4080": (16, (8, 9)),
    "rtx-4080-super": (16, (8, 9)),
    "rtx-4090": (24, (8, 9)),
    "rtx-4000-ada": (20, (8, 9)),
    "rtx-4500-ada": (24, (8, 9)),
    "rtx-5000-ada": (32, (8, 9)),
    "rtx-6000-ada": (48, (8, 9)),
    "h100": (80, (9, 0)),
    "h100-80gb": (80, (9, 0)),
    "h100-94gb": (94, (9, 0)),
    "h800": (80, (9, 0)),
    "h20": (96, (9, 0)),
    "h200": (141, (9, 0)),
    "gh200": (96, (9, 0)),
    "b100": (192, (10, 0)),
    "b200": (180, (10, 0)),
    "gb200": (186, (10, 0)),
    "b300": (288, (10, 3)),
    "rtx-5060-ti": (8, (12, 0)),
    "rtx-5060-ti-16gb": (16, (12, 0)),
    "rtx-5070": (12, (12, 0)),
    "rtx-5070-ti": (16, (12, 0)),
    "rtx-5080": (16, (12, 0)),
    "rtx-5090": (32, (12, 0)),
    "rtx-pro-6000": (96, (12, 0)),
    "mi100": (32, None),
    "mi210": (64, None),
    "mi250": (128, None),
    "mi250x": (128, None),
    "mi300a": (128, None),
    "mi300x": (192, None),
    "mi325x": (256, None),
    "mi355x": (288, None),
}
# Cards that NVIDIA's tables do not list, and the listed card of the same chip.
_SAME_CHIP = {
    "a800": "A100", "a10g": "A10", "a4500": "A5000", "l2": "L4", "l20": "L40", "h800": "H100", "h20": "H100",
    "b100": "B200",
}  # fmt: skip


def find(name: str) -> Device:
    """The card of a name such as `t4`, `4090`, `A100 80GB`, `NVIDIA A100-SXM4-80GB`; raises UnknownDevice."""
    wanted = _words(name[:200])
    loose = None
    for known, (gib, capability) in _TABLE.items():
        words = _words(known)
        if wanted in (words, words.removeprefix("rtx"), f"{words}{gib}gb"):
            device = Device(known, gib * _GIB, capability, _source(known, capability))
            if wanted == words:
                return device
            loose = loose or device
    if loose is not None:
        return loose
    from difflib import get_close_matches

    close = get_close_matches(name.lower().replace(" ", "-"), _TABLE, n=3, cutoff=0.7)
    raise UnknownDevice(name, tuple(close))


def _source(known: str, capability: tuple[int, int] | None) -> str:
    """Where the capability is stated."""
    if capability is None:
        return _AMD
    page = _NVIDIA_LEGACY if capability < (7, 5) else _NVIDIA
    return f"{page} ({_SAME_CHIP[known]}, same chip)" if known in _SAME_CHIP else page


def _words(name: str) -> str:
    """A name without vendor, form factor and punctuation."""
    name = re.sub(
        r"nvidia|amd|tesla|geforce|instinct|quadro|sxm\d?|pcie|nvl\b|hbm\d?e?|generation|rtx(?=[ _-]*a\d)",
        "",
        name.lower(),
    )
    return re.sub(r"[^a-z0-9]", "", name.replace("gib", "gb"))
