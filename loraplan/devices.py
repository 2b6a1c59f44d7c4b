"""GPUs that rules and estimates ask about: memory, how much of it a process can have, CUDA compute capability."""

from __future__ import annotations

import re
from typing import NamedTuple

_GIB = 1 << 30
_MIB = 1 << 20
# NVIDIA's tables of compute capability; those before Turing have a page of their own.
_NVIDIA = "https://developer.nvidia.com/cuda-gpus"
_NVIDIA_LEGACY = "https://developer.nvidia.com/cuda-legacy-gpus"
_AMD = "https://www.amd.com/en/products/accelerators/instinct.html"
_RADEON = "https://github.com/ROCm/legacy-rocm-build/issues/2391"
_METAL = "https://developer.apple.com/documentation/metal/mtldevice/recommendedmaxworkingsetsize"
_INTEL = "https://github.com/intel/xpumanager/issues/98"


class Device(NamedTuple):
    """One GPU model. `capability` is None for what is not CUDA."""

    name: str
    memory_bytes: int
    """As it is sold."""
    capability: tuple[int, int] | None
    source: str
    """Where the capability is stated, or that it is not CUDA."""
    usable_bytes: int
    """The total that the driver gives a process, its own context still to be paid from it."""
    usable_source: str
    """Where that total was printed, or the rule that gives it."""


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


