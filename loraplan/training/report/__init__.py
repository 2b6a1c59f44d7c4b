"""What a run leaves for people: `report.md`, `report.html` and a row of measured memory."""

from __future__ import annotations

from pathlib import Path

from loraplan import atomic
from loraplan.training import measured
from loraplan.training.comparison import said
from loraplan.training.outcome import Outcome, read
from loraplan.training.report import markdown, page


def write(directory: Path) -> list[str]:
    """Write the reports of the run in a directory; the lines that sum it up. Raises OSError, TrainingError."""
    outcome = read(directory)
    atomic.write(str(directory / "report.md"), markdown.text(outcome))
    atomic.write(str(directory / "report.html"), page.text(outcome))
    row = measured.row(outcome)
    if row is not None:
        atomic.write(str(directory / measured.FILE_NAME), measured.line(row) + "\n")
    return summary(outcome)


def summary(outcome: Outcome) -> list[str]:
    """A run in a few lines."""
    figures = outcome.figures()
    lines = []
    if outcome.steps:
        first, last = figures["first_loss"], figures["last_loss"]
        lines.append(f"loss {first:.4f} -> {last:.4f} in {figures['steps']} steps, {said('seconds', outcome.seconds)}")
    if outcome.memory and outcome.manifest.predicted is not None:
        peak, predicted = said("peak_memory", outcome.peak), said("predicted_memory", figures["predicted_memory"])
        lines.append(f"peak memory {peak} ({markdown.SOURCES[outcome.memory_source or 'rss']}), predicted {predicted}")
    if outcome.end is not None and outcome.end.adapter is not None:
        lines.append(f"adapter: {outcome.end.adapter}")
    return lines
