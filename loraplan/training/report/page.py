"""The report as one HTML file that needs nothing else: plots are SVG within it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from loraplan import __version__
from loraplan.training.outcome import Outcome
from loraplan.training.report import facts
from loraplan.training.report.curves import Series, plot

_BLUE, _ORANGE = "#2a78d6", "#d9730d"

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: .2rem; }
h2 { font-size: 1.15rem; margin-top: 2.2rem; border-bottom: 1px solid var(--line); padding-bottom: .2rem; }
table { border-collapse: collapse; }
td, th { text-align: left; padding: .25rem .9rem .25rem 0; vertical-align: top; overflow-wrap: anywhere; }
th { font-weight: 600; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
tr + tr td { border-top: 1px solid var(--line); }
.state { display: inline-block; padding: .1rem .6rem; border-radius: 1rem; background: var(--soft); }
.state.failed { background: #c0392b33; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(24rem, 1fr)); gap: 1.5rem 2rem; }
svg { max-width: 100%; height: auto; }
pre { background: var(--soft); padding: .6rem .8rem; white-space: pre-wrap; overflow-wrap: anywhere; margin: .3rem 0; }
.note { opacity: .75; max-width: 48rem; }
""".strip()


def text(run: Outcome) -> str:
    """The whole page."""
    title = escape(facts.title(run))
    state = escape(run.state.replace("_", " "))
    overview = _table((), [[name, value] for name, value in facts.overview(run)[1:]])
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{title}</title><style>{_STYLE}</style></head><body>",
        f'<h1>{title}</h1><p><span class="state {escape(run.state)}">{state}</span></p>',
        overview,
    ]
    if run.steps:
        parts.append(f'<h2>Curves</h2><div class="plots">{"".join(plots(run))}</div>')
    if run.data:
        parts.append("<h2>Data</h2>" + "".join(f"<p>{escape(facts.data(item))}</p>" for item in run.data))
        example = run.data[0].example
        if example is not None:
            parts.append(f"<p>The first example as the model sees it:</p><pre>{escape(example)}</pre>")
    phases = facts.memory(run)
    if phases:
        head = ("phase", "predicted", "measured", "predicted / measured")
        parts.append(f"<h2>Peak memory</h2>{_table(head, phases, numbers=3)}")
        parts.append(f'<p class="note">{escape(facts.memory_note(run))}</p>')
    parts.append(_samples(run))
    if run.warnings:
        listed = "".join(f"<li>{escape(item)}</li>" for item in dict.fromkeys(run.warnings))
        parts.append(f"<h2>Warnings</h2><ul>{listed}</ul>")
    other = facts.changed(run)
    if other:
        parts.append("<h2>Fields without effect, and defaults</h2>" + _table(("field", "value", "why"), other))
    parts.append(f'<p class="note">Written by LoRAPlan {escape(__version__)}.</p></body></html>')
    return "\n".join(filter(None, parts)) + "\n"


def plots(run: Outcome) -> list[str]:
    """Loss, learning rate, gradient norm and memory over the steps, as SVG elements."""
    loss = [Series("training", [(step.step, step.loss) for step in run.steps], _BLUE)]
    held_out = [(item.step, item.loss) for item in run.evaluations if item.loss is not None]
    if held_out:
        loss.append(Series("held out", held_out, _ORANGE, marked=True))
    drawn = [
        plot("Loss", "step", loss),
        plot("Learning rate", "step", [Series("lr", [(step.step, step.lr) for step in run.steps], _BLUE)]),
    ]
    norms = [(step.step, step.grad_norm) for step in run.steps if step.grad_norm is not None]
    if norms:
        drawn.append(plot("Gradient norm", "step", [Series("norm", norms, _BLUE)]))
    rates = [(step.step, step.tokens_per_s) for step in run.steps if step.tokens_per_s is not None]
    if rates:
        drawn.append(plot("Tokens per second", "step", [Series("tokens/s", rates, _BLUE)]))
    return drawn


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: int = 0) -> str:
    """A table; its last `numbers` columns are set flush right."""

    def cells(tag: str, row: Sequence[str]) -> str:
        first = len(row) - numbers
        return "".join(
            f"<{tag}{' class=number' if index >= first else ''}>{escape(cell)}</{tag}>"
            for index, cell in enumerate(row)
        )

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    top = f"<tr>{cells('th', head)}</tr>" if head else ""
    return f"<table>{top}{body}</table>"


def _samples(run: Outcome) -> str:
    parts = []
    for prompt in dict.fromkeys(sample.prompt for sample in run.samples):
        rows = [
            f"<p>{sample.when}:</p><pre>{escape(sample.completion) or '(nothing)'}</pre>"
            for sample in run.samples
            if sample.prompt == prompt
        ]
        parts.append(f"<p>Prompt:</p><pre>{escape(prompt)}</pre>{''.join(rows)}")
    return f"<h2>Samples</h2>{'<hr>'.join(parts)}" if parts else ""