# What a reading is. All are the driver's total as a process sees it, the smallest of those found: drivers differ by
# some hundred MiB, error correction takes a share of GDDR memory, and Windows prints more than Linux.
_READINGS = {
    "torch": "total_memory that torch.cuda.get_device_properties printed in a public log",
    "xpu": "total_memory that torch.xpu.get_device_properties printed in a public log",
    "banner": "the card's total that Unsloth prints at its start (torch's total_memory), in a public log",
    "ggml": "the VRAM that llama.cpp prints at its start (the driver's total), in a public log",
}
# Where no reading was found: a share of the memory as sold, less some MiB; never more than the readings of its kind.
_RULES = {
    "geforce": (1.0, 543, "the most that any GeForce of up to 24 GB kept back (RTX 5060 Ti)"),
    "ecc": (0.910, 0, "the smallest share read on a GDDR card with error correction (T4, 14912 of 16384 MiB)"),
    "hbm": (0.980, 0, "the smallest share read on an HBM card (A30, 24094 of 24576 MiB)"),
    "amd": (0.999, 0, "the smallest share read on an AMD card (RX 7900 XTX, 24560 of 24576 MiB)"),
    "apple-small": (2 / 3, 0, "Metal's working set on Macs of up to 32 GB (21845 of 32768 MiB, ollama/ollama#434)"),
    "apple-large": (3 / 4, 0, "Metal's working set on larger Macs (73728 of 98304 MiB, ggml-org/llama.cpp#3213)"),
}
_Row = tuple[int, tuple[int, int] | None, float | None, str]
# Name -> GiB as sold, compute capability, usable MiB where it was read, what the reading is or the rule. Where a card
# is sold with several memory sizes, each has a name and the bare name is the smallest: advice that holds for it holds
# for the others.
_TABLE: dict[str, _Row] = {
    "p100": (16, (6, 0), 16280, "torch"),
    "p40": (24, (6, 1), 22917, "https://github.com/LinkSoul-AI/Chinese-Llama-2-7b/issues/56"),
    "gtx-1080-ti": (11, (6, 1), None, "geforce"),
    "v100": (16, (7, 0), 16130, "torch"),
    "v100-32gb": (32, (7, 0), 32494, "ggml"),
    "t4": (16, (7, 5), 14912, "banner"),
    "gtx-1660-ti": (6, (7, 5), 5747, "ggml"),
    "rtx-2080-ti": (11, (7, 5), 11018, "https://github.com/JDAI-CV/image-captioning/issues/11"),
    "titan-rtx": (24, (7, 5), None, "geforce"),
    "rtx-6000": (24, (7, 5), None, "ecc"),
    "rtx-8000": (48, (7, 5), 48601, "torch"),
    "a100": (40, (8, 0), 40339, "banner"),
    "a100-40gb": (40, (8, 0), 40339, "banner"),
    "a100-80gb": (80, (8, 0), 81050, "banner"),
    "a800": (80, (8, 0), None, "hbm"),
    "a30": (24, (8, 0), 24094, "https://github.com/google/RB-Modulation/issues/5"),
    "a2": (16, (8, 6), None, "ecc"),
    "a10": (24, (8, 6), 22731, "ggml"),
    "a10g": (24, (8, 6), 22515, "banner"),
    "a16": (16, (8, 6), None, "ecc"),
    "a40": (48, (8, 6), 45416, "torch"),
    "a6000": (48, (8, 6), 45493, "banner"),
    "a5000": (24, (8, 6), 24138, "torch"),
    "a4500": (20, (8, 6), None, "ecc"),
    "a4000": (16, (8, 6), 15967, "banner"),
    "rtx-3050-laptop": (4, (8, 6), None, "geforce"),
    "rtx-3060": (12, (8, 6), 12028, "banner"),
    "rtx-3070": (8, (8, 6), 7819, "ggml"),
    "rtx-3080": (10, (8, 6), None, "geforce"),
    "rtx-3080-ti": (12, (8, 6), None, "geforce"),
    "rtx-3090": (24, (8, 6), 24123, "ggml"),
    "rtx-3090-ti": (24, (8, 6), 24142, "ggml"),
    "jetson-orin-nano": (8, (8, 7), 7607, "ggml"),
    "jetson-agx-orin": (64, (8, 7), 62827, "ggml"),
    "l2": (24, (8, 9), None, "ecc"),
    "l4": (24, (8, 9), 22692, "banner"),
    "l20": (48, (8, 9), None, "ecc"),
    "l40": (48, (8, 9), 45465, "https://github.com/QwenLM/Qwen3-VL/issues/2097"),
    "l40s": (48, (8, 9), 45457, "banner"),
    "rtx-4060": (8, (8, 9), None, "geforce"),
    "rtx-4060-ti": (8, (8, 9), None, "geforce"),
    "rtx-4060-ti-16gb": (16, (8, 9), 15944, "ggml"),
    "rtx-4070": (12, (8, 9), 11866, "ggml"),
    "rtx-4070-ti": (12, (8, 9), None, "geforce"),
    "rtx-4070-ti-super": (16, (8, 9), None, "geforce"),
    "rtx-4080": (16, (8, 9), None, "geforce"),
    "rtx-4080-super": (16, (8, 9), 15937, "ggml"),
    "rtx-4090": (24, (8, 9), 24074, "banner"),
    "rtx-4000-ada": (20, (8, 9), 20474, "banner"),
    "rtx-4500-ada": (24, (8, 9), None, "ecc"),
    "rtx-5000-ada": (32, (8, 9), None, "ecc"),
    "rtx-6000-ada": (48, (8, 9), 48622, "torch"),
    "h100": (80, (9, 0), 80995, "banner"),
    "h100-80gb": (80, (9, 0), 80995, "banner"),
    "h100-94gb": (94, (9, 0), 95248, "banner"),
    "h800": (80, (9, 0), 81105, "banner"),
    "h20": (96, (9, 0), 97285, "torch"),
    "h200": (141, (9, 0), 143052, "banner"),
    "gh200": (96, (9, 0), None, "hbm"),
    "b100": (192, (10, 0), None, "hbm"),
    "b200": (180, (10, 0), 182642, "torch"),
    "gb200": (186, (10, 0), None, "hbm"),
    # nvidia-smi shows 275,040 MiB; on the B200 torch has 182,642 of 183,359.
    "b300": (
        288,
        (10, 3),
        273964,
        "275,040 MiB of nvidia-smi x the B200's share that torch has of nvidia-smi's figure",
    ),
    "gb10": (128, (12, 1), 122570, "banner"),
    "rtx-5060-ti": (8, (12, 0), None, "geforce"),
    "rtx-5060-ti-16gb": (16, (12, 0), 15841, "ggml"),
    "rtx-5070": (12, (12, 0), None, "geforce"),
    "rtx-5070-ti": (16, (12, 0), 15842, "ggml"),
    "rtx-5080": (16, (12, 0), 15880, "ggml"),
    "rtx-5090": (32, (12, 0), 32094, "banner"),
    "rtx-pro-6000": (96, (12, 0), 97250, "banner"),
    "mi100": (32, None, None, "amd"),
    "mi210": (64, None, 65520, "torch"),
    # Each of the two dies is a device of its own.
    "mi250": (128, None, 65520, "torch"),
    "mi250x": (128, None, 65520, "torch"),
    # HIP's allocator has three quarters of the memory shared with the CPU cores, unless the module is told otherwise.
    "mi300a": (128, None, 98304, "https://github.com/ROCm/legacy-rocm-build/pull/3587"),
    "mi300x": (192, None, 196592, "torch"),
    "mi325x": (256, None, None, "amd"),
    "mi350x": (288, None, None, "amd"),
    "mi355x": (288, None, 294891, "https://github.com/ROCm/TheRock/issues/2118"),
    "rx-7900-xt": (20, None, None, "amd"),
    "rx-7900-xtx": (24, None, 24560, "torch"),
    "arc-a770": (16, None, 15473, "https://github.com/intel/intel-extension-for-pytorch/issues/846"),
    "arc-b580": (12, None, 12216, "https://github.com/intel/torch-xpu-ops/issues/3663"),
    "arc-pro-b60": (24, None, 24480, "https://github.com/intel/torch-xpu-ops/issues/5118"),
    # Each of the two tiles is a device of its own.
    "max-1550": (128, None, 65536, "xpu"),
    **{f"apple-{gib}gb": (gib, None, None, "apple-small") for gib in (8, 16, 18, 24, 32)},
    **{f"apple-{gib}gb": (gib, None, None, "apple-large") for gib in (36, 48, 64, 96, 128, 192, 256, 512)},
}
# Cards that NVIDIA's tables do not list, and the listed card of the same chip.
_SAME_CHIP = {
    "a800": "A100", "a10g": "A10", "a4500": "A5000", "l2": "L4", "l20": "L40", "h800": "H100", "h20": "H100",
    "b100": "B200",
}  # fmt: skip


