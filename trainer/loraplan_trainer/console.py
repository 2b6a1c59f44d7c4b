"""One plain line for people per record of the log. Needs no torch."""

from __future__ import annotations

from loraplan_trainer.events import (
    Broken,
    Checkpoint,
    DataStatistics,
    End,
    Evaluation,
    Event,
    Failed,
    Merge,
    ModelReady,
    PhaseMemory,
    PlanField,
    Start,
    Step,
    Warned,
)


def line(event: Event) -> str | None:
    """None for what a person need not see while the run goes on."""
    match event:
        case Start():
            resumed = "" if event.resumed_from is None else f", resuming after step {event.resumed_from}"
            return f"start: {event.device}, {event.processes} process(es){resumed}"
        case PlanField(outcome="no_effect"):
            return f"note: {event.name} {event.value!r} has no effect here: {event.text}"
        case Broken():
            return f"broken row: {event.source}:{event.line}: {event.reason}"
        case DataStatistics():
            return _data(event)
        case ModelReady():
            share = event.trainable / event.parameters if event.parameters else 0
            return (
                f"model: {event.parameters:,} parameters, {event.trainable:,} trained ({share:.2%}) in "
                f"{event.adapted_modules} adapted modules, {event.steps or 'unknown'} steps of "
                f"{event.examples_per_step} examples"
            )
        case Step():
            return _step(event)
        case Evaluation():
            loss = "no loss" if event.loss is None else f"loss {event.loss:.4f}"
            return f"eval after step {event.step}: {loss}"
        case Checkpoint():
            return f"checkpoint of step {event.step}: {event.path}"
        case Merge():
            return f"merged: {event.path} ({event.dtype}), logits within {event.largest_difference:.2g}"
        case PhaseMemory():
            return f"memory: {event.phase} peak {_gib(event.peak)} ({_kind(event.memory_source)})"
        case Warned():
            return f"warning: {event.text}"
        case Failed():
            return f"error: {event.text}" + "".join(f"\n  would fit: {text}" for text in event.suggestions)
        case End():
            return f"end: {event.outcome} after step {event.step}, {event.seconds:.0f} s"
    return None


def _data(event: DataStatistics) -> str:
    sampled = "first " if event.sampled else ""
    cut = "" if event.truncated is None else f", {event.truncated:.1%} truncated"
    return (
        f"{event.role} data: {sampled}{event.rows:,} rows as {'+'.join(event.forms)}, {event.broken} broken, "
        f"{event.tokens or 0:,} tokens, longest {event.longest}{cut}"
    )


def _step(event: Step) -> str:
    parts = [f"step {event.step}/{event.steps or '?'}", f"loss {event.loss:.4f}", f"lr {event.lr:.3g}"]
    if event.grad_norm is not None:
        parts.append(f"grad norm {event.grad_norm:.3g}")
    if event.tokens_per_s is not None:
        parts.append(f"{event.tokens_per_s:,.0f} tokens/s")
    parts.append(f"{_gib(event.memory_now)} now, {_gib(event.memory_peak)} peak ({_kind(event.memory_source)})")
    if event.eta is not None:
        minutes, seconds = divmod(round(event.eta), 60)
        parts.append(f"{minutes}:{seconds:02d} left")
    return "  ".join(parts)


def _gib(size: int) -> str:
    return f"{size / 2**30:.2f} GiB"


def _kind(source: str) -> str:
    return "allocated on the card" if source == "cuda" else "resident memory of the process"
