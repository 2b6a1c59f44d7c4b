"""Stands for the trainer's process: does what the word after the manifest says. Needs nothing but Python."""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path

MANIFEST, WORD = Path(sys.argv[1]), sys.argv[2]
LOG = MANIFEST.parent / "log.jsonl"


def record(**values: object) -> None:
    with LOG.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"time": 1.0, **values}) + "\n")


def end(outcome: str, code: int) -> None:
    record(event="end", outcome=outcome, exit_code=code, step=1, seconds=1.0)
    sys.exit(code)


def stop(number: int, _frame: object) -> None:
    record(event="checkpoint", step=1, path="/x", bytes=1, why="signal")
    end("interrupted", 128 + number)


record(event="start", manifest_sha256="0" * 64, versions={}, device="cpu", processes=1)
if WORD == "wait":
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    record(event="warning", text="ready")
    time.sleep(60)
elif WORD == "stubborn":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    record(event="warning", text="ready")
    time.sleep(60)
elif WORD == "crash":
    sys.stdout.write("what the libraries print\n")
    sys.stdout.flush()
    raise ValueError("a bug")
elif WORD == "memory":
    record(event="error", kind="out_of_memory", text="out of memory in phase backward", suggestions=["nf4: 3 GiB"])
    end("failed", 3)
else:
    record(
        event="step", step=1, steps=1, epoch=1.0, loss=1.0, lr=0.1, grad_norm=None, tokens_per_s=None, memory_now=1,
        memory_peak=1, memory_source="rss", eta=0.0,
    )  # fmt: skip
    end("done", 0)
