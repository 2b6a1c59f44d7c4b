"""Cards as nvidia-smi describes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from loraplan.training.hardware import Card, cards, visible

TWO = (Card(0, "A", 1, 0, "1"), Card(1, "B", 2, 0, "1"))


def _fake(folder: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_cards_are_read_with_their_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "0, NVIDIA H100 80GB HBM3, 81559, 4, 580.95\\n1, NVIDIA GB10, [N/A], [N/A], 580.95"
    _fake(tmp_path, monkeypatch, f"printf '{text}\\n'")
    first, second = cards()
    assert first == Card(0, "NVIDIA H100 80GB HBM3", 81559 << 20, 4 << 20, "580.95")
    assert (second.name, second.total) == ("NVIDIA GB10", 0)


@pytest.mark.parametrize("body", ["exit 9", "echo 'NVIDIA-SMI has failed'", "true"])
def test_a_driver_that_does_not_answer_is_no_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    _fake(tmp_path, monkeypatch, body)
    assert cards() == ()


def test_no_driver_is_no_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert cards() == ()


@pytest.mark.parametrize(
    ("chosen", "names"),
    [(None, "AB"), ("", ""), ("1", "B"), ("1,0", "BA"), ("0,7,1", "A"), ("-1", ""), ("GPU-8932f937", "A")],
)
def test_the_choice_of_cuda_visible_devices(chosen: str | None, names: str) -> None:
    assert "".join(card.name for card in visible(TWO, chosen)) == names
