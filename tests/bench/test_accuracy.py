"""What the estimate must reach on published measurements, where they are at hand."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = ROOT.parent / "shared" / "memory" / "measured.jsonl"


@pytest.fixture(scope="module")
def figures() -> dict:
    if not ROWS.is_file():
        pytest.skip("the measured rows are not here")
    done = subprocess.run(
        [sys.executable, str(ROOT / "bench" / "accuracy.py"), str(ROWS), "--format", "json"],
        capture_output=True, text=True, check=True, cwd=ROOT,
    )  # fmt: skip
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("group", "median", "ninety", "worst"),
    [("gold_allocated_1gpu", 2, 5, 12), ("gold_allocated_multi", 5, 10, 20), ("silver", 10, 100, 100)],
)
def test_errors(figures: dict, group: str, median: float, ninety: float, worst: float) -> None:
    found = figures[group]
    assert found["rows"] > 30
    assert found["rows_skipped"] <= 0.05 * (found["rows"] + found["rows_skipped"])
    assert found["median_abs_pct"] <= median
    assert found["p90_abs_pct"] <= ninety
    assert found["worst_abs_pct"] <= worst
    assert found["ran_but_predicted_not_to_fit"] == 0


def test_ranges(figures: dict) -> None:
    assert figures["gold_reserved"]["in_range_pct"] >= 90
    assert figures["silver_capped"]["not_above_range_pct"] >= 90
    assert figures["oom"]["predicted_not_to_fit_pct"] >= 85
