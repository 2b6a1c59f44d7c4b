"""Reports of a run: Markdown and HTML, plots that are well-formed, a row of measured memory."""

from __future__ import annotations

import json
import math
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from loraplan.training import measured, outcome
from loraplan.training.report import curves, facts, markdown, page, summary, write
from tests.training.harness import records, step
from tests.training.runs import END, MODEL, START, finished, make_manifest

SVG = "{http://www.w3.org/2000/svg}"


def test_the_report_has_figures_memory_samples_and_nothing_that_breaks_out_of_its_place(tmp_path: Path) -> None:
    lines = write(finished(tmp_path / "run"))
    assert lines[0] == "loss 3.0000 -> 1.0000 in 4 steps, 12 s"
    text = (tmp_path / "run" / "report.md").read_text()
    assert text.startswith("# LoRA r=8 on tiny\n")
    assert "| training loss | 3.0000 -> 1.0000 |" in text
    assert "| held-out loss | 2.5000 -> 1.2500 |" in text
    assert "| backward | 8 MiB | 7 MiB | - |" in text
    assert "| load | 2 MiB | 3 MiB | - |" in text
    assert "- watch \\| out" in text
    assert "- before: `` no⏎way ``" in text or "- before: ` no⏎way `" in text
    assert "Prompt: `` say `hi` <now> ``" in text
    html = (tmp_path / "run" / "report.html").read_text()
    assert "<script>" not in html
    assert "hi &lt;script&gt;" in html
    assert "&lt;b&gt;hello&lt;/b&gt; &amp; bye" in html
    assert html.count("<svg") == 4


def test_on_a_card_the_two_memories_are_compared(tmp_path: Path) -> None:
    log = finished(tmp_path / "run") / "log.jsonl"
    log.write_text(log.read_text().replace('"rss"', '"cuda"'))
    rows = {row.name: row for row in facts.memory(outcome.read(tmp_path / "run"))}
    assert (rows["backward"].ratio, rows["load"].ratio, rows["whole run"].ratio) == ("1.14", "0.67", "1.14")


def test_the_page_is_well_formed(tmp_path: Path) -> None:
    html = page.text(outcome.read(finished(tmp_path / "run")))
    body = html[html.index("<body>") : html.index("</html>")]
    body = body.replace("class=number", 'class="number"').replace("<hr>", "<hr/>")
    assert ET.fromstring(body).tag == "body"


def test_a_run_that_never_stepped_still_has_a_report(tmp_path: Path) -> None:
    make_manifest(tmp_path / "run")
    records(
        tmp_path / "run", START, {"event": "error", "kind": "cannot_run", "text": "no such model", "phase": "load"},
        {**END, "outcome": "failed", "exit_code": 2, "step": 0, "adapter": None},
    )  # fmt: skip
    write(tmp_path / "run")
    text = (tmp_path / "run" / "report.md").read_text()
    assert "| outcome | failed |" in text
    assert "| reason | no such model |" in text
    assert not (tmp_path / "run" / "measured.jsonl").exists()


def test_a_loss_that_is_no_number_is_shown_and_leaves_a_gap(tmp_path: Path) -> None:
    run = outcome.read(finished(tmp_path / "run", losses=(3.0, 2.0, "NaN", 1.0)))
    assert math.isnan(run.steps[2].loss)
    assert "| 3 | nan |" in markdown.text(run)
    lines = ET.fromstring(page.plots(run)[0]).findall(f"{SVG}polyline")
    assert [len(line.attrib["points"].split()) for line in lines][:1] == [2]


def test_plots_keep_points_inside_and_ticks_round() -> None:
    points = [(float(x), 0.001 * x * x) for x in range(1, 50)]
    drawn = ET.fromstring(curves.plot("A < B", "step", [curves.Series("a", points, "#000")]))
    assert drawn.find(f"{SVG}text").text == "A < B"  # type: ignore[union-attr]
    [line] = drawn.findall(f"{SVG}polyline")
    for pair in line.attrib["points"].split():
        x, y = map(float, pair.split(","))
        assert 64 <= x <= 624
        assert 34 <= y <= 224
    labels = [item.text for item in drawn.findall(f"{SVG}text")]
    assert {"0", "0.5", "1.0", "1.5", "2.0", "2.5"} <= set(labels)


@pytest.mark.parametrize("values", [[], [math.nan], [2.0], [0.0, 0.0], [-1e-9, 1e-9], [1e12, 3e12]])
def test_any_values_give_a_plot(values: list[float]) -> None:
    points = [(float(index), value) for index, value in enumerate(values)]
    assert ET.fromstring(curves.plot("t", "x", [curves.Series("a", points, "#000")])).tag == f"{SVG}svg"


@pytest.mark.parametrize(
    ("value", "step_", "text"),
    [(0.25, 0.05, "0.25"), (1000.0, 500.0, "1,000"), (2e-4, 5e-5, "2e-4"), (1.5e-4, 5e-5, "1.5e-4"), (0.0, 1e-5, "0")],
)
def test_labels(value: float, step_: float, text: str) -> None:
    assert curves.label(value, step_) == text


def test_a_resumed_step_replaces_the_one_before(tmp_path: Path) -> None:
    make_manifest(tmp_path)
    records(
        tmp_path, START, MODEL, step(1, 3.0), step(2, 2.0), step(3, 9.0), {**START, "resumed_from": 2}, step(3, 1.5),
        END,
    )  # fmt: skip
    run = outcome.read(tmp_path)
    assert [(item.step, item.loss) for item in run.steps] == [(1, 3.0), (2, 2.0), (3, 1.5)]
    assert run.resumed == 1


def test_a_run_that_was_killed_is_unfinished(tmp_path: Path) -> None:
    make_manifest(tmp_path)
    records(tmp_path, START, step(1, 3.0))
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"event": "step", "st')
    run = outcome.read(tmp_path)
    assert (run.state, len(run.steps)) == ("unfinished", 1)
    assert "killed" in dict(facts.overview(run))["outcome"]


def test_speed_is_the_harmonic_mean_without_the_first_step(tmp_path: Path) -> None:
    run = outcome.read(finished(tmp_path))
    assert run.tokens_per_s == pytest.approx(3 / (1 / 200 + 1 / 300 + 1 / 400))


def test_the_summary_names_both_memories_with_their_source(tmp_path: Path) -> None:
    assert "(resident memory of the process), predicted 8 MiB" in summary(outcome.read(finished(tmp_path)))[1]


def test_measured_rows_have_the_schemas_fields(tmp_path: Path) -> None:
    row = measured.row(outcome.read(finished(tmp_path / "run")))
    assert row is not None
    assert (row["measured_bytes"], row["method"], row["seq_len_max"]) == (7 << 20, "lora", 50)
    assert row["seq_len_mean"] == 20
    assert json.loads(measured.line(row)) == row
    known = Path(__file__).parents[3] / "shared" / "memory" / "measured.jsonl"
    if not known.is_file():
        pytest.skip("no measured rows here")
    assert list(row) == list(json.loads(known.read_text().splitlines()[0]))
