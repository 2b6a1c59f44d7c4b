"""The demo from beginning to end: data and config laid out, checked, trained, scored before and after."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loraplan import atomic
from loraplan.context import Inputs
from loraplan.engine import Checker, Overrides
from loraplan.result import FileResult
from loraplan.training import TrainingError, command, outcome
from loraplan.training.command import Wishes
from loraplan.training.demo import orders, weights
from loraplan.training.launch import environment
from loraplan.training.prepare import missing
from loraplan_trainer import failure

CONFIG = "demo.yaml"
RUN = "run"
SCORES = "scores.json"
_SHOWN = 3


@dataclass(frozen=True)
class Scores:
    """A model on the held-out orders."""

    loss: float
    right: int
    examples: int
    written: list[str]

    @property
    def exact_match(self) -> float:
        """In per cent."""
        return 100 * self.right / self.examples


@dataclass(frozen=True)
class Demo:
    """What the demo showed."""

    directory: Path
    model: str
    how: str
    seconds: float
    run: outcome.Outcome
    before: Scores
    after: Scores

    def values(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return {
            "version": 1,
            "model": self.model,
            "source": self.how,
            "directory": str(self.directory),
            "seconds": round(self.seconds, 1),
            "held_out_examples": self.after.examples,
            "before": {"loss": self.before.loss, "exact_match": self.before.exact_match},
            "after": {"loss": self.after.loss, "exact_match": self.after.exact_match},
            "run": self.run.figures(),
        }


def lay_out(directory: Path) -> Path:
    """The demo's config and data in a directory of the user's; what is there already is kept. The config's path."""
    config = directory / CONFIG
    try:
        directory.mkdir(parents=True, exist_ok=True)
        packaged = Path(__file__).parent
        for name, source in (
            (CONFIG, packaged / CONFIG),
            ("train.jsonl", packaged / "data" / "train.jsonl"),
            ("held_out.jsonl", packaged / "data" / "held_out.jsonl"),
        ):
            if not (directory / name).exists():
                atomic.write(str(directory / name), source.read_text(encoding="utf-8"))
    except OSError as error:
        raise TrainingError(f"{directory}: cannot be written ({error.strerror}); --output-dir names another") from error
    return config


def run(
    directory: Path,
    model: str | None,
    *,
    say: Callable[[str], None],
    show: Callable[[FileResult], None],
    quiet: bool,
    max_steps: int | None = None,
) -> Demo | int:
    """The whole demo, or the exit code of the part that failed. `show` presents the check. Raises TrainingError."""
    begun = time.monotonic()
    needed = missing()
    if needed:
        raise TrainingError(f"the demo trains, which needs {', '.join(needed)}: pip install 'loraplan[train]'")
    config = lay_out(directory)
    found = weights.Weights(model, "--model") if model is not None else weights.find(say)
    say(f"model: {found.name}, from {found.how}")
    checker = Checker(Inputs(model=found.name), Overrides(isolated=True))
    result = checker.check(str(config))
    assert result is not None  # a named file always has one
    show(result)
    if result.failures:
        return failure.CANNOT_RUN
    readings = checker.read(str(config))[1]
    wishes = Wishes(
        output_dir=str(directory / RUN), overwrite=True, model=found.name, device="cpu", quiet=quiet, summary=not quiet,
        max_steps=max_steps, sample_tokens=32,
    )  # fmt: skip
    code = command.train(checker, readings, wishes)
    if code != failure.DONE:
        return code
    trained = outcome.read(directory / RUN)
    say(f"scoring the model on {orders.HELD_OUT} held-out orders, without and with the adapter")
    before, after = score(directory, found.name)
    return Demo(directory, found.name, found.how, time.monotonic() - begun, trained, before, after)


def score(directory: Path, model: str) -> tuple[Scores, Scores]:
    """Before and after, the adapter as plain PEFT reads it back. Raises TrainingError."""
    out = directory / RUN / SCORES
    words = [sys.executable, "-P", "-m", "loraplan_trainer.score", model, str(directory / RUN / "adapter"),
             str(directory / "held_out.jsonl"), str(out)]  # fmt: skip
    done = subprocess.run(  # noqa: S603 - a fixed command
        words, capture_output=True, text=True, check=False, env=environment(cpu=True)
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise TrainingError(f"the held-out orders cannot be scored: {last}")
    found = json.loads(out.read_text(encoding="utf-8"))
    return Scores(**found["before"]), Scores(**found["after"])


def lines(demo: Demo) -> list[str]:
    """The result for people: figures, then a few orders with what was written for them."""
    before, after = demo.before, demo.after
    counts = f"{before.right} -> {after.right} of {after.examples}"
    out = [
        "",
        f"held-out loss         {before.loss:.4f} -> {after.loss:.4f}",
        f"held-out exact match  {before.exact_match:.0f} % -> {after.exact_match:.0f} % ({counts})",
        f"time                  {demo.seconds:.0f} s in all",
    ]
    rows = [json.loads(line) for line in (demo.directory / "held_out.jsonl").read_text(encoding="utf-8").splitlines()]
    for row, first, last in list(zip(rows, before.written, after.written, strict=True))[:_SHOWN]:
        wanted = row["completion"].strip()
        mark = "right" if last.strip() == wanted else f"wanted {wanted}"
        out += ["", row["prompt"].partition("\n")[0], f"  before: {_flat(first)}", f"  after:  {_flat(last)}  ({mark})"]
    return out


def _flat(text: str) -> str:
    return " ".join(text.split())[:100] or "(nothing)"
