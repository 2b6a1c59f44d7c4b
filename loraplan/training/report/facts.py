"""What both reports say of a run, as rows of text: outcome, data, memory by phase, fields."""

from __future__ import annotations

from typing import NamedTuple

from loraplan.context import words
from loraplan.training.comparison import said
from loraplan.training.outcome import Outcome
from loraplan.training.prediction import gib
from loraplan_trainer.events import DataStatistics

SOURCES = {"cuda": "torch's allocator on the card", "rss": "resident memory of the process"}
_PHASES = ("load", "adapter", "forward", "backward", "step", "evaluation", "save")
_STATES = {
    "done": "trained",
    "dry_run": "rehearsed",
    "interrupted": "interrupted; a checkpoint was written",
    "failed": "failed",
    "unfinished": "ended without a last record (killed, or still running)",
}


class Phase(NamedTuple):
    """One phase's peak in words; `ratio` is predicted / measured where both are the same counter."""

    name: str
    predicted: str
    measured: str
    ratio: str


def title(run: Outcome) -> str:
    """The run in a line."""
    plan = run.manifest.plan
    name = (plan.model.name or "a model").rstrip("/").rpartition("/")[2]
    kind = "full fine-tuning" if plan.adapter.method == "none" else "LoRA"
    if plan.adapter.method != "none" and (plan.quantization.bits in (4, 8) or plan.quantization.load_in_4bit):
        kind = "QLoRA" if plan.quantization.bits == 4 or plan.quantization.load_in_4bit else "LoRA on int8"
    rank = f" r={plan.adapter.r:g}" if plan.adapter.r is not None and plan.adapter.method != "none" else ""
    return f"{kind}{rank} on {name}"


def overview(run: Outcome) -> list[tuple[str, str]]:
    """What came of it."""
    figures = run.figures()
    manifest = run.manifest
    rows = [("outcome", _STATES[run.state])]
    if run.failed is not None:
        rows.append(("reason", run.failed.text))
    if run.steps:
        rows.append(("steps", f"{figures['steps']} of {run.steps[-1].steps or 'unknown'}"))
        rows.append(("training loss", f"{figures['first_loss']:.4f} -> {figures['last_loss']:.4f}"))
    losses = [item.loss for item in run.evaluations if item.loss is not None]
    if losses:
        rows.append(("held-out loss", " -> ".join(f"{loss:.4f}" for loss in dict.fromkeys((losses[0], losses[-1])))))
    if figures["tokens_per_s"] is not None:
        rows.append(("speed", f"{figures['tokens_per_s']:,.0f} tokens/s (mean over logged steps, padding left out)"))
    if run.seconds:
        rows.append(("time", said("seconds", run.seconds) + f", {run.resumed} resumption(s)" * bool(run.resumed)))
    if run.start is not None:
        rows.append(("device", f"{run.start.device}, {run.start.processes} process(es)"))
    if run.model is not None:
        share = run.model.trainable / run.model.parameters if run.model.parameters else 0
        rows.append(("trained", f"{run.model.trainable:,} of {run.model.parameters:,} parameters ({share:.2%})"))
    if run.end is not None and run.end.adapter is not None:
        rows.append(("adapter", run.end.adapter))
    if run.merge is not None:
        difference = f"logits within {run.merge.largest_difference:.2g} of the adapter's"
        rows.append(("merged model", f"{run.merge.path} ({run.merge.dtype}), {difference}"))
    rows.append(("seed", str(manifest.seed)))
    if manifest.config is not None:
        rows.append(("config", f"{manifest.config.path} ({manifest.config.format})"))
    if manifest.git is not None:
        rows.append(("git", manifest.git.commit[:12] + (" with uncommitted changes" if manifest.git.dirty else "")))
    return rows


def data(item: DataStatistics) -> str:
    """One data set in a sentence."""
    parts = [f"{item.rows:,} rows ({', '.join(item.forms)})"]
    if item.tokens is not None:
        parts.append(f"{item.tokens:,} tokens")
    if item.longest is not None:
        parts.append(f"longest {item.longest:,}")
    if item.trained_tokens is not None:
        parts.append(f"{item.trained_tokens:,} in the loss")
    if item.truncated is not None:
        parts.append(f"{item.truncated:.1%} cut")
    if item.broken:
        parts.append(f"{item.broken} broken")
    return f"{item.role}: {', '.join(parts)}; {', '.join(item.sources)}"


def memory(run: Outcome) -> list[Phase]:
    """Predicted and measured peaks, phase by phase, the whole last."""
    predicted = run.manifest.predicted
    phases = predicted.phases if predicted is not None else {}
    names = [name for name in _PHASES if name in phases or name in run.memory]
    alike = run.memory_source == "cuda"
    rows = [_phase(name, phases.get(name), run.memory.get(name), alike) for name in names]
    if rows:
        rows.append(_phase("whole run", predicted.total if predicted is not None else None, run.peak, alike))
    return rows


def memory_note(run: Outcome) -> str:
    """What the two columns are."""
    if run.memory_source == "rss":
        return (
            "Measured is the resident memory of the trainer's process, with Python and its libraries (several hundred "
            "MiB before a model is loaded), read where a phase ends. Predicted are the tensors that a GPU would hold, "
            "so the two are no measure of each other here."
        )
    return (
        "Measured by phase is torch.cuda.max_memory_allocated within the phase; predicted are the bytes alive at that "
        "instant of a step. The card holds the CUDA context and the allocator's reserve besides."
    )


def changed(run: Outcome) -> list[tuple[str, str, str]]:
    """Fields that have no effect or that a library's default filled in: name, value, why."""
    return [(item.name, words(item.value), item.text) for item in run.fields if item.outcome != "honoured"]


def _phase(name: str, predicted: int | None, measured: int | None, alike: bool) -> Phase:
    ratio = f"{predicted / measured:.2f}" if alike and predicted and measured else "-"
    return Phase(name, "-" if predicted is None else gib(predicted), "-" if measured is None else gib(measured), ratio)
