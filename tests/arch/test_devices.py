from __future__ import annotations

import pytest

from loraplan.devices import _TABLE, UnknownDevice, find

GIB = 1 << 30


@pytest.mark.parametrize(
    ("name", "card", "gib", "capability"),
    [
        ("t4", "t4", 16, (7, 5)),
        ("RTX 4090", "rtx-4090", 24, (8, 9)),
        ("4090", "rtx-4090", 24, (8, 9)),
        ("a100-80gb", "a100-80gb", 80, (8, 0)),
        ("NVIDIA A100-SXM4-80GB", "a100-80gb", 80, (8, 0)),
        ("a100", "a100", 40, (8, 0)),
        ("Tesla V100-SXM2-32GB", "v100-32gb", 32, (7, 0)),
        ("NVIDIA H100 80GB HBM3", "h100-80gb", 80, (9, 0)),
        ("NVIDIA RTX A6000", "a6000", 48, (8, 6)),
        ("NVIDIA RTX 6000 Ada Generation", "rtx-6000-ada", 48, (8, 9)),
        ("GeForce RTX 2080 Ti", "rtx-2080-ti", 11, (7, 5)),
        ("t4 16GB", "t4", 16, (7, 5)),
        ("AMD Instinct MI300X", "mi300x", 192, None),
    ],
)
def test_found_by_loose_names(name: str, card: str, gib: int, capability: tuple[int, int] | None) -> None:
    device = find(name)
    assert (device.name, device.memory_bytes, device.capability) == (card, gib * GIB, capability)
    assert device.source.startswith("https://")


def test_every_name_finds_itself() -> None:
    assert {find(name).name for name in _TABLE} == set(_TABLE)
    assert len(_TABLE) >= 60


def test_unknown_card_names_those_that_are_close() -> None:
    with pytest.raises(UnknownDevice) as raised:
        find("rtx-4090x")
    assert "`rtx-4090`" in str(raised.value)


@pytest.mark.parametrize("name", ["", "gpu", "9" * 10_000, "🤖", "a100 or h100"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(UnknownDevice, match="unknown GPU"):
        find(name)


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("t4", "https://developer.nvidia.com/cuda-gpus"),
        ("v100", "https://developer.nvidia.com/cuda-legacy-gpus"),
        ("a10g", "https://developer.nvidia.com/cuda-gpus (A10, same chip)"),
        ("mi300x", "https://www.amd.com/en/products/accelerators/instinct.html"),
    ],
)
def test_capabilities_have_a_source(name: str, source: str) -> None:
    assert find(name).source == source
