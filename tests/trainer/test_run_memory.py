"""Peaks by phase, on a card that is only pretended here, and of the process where there is none."""

from __future__ import annotations

import pytest

from loraplan_trainer.memory import Meter, is_out_of_memory


class Card:
    """What torch.cuda says of its allocator, played by hand."""

    def __init__(self) -> None:
        self.allocated = self.high = 0

    def use(self, size: int) -> None:
        self.allocated = size
        self.high = max(self.high, size)

    def reset_peak_memory_stats(self) -> None:
        self.high = self.allocated

    def memory_allocated(self) -> int:
        return self.allocated

    def max_memory_allocated(self) -> int:
        return self.high

    def max_memory_reserved(self) -> int:
        return self.high + 5


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Card:
    import torch

    played = Card()
    for name in ("reset_peak_memory_stats", "memory_allocated", "max_memory_allocated", "max_memory_reserved"):
        monkeypatch.setattr(torch.cuda, name, getattr(played, name))
    return played


def test_each_phase_has_its_own_peak_and_the_run_the_highest(card: Card) -> None:
    meter = Meter("cuda")
    with meter.during("load"):
        card.use(300)
        card.use(100)
    for forward, backward in ((400, 350), (250, 500)):
        meter.begin("forward")
        card.use(forward)
        card.use(200)
        meter.begin("backward")
        card.use(backward)
        card.use(100)
        meter.end()
    assert meter.peaks == {"load": 300, "forward": 400, "backward": 500}
    assert (meter.now(), meter.peak()) == (100, 500)
    found = {event.phase: (event.peak, event.reserved, event.memory_source) for event in meter.events()}
    assert found == {"load": (300, 305, "cuda"), "forward": (400, 405, "cuda"), "backward": (500, 505, "cuda")}


def test_after_an_error_the_phase_is_known(card: Card) -> None:
    meter = Meter("cuda")

    def fail() -> None:
        with meter.during("adapter"):
            card.use(70)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert meter.phase == "adapter"
    meter.end()
    assert meter.peaks == {"adapter": 70}


def test_without_a_card_it_is_the_process() -> None:
    meter = Meter("cpu")
    with meter.during("load"):
        kept = bytearray(64 << 20)
        kept[::4096] = b"x" * len(kept[::4096])
        now = meter.now()
    [event] = meter.events()
    assert event.memory_source == "rss"
    assert event.reserved is None
    assert event.peak >= len(kept)
    assert meter.peak() >= now >= len(kept)


def errors() -> list[tuple[Exception, bool]]:
    import torch

    return [
        (torch.OutOfMemoryError("CUDA out of memory."), True),
        (MemoryError(), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("Error out of memory at line 380 in file /src/csrc/pythonInterface.c"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ]


def test_what_an_allocator_says() -> None:
    for error, wanted in errors():
        assert is_out_of_memory(error) is wanted, error
