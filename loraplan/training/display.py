"""A run on the screen: rich progress on a terminal, a line per record elsewhere."""

from __future__ import annotations

import sys
from typing import Any, Protocol, Self, TextIO

from loraplan_trainer import console
from loraplan_trainer.events import (
    Checkpoint,
    DataStatistics,
    End,
    Evaluation,
    Event,
    Failed,
    ModelReady,
    PlanField,
    Sample,
    Step,
)


class Display(Protocol):
    """What shows a run."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def show(self, event: Event) -> None:
        """Take one record of the log."""


class Lines:
    """One plain line per record that a person wants to see."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._out.flush()

    def show(self, event: Event) -> None:
        text = line(event)
        if text is not None:
            self._out.write(text + "\n")
            self._out.flush()


class Progress:
    """A bar with step, loss, learning rate, tokens/s, memory and the time left; other records stay above it."""

    def __init__(self, out: TextIO | None = None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as Bars

        self._console = Console(file=out or sys.stdout, highlight=False)
        self._bars = Bars(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}", table_column=_figures_column()),
            console=self._console,
            refresh_per_second=4,
        )
        self._task = self._bars.add_task("loading", total=None, figures="")

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def show(self, event: Event) -> None:
        match event:
            case Step():
                self._bars.update(
                    self._task,
                    description="training",
                    completed=event.step,
                    total=event.steps,
                    figures=figures(event),
                )
                return
            case ModelReady():
                self._bars.update(self._task, description="training", total=event.steps, completed=0)
            case DataStatistics():
                self._bars.update(self._task, description="loading the model")
            case Sample():
                self._bars.update(self._task, description=f"sampling {event.when}")
            case Evaluation() | Checkpoint() | Failed() | End():
                pass
        text = line(event)
        if text is not None:
            self._console.print(text, style=_STYLES.get(event.event, ""), markup=False, soft_wrap=True)


def line(event: Event) -> str | None:
    """A record as text; what became of each field is said before the launch, and in the report."""
    return None if isinstance(event, PlanField) else console.line(event)


_STYLES = {"warning": "yellow", "error": "bold red", "broken_row": "yellow", "field": "dim", "memory": "dim"}


def figures(step: Step) -> str:
    """The figures beside the bar."""
    parts = [f"loss {step.loss:.4f}", f"lr {step.lr:.2g}"]
    if step.tokens_per_s is not None:
        parts.append(f"{step.tokens_per_s:,.0f} tok/s")
    parts.append(f"{step.memory_now / 2**30:.2f} GiB (peak {step.memory_peak / 2**30:.2f})")
    if step.eta is not None:
        parts.append(f"{duration(step.eta)} left")
    return "  ".join(parts)


def duration(seconds: float) -> str:
    """`42 s`, `3:07`, `2:15:00`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


def for_stream(out: TextIO, *, plain: bool) -> Display:
    """Progress on a terminal, unless plain lines are wanted; lines elsewhere."""
    return Lines(out) if plain or not out.isatty() else Progress(out)


def _figures_column() -> Any:
    from rich.table import Column

    return Column(no_wrap=True, overflow="ellipsis")
