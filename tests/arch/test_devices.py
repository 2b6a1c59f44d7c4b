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


@pytest.mark.parametrize("name", sorted(_TABLE))
def test_less_is_usable_than_sold_and_its_source_says_how_that_is_known(name: str) -> None:
    device = find(name)
    assert type(device.usable_bytes) is int
    assert device.memory_bytes // 2 - (1 << 26) <= device.usable_bytes <= device.memory_bytes
    assert (
        "public log" in device.usable_source
        or device.usable_source.startswith(("https://", "275,040 MiB"))
        or " GiB " in device.usable_source
    )


@pytest.mark.parametrize(
    ("name", "gib"),
    [
        ("t4", 14.56),
        ("A10G", 21.99),
        ("a100-40gb", 39.39),
        ("NVIDIA A100-SXM4-80GB", 79.15),
        ("4090", 23.51),
        ("NVIDIA H100 80GB HBM3", 79.10),
        ("rtx-5060-ti", 7.47),
        ("mi250x", 63.98),
        ("7900 XTX", 23.98),
        ("Intel(R) Arc(TM) A770 Graphics", 15.11),
        ("Intel(R) Data Center GPU Max 1550", 64.0),
        ("Apple M2 Max 64GB", 48.0),
        ("m1-pro-16gb", 10.67),
    ],
)
def test_usable_memory(name: str, gib: float) -> None:
    assert find(name).usable_bytes / GIB == pytest.approx(gib, abs=0.005)


def test_a_rule_gives_no_more_than_the_readings_of_its_kind() -> None:
    """A card without a reading of its own is not taken to have more than the same memory was seen to give."""
    assert find("rtx-4080").usable_bytes <= find("rtx-4080-super").usable_bytes
    assert find("rtx-4070-ti").usable_bytes <= find("rtx-4070").usable_bytes
    assert find("rtx-4060").usable_bytes <= find("rtx-3070").usable_bytes
    assert find("a800").usable_bytes <= find("a100-80gb").usable_bytes
    assert find("l20").usable_bytes <= find("l40").usable_bytes


def test_a_mac_is_known_by_its_memory() -> None:
    with pytest.raises(UnknownDevice):
        find("Apple M2 Max")
    assert find("M4 Max 128 GB") == find("apple-128gb")
    assert find("MI300X").name == "mi300x"


def test_every_vendor_is_there() -> None:
    sold = {find(name).source.split("/")[2] for name in _TABLE}
    assert {"developer.nvidia.com", "www.amd.com", "developer.apple.com"} <= sold
    assert sum(name.startswith(("arc-", "max-")) for name in _TABLE) >= 4
