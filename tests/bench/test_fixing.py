"""The bench of fixing, on a folder of two files and for an instant."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.fix.test_golden import LITGPT, TRL

ROOT = Path(__file__).parents[2]


def test_it_counts_what_it_did(tmp_path: Path) -> None:
    for folder, name, text in (("trl-yaml", "a.yaml", TRL), ("litgpt", "b.yaml", LITGPT), ("x", "c.txt", "no config")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(ROOT / "bench" / "fixing.py"), str(tmp_path), "0.2"],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "3 files, 2 configs of 2 formats"
    counts = {what: int(number) for number, _, what in (line.strip().partition("  ") for line in lines[1:] if line)}
    assert counts["wrong"] == 0
    assert counts["fields set"] > 50
    assert counts["fixes of rules"] >= 4
