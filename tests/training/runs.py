"""Finished runs without a trainer: a manifest and a log as the trainer writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from loraplan.plan import build
from loraplan_trainer.manifest import FILE_NAME, ConfigFile, DataSource, Manifest, Predicted, write
from tests.training.harness import records, step

PLAN: dict[str, Any] = {
    "method": "sft", "model.name": "/models/tiny", "adapter.method": "lora", "adapter.r": 8.0, "adapter.alpha": 16.0,
    "optimizer.learning_rate": 2e-4, "schedule.max_steps": 4, "batch.micro_batch_size": 2,
}  # fmt: skip
START = {
    "event": "start", "manifest_sha256": "0" * 64, "versions": {"torch": "2.13.0"}, "device": "cpu", "processes": 1,
}  # fmt: skip
DATA = {
    "event": "data", "role": "train", "sources": ["rows.jsonl"], "forms": ["messages"], "rows": 40, "broken": 1,
    "tokens": 800, "longest": 50, "trained_tokens": 300, "truncated": 0.1, "example": "<b>hello</b> & bye",
}  # fmt: skip
MODEL = {"event": "model", "parameters": 1000, "trainable": 100, "adapted_modules": 4, "steps": 4}
END = {
    "event": "end", "outcome": "done", "exit_code": 0, "step": 4, "seconds": 12.5, "adapter": "/runs/a/adapter",
    "tokens": 800,
}  # fmt: skip


def finished(directory: Path, *, losses: tuple[float | str, ...] = (3.0, 2.0, 1.5, 1.0), **plan: Any) -> Path:
    """A run that trained to its end."""
    make_manifest(directory, **plan)
    records(
        directory,
        START,
        {"event": "field", "name": "run.output_dir", "value": "out", "outcome": "no_effect", "text": "own | directory"},
        DATA,
        {"event": "sample", "when": "before", "prompt": "say `hi` <now>", "completion": "no\nway"},
        MODEL,
        *(step(number, loss) for number, loss in enumerate(losses, 1)),
        {"event": "eval", "step": 2, "loss": 2.5},
        {"event": "eval", "step": 4, "loss": 1.25},
        {"event": "checkpoint", "step": 4, "path": "/x", "bytes": 10, "why": "end"},
        {"event": "sample", "when": "after", "prompt": "say `hi` <now>", "completion": "hi <script>"},
        {"event": "warning", "text": "watch | out"},
        {"event": "memory", "phase": "load", "peak": 3 << 20, "memory_source": "rss"},
        {"event": "memory", "phase": "backward", "peak": 7 << 20, "memory_source": "rss"},
        END,
    )
    return directory


def make_manifest(directory: Path, **plan: Any) -> Manifest:
    made = Manifest(
        plan=build({**PLAN, **{name.replace("__", "."): value for name, value in plan.items()}}),
        data=(DataSource(source="/data/rows.jsonl", kind="file", sha256="1" * 64),),
        config=ConfigFile(path="/configs/qlora.yml", sha256="2" * 64, format="axolotl"),
        run_directory=str(directory),
        seed=7,
        predicted=Predicted(total=8 << 20, low=7 << 20, high=9 << 20, phases={"load": 2 << 20, "backward": 8 << 20}),
        versions={"loraplan": "0.1.0"},
        created="2026-01-01T00:00:00+00:00",
    )
    directory.mkdir(parents=True, exist_ok=True)
    write(made, directory / FILE_NAME)
    return made
