"""The report as Markdown, for pull requests and model cards."""

from __future__ import annotations

from loraplan.training.outcome import Outcome
from loraplan.training.report import facts
from loraplan.training.report.facts import SOURCES

__all__ = ["SOURCES", "text"]


def text(run: Outcome) -> str:
    """The whole report."""
    lines = [f"# {facts.title(run)}", "", "| | |", "| --- | --- |"]
    lines += [f"| {name} | {_cell(value)} |" for name, value in facts.overview(run)]
    if run.data:
        lines += ["", "## Data", "", *(f"- {_cell(facts.data(item))}" for item in run.data)]
    phases = facts.memory(run)
    if phases:
        lines += ["", "## Peak memory", "", "| phase | predicted | measured | predicted / measured |"]
        lines += ["| --- | ---: | ---: | ---: |"]
        lines += [f"| {row.name} | {row.predicted} | {row.measured} | {row.ratio} |" for row in phases]
        lines += ["", facts.memory_note(run)]
    if run.steps:
        lines += ["", "## Loss", "", "| step | loss | learning rate | gradient norm | tokens/s |"]
        lines += ["| ---: | ---: | ---: | ---: | ---: |", *_steps(run)]
    if run.evaluations:
        lines += ["", "| step | held-out loss |", "| ---: | ---: |"]
        lines += [f"| {item.step} | {'-' if item.loss is None else f'{item.loss:.4f}'} |" for item in run.evaluations]
    lines += _samples(run)
    if run.warnings:
        lines += ["", "## Warnings", "", *(f"- {_cell(item)}" for item in dict.fromkeys(run.warnings))]
    other = facts.changed(run)
    if other:
        lines += ["", "## Fields without effect, and defaults", "", "| field | value | |", "| --- | --- | --- |"]
        lines += [f"| `{name}` | {_cell(value)} | {_cell(why)} |" for name, value, why in other]
    return "\n".join(lines) + "\n"


def _steps(run: Outcome, most: int = 20) -> list[str]:
    """At most so many steps, evenly chosen, the first and the last among them."""
    count = len(run.steps)
    chosen = sorted({round(index * (count - 1) / max(most - 1, 1)) for index in range(most)}) if count > most else None
    steps = run.steps if chosen is None else [run.steps[index] for index in chosen]
    return [
        f"| {step.step} | {step.loss:.4f} | {step.lr:.3g} | "
        f"{'-' if step.grad_norm is None else f'{step.grad_norm:.3g}'} | "
        f"{'-' if step.tokens_per_s is None else f'{step.tokens_per_s:,.0f}'} |"
        for step in steps
    ]


def _samples(run: Outcome) -> list[str]:
    lines: list[str] = []
    for prompt in dict.fromkeys(sample.prompt for sample in run.samples):
        lines += ["" if lines else "\n## Samples\n", f"Prompt: {_quoted(prompt)}", ""]
        for sample in run.samples:
            if sample.prompt == prompt:
                lines.append(f"- {sample.when}: {_quoted(sample.completion)}")
    return lines


def _quoted(value: str) -> str:
    """Text from elsewhere, on one line, in code marks that it cannot close."""
    flat = value.replace("\r", "").replace("\n", "⏎")
    fence = "`"
    while fence in flat:
        fence += "`"
    return f"{fence} {flat} {fence}" if flat.strip() else "(nothing)"


def _cell(value: str) -> str:
    flat = " ".join(value.split())
    return flat.replace("|", "\\|").replace("<", "&lt;")
