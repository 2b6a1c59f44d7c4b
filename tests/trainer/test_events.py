"""The log: what is written is read back, also what a kill cut short."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from loraplan_trainer import console, events


def step(number: int, loss: float = 1.5) -> events.Step:
    return events.Step(
        step=number, steps=10, epoch=0.5, loss=loss, lr=1e-4, grad_norm=None, tokens_per_s=12.5, memory_now=2**30,
        memory_peak=2**31, memory_source="cuda", eta=61.0,
    )  # fmt: skip


def test_written_and_read_back(tmp_path: Path) -> None:
    log = events.Log(tmp_path)
    written = [step(1), events.Warned(text="é ✓"), events.PhaseMemory(phase="load", peak=1, memory_source="rss")]
    for event in written:
        log.write(event)
    log.close()
    assert list(events.read(tmp_path / events.FILE_NAME)) == written


def test_a_nan_loss_survives_the_log(tmp_path: Path) -> None:
    log = events.Log(tmp_path)
    log.write(step(1, math.nan))
    log.close()
    [read] = events.read(tmp_path / events.FILE_NAME)
    assert isinstance(read, events.Step)
    assert math.isnan(read.loss)


def test_half_a_record_is_left_out_and_then_cut_off(tmp_path: Path) -> None:
    path = tmp_path / events.FILE_NAME
    log = events.Log(tmp_path)
    log.write(step(1))
    log.close()
    path.write_bytes(path.read_bytes() + b'{"event": "st')
    assert list(map(type, events.read(path))) == [events.Step]
    log = events.Log(tmp_path)
    log.write(step(2))
    log.close()
    assert [event.step for event in events.read(path) if isinstance(event, events.Step)] == [1, 2]


def test_a_line_that_is_no_record_is_named(tmp_path: Path) -> None:
    path = tmp_path / events.FILE_NAME
    path.write_text('{"event": "step"}\n')
    with pytest.raises(events.LogError, match=r"log\.jsonl:1: "):
        list(events.read(path))


def test_a_step_as_a_line() -> None:
    assert console.line(step(3)) == (
        "step 3/10  loss 1.5000  lr 0.0001  12 tokens/s  1.00 GiB now, 2.00 GiB peak (allocated on the card)  1:01 left"
    )
