"""A small config, the command line as a process, and logs without a trainer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

CONFIG = """\
loraplan: 1
method: sft
model: {name: ./tiny, dtype: float32}
adapter: {method: lora, r: 8, alpha: 16, dropout: 0.0, target_modules: all-linear}
optimizer: {name: adamw_torch, learning_rate: 2.0e-3}
schedule: {name: cosine, epochs: 1, warmup_steps: 2}
batch: {micro_batch_size: 4, gradient_accumulation_steps: 1}
precision: {bf16: false, gradient_checkpointing: false}
data: {datasets: [rows.jsonl], eval_datasets: [held.jsonl], max_length: 64}
run: {seed: 7, logging_steps: 1, save_strategy: epoch}
"""


def loraplan(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "loraplan", *words]
    environment = {**os.environ, **variables}
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=environment)


def records(directory: Path, *items: dict[str, Any]) -> None:
    """Write a run's log."""
    directory.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps({"time": 1.0, **item}) + "\n" for item in items)
    (directory / "log.jsonl").write_text(text, encoding="utf-8")


def step(number: int, loss: float | str, **changes: Any) -> dict[str, Any]:
    return {
        "event": "step", "step": number, "steps": 10, "epoch": number / 10, "loss": loss, "lr": 1e-4 * number,
        "grad_norm": 1.5, "tokens_per_s": 100.0 * number, "memory_now": 5 << 20, "memory_peak": 6 << 20,
        "memory_source": "rss", "eta": 3.0, **changes,
    }  # fmt: skip