def find(name: str) -> Device:
    """The card of a name such as `t4`, `4090`, `A100 80GB`, `Apple M2 Max 64GB`; raises UnknownDevice."""
    wanted = _words(name[:200])
    loose = None
    for known, (gib, *_) in _TABLE.items():
        words = _words(known)
        if wanted == words:
            return _device(known)
        if wanted in (re.sub(r"^(rtx|gtx|rx|arc)", "", words), f"{words}{gib}gb"):
            loose = loose or known
    if loose is not None:
        return _device(loose)
    from difflib import get_close_matches

    close = get_close_matches(name.lower().replace(" ", "-"), _TABLE, n=3, cutoff=0.7)
    raise UnknownDevice(name, tuple(close))


def _device(known: str) -> Device:
    """The card of a name of the table."""
    gib, capability, mib, reading = _TABLE[known]
    if mib is None:
        share, kept, what = _RULES[reading]
        usable = int(gib * _GIB * share) - kept * _MIB
        said = f"{gib} GiB - {kept} MiB, {what}" if kept else f"{gib} GiB x {share:.3f}, {what}"
    else:
        usable, said = int(mib * _MIB), _READINGS.get(reading, reading)
    return Device(known, gib * _GIB, capability, _source(known, capability), usable, said)


def _source(known: str, capability: tuple[int, int] | None) -> str:
    """Where the capability is stated."""
    if capability is None:
        makers = {"apple": _METAL, "max": _INTEL, "rx": _RADEON, "arc": _TABLE[known][3]}
        return makers.get(known.split("-", maxsplit=1)[0], _AMD)
    page = _NVIDIA_LEGACY if capability < (7, 5) else _NVIDIA
    return f"{page} ({_SAME_CHIP[known]}, same chip)" if known in _SAME_CHIP else page


def _words(name: str) -> str:
    """A name without vendor, form factor and punctuation; a Mac's chip gives way to its memory, which decides."""
    name = re.sub(r"^(apple[ _-])?m[1-9]([ _-]?(pro|max|ultra))?(?=[ _-]?\d+ ?gi?b)", "apple", name.lower())
    name = re.sub(
        r"nvidia|amd|tesla|geforce|instinct|radeon|graphics|intel|data.center.gpu|\((r|tm)\)|quadro|sxm\d?|pcie|nvl\b"
        r"|hbm\d?e?|generation|rtx(?=[ _-]*a\d)",
        "",
        name,
    )
    return re.sub(r"[^a-z0-9]", "", name.replace("gib", "gb"))
