"""Figures of two runs side by side."""

from __future__ import annotations

from typing import Any

import pytest

from loraplan.training.comparison import said


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("last_loss", 0.08651, "0.0865"),
        ("eval_loss", None, "-"),
        ("data.completion_only_loss", True, "true"),
        ("precision.fused_loss", "liger", "liger"),
        ("tokens_per_s", 1234.5, "1,234"),
        ("peak_memory", 2 << 30, "2.00 GiB"),
    ],
)
def test_figures_are_as_people_read_them(name: str, value: Any, expected: str) -> None:
    assert said(name, value) == expected
