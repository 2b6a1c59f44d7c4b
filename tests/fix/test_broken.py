"""Edits that do what no fix may do: nothing is written, and the user is told of a bug of LoRAPlan."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from loraplan.cli import main
from loraplan.document import Span
from loraplan.document.edit import Edit
from loraplan.engine import Checker, Overrides
from loraplan.fixing import fix_text
from loraplan.fixing.verify import audit
from loraplan.formats.reading import Reading
from loraplan.rule import Fix, Set
from tests.fix.test_golden import AXOLOTL

BAD = AXOLOTL.replace("lora_alpha: 32", "lora_alpha: 1").replace("cosine", "constant")
Way = Callable[[Reading, Fix], Iterator[list[Edit]]]


def _edit(text: str, old: str, new: str) -> Edit:
    start = text.index(old)
    return Edit(Span(start, start + len(old)), new)


def also_the_rank(reading: Reading, fix: Fix) -> Iterator[list[Edit]]:
    text = reading.document.text
    yield [_edit(text, "lora_alpha: 1", "lora_alpha: 32"), _edit(text, "lora_r: 16", "lora_rr: 16")]


def also_a_key_nobody_reads(reading: Reading, fix: Fix) -> Iterator[list[Edit]]:
    text = reading.document.text
    yield [_edit(text, "lora_alpha: 1", "lora_alpha: 32\nx: [1]\ny: 1")]


def a_key_fewer(reading: Reading, fix: Fix) -> Iterator[list[Edit]]:
    text = reading.document.text
    yield [_edit(text, "lora_alpha: 1", "lora_alpha: 32"), _edit(text, "    type: alpaca\n", "")]


def a_part_of_a_list(reading: Reading, fix: Fix) -> Iterator[list[Edit]]:
    text = reading.document.text
    yield [_edit(text, "lora_alpha: 1", "lora_alpha: 32"), _edit(text, "- path", "-\n    path")]


def no_yaml(reading: Reading, fix: Fix) -> Iterator[list[Edit]]:
    yield [_edit(reading.document.text, "lora_alpha: 1", "lora_alpha: [1")]


def no_config(reading: Reading, fix: Fix) -> Iterator[list[Edit]]:
    yield [Edit(Span(0, len(reading.document.text)), "x: 1\n")]


INJECTED: dict[str, tuple[Way, str]] = {
    "another field": (also_the_rank, "lora_r would change too"),
    "another key": (also_a_key_nobody_reads, "x would change too"),
    "a key fewer": (a_key_fewer, "datasets.0.type would change too"),
    "a part of a list": (a_part_of_a_list, "datasets.0.path would change too"),
    "no YAML": (no_yaml, "the file could not be read any more: "),
    "no config": (no_config, "the file would not be recognised any more"),
}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "qlora.yml"
    path.write_text(BAD, encoding="utf-8")
    return path


class Done(NamedTuple):
    exit_code: object
    output: str


def run(*arguments: Any) -> Done:
    output = io.StringIO()
    with redirect_stdout(output), redirect_stderr(output), pytest.raises(SystemExit) as ended:
        main([*map(str, arguments), "--isolated"])
    return Done(ended.value.code, output.getvalue())


@pytest.mark.parametrize("name", INJECTED)
def test_a_bad_edit_is_reported_and_nothing_is_written(
    name: str, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    way, reason = INJECTED[name]
    monkeypatch.setattr("loraplan.fixing.one.ways", way)
    done = run("check", "--fix", "--unsafe-fixes", "--select", "ALP001,WRM003", config)
    assert config.read_text("utf-8") == BAD
    assert done.exit_code == 2
    assert f"bug in LoRAPlan: the fix of ALP001 on line 9 (set lora_alpha to 32) went wrong: {reason}" in done.output
    for words in (
        str(config),
        "nothing was written to this file",
        "please report it",
        "loraplan 0.",
        "--ignore ALP001",
    ):
        assert words in done.output
    assert "warning ALP001" in done.output  # the finding stays
    assert "fixed 0" in done.output
    shown = run("check", "--diff", "--unsafe-fixes", "--select", "ALP001", config)
    assert (shown.exit_code, "+++" in shown.output) == (2, False)


def test_other_files_are_fixed_all_the_same(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from loraplan.fixing.changes import ways

    def bad_once(reading: Reading, fix: Fix) -> Iterator[list[Edit]]:
        return (also_the_rank if reading.document.path.endswith("qlora.yml") else ways)(reading, fix)

    other = config.parent / "other.yml"
    other.write_text(BAD, encoding="utf-8")
    monkeypatch.setattr("loraplan.fixing.one.ways", bad_once)
    done = run("check", "--fix", "--unsafe-fixes", config, other)
    assert done.exit_code == 2
    assert config.read_text("utf-8") == BAD
    assert other.read_text("utf-8") == AXOLOTL.replace("cosine", "constant_with_warmup")


def test_no_plan_is_written_either(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loraplan.fixing.one.ways", also_the_rank)
    done = run("fix", "--unsafe-fixes", "--select", "ALP001", config, "-o", config.parent / "plan.yaml")
    assert done.exit_code == 2
    assert "bug in LoRAPlan: the fix of ALP001" in done.output
    assert not (config.parent / "plan.yaml").exists()


def test_a_second_way_that_is_right_is_taken(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from loraplan.fixing.changes import ways

    def several(reading: Reading, fix: Fix) -> Iterator[list[Edit]]:
        yield from also_the_rank(reading, fix)
        yield from ways(reading, fix)

    monkeypatch.setattr("loraplan.fixing.one.ways", several)
    done = run("check", "--fix", "--unsafe-fixes", "--select", "ALP001", config)
    assert done.exit_code == 0
    assert config.read_text("utf-8") == BAD.replace("lora_alpha: 1", "lora_alpha: 32")


def test_what_the_proofs_let_through_the_last_look_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loraplan.fixing.one.objection", lambda *_: None)
    monkeypatch.setattr("loraplan.fixing.one.ways", also_the_rank)
    checker = Checker(overrides=Overrides(select=("ALP001",), isolated=True))
    done = fix_text(checker, "qlora.yml", BAD, unsafe=True)
    assert done is not None
    assert (done.text, done.applied) == (BAD, [])
    assert [item.reason for item in done.broken] == ["adapter.r is changed too"]


def test_an_issue_address_is_named_where_one_is_stated(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loraplan.home.address", {"Issues": "https://git.example.org/loraplan/issues"}.get)
    monkeypatch.setattr("loraplan.fixing.one.ways", also_the_rank)
    done = run("check", "--fix", "--unsafe-fixes", "--select", "ALP001", config)
    assert "please report it at https://git.example.org/loraplan/issues with the config" in done.output


@pytest.mark.parametrize(
    ("after", "reason"),
    [
        (AXOLOTL.replace("lora_alpha: 32", "lora_alpha: 64"), None),
        (
            AXOLOTL.replace("lora_alpha: 32", "lora_alpha: 64").replace("lora_r: 16", "lora_r: 8"),
            "adapter.r is changed",
        ),
        (AXOLOTL.replace("   # rank", ""), "the comment # rank is lost"),
        (AXOLOTL.replace("lora_r: 16   # rank", "# rank"), "adapter.r is changed"),
        (AXOLOTL + "seed: 3\n", "run.seed is changed"),
        ("peft_type: LORA\nr: 8\n", "read as something else"),
    ],
)
def test_the_last_look(after: str, reason: str | None) -> None:
    checker = Checker(overrides=Overrides(isolated=True))
    runs = [checker.read("a.yml", text=text)[1] for text in (AXOLOTL, after)]
    found = audit(runs[0], runs[1], [Fix("set it", (Set("adapter.alpha", 64),), "safe")])
    assert (found is None) == (reason is None)
    assert reason is None or reason in str(found)
