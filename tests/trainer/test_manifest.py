"""The manifest crosses a process boundary: what is written is read back, what is not valid is named."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from loraplan.plan import build
from loraplan_trainer.manifest import DataSource, Manifest, ManifestError, read, write


def make(tmp_path: Path) -> Manifest:
    plan = build({
        "method": "sft", "model.name": "m", "adapter.r": 16.0, "adapter.target_modules": ("q_proj", "v_proj"),
        "adapter.rank_pattern": {"q_proj": 8.0}, "data.datasets": ("a", "b"),
    })  # fmt: skip
    source = DataSource(source="/data/rows.jsonl", kind="file", columns={"completion": "answer"})
    return Manifest(plan=plan, data=(source,), run_directory=str(tmp_path), seed=3)


def test_written_and_read_back(tmp_path: Path) -> None:
    made = make(tmp_path)
    write(made, tmp_path / "manifest.json")
    assert read(tmp_path / "manifest.json") == made


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("schema_version", 2, "schema_version 2, this trainer reads 1"),
        ("seed", -1, "seed: "),
        ("run_directory", "runs/1", "run_directory: Value error, must be an absolute path"),
        ("data", [], "data: "),
        ("plan", {"adapter": {"rank": 8}}, "plan.adapter.rank: "),
        ("plan", {"adapter": {"r": "eight"}}, "plan.adapter.r: "),
        ("plan", {"run": {"seed": 4}}, "seed 3 is not the plan's run.seed 4"),
        ("broken_rows", "ignore", "broken_rows: "),
        ("unknown", 1, "unknown: "),
    ],
)
def test_what_is_not_valid_is_named(field: str, value: object, said: str, tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    write(make(tmp_path), path)
    path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))
    with pytest.raises(ManifestError, match="^" + str(path)) as caught:
        read(path)
    assert said in str(caught.value)


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[]", b"null"])
def test_what_is_no_manifest_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    path.write_bytes(content)
    with pytest.raises(ManifestError, match="^" + str(path)):
        read(path)
    with pytest.raises(ManifestError, match="cannot be read"):
        read(tmp_path / "absent.json")


@pytest.mark.parametrize(
    ("given", "processes", "seen"),
    [(None, "1", "0"), ("2,3", "1", "2"), ("", "1", ""), ("2,3", "2", "2,3")],
)
def test_one_process_sees_one_card(
    given: str | None, processes: str, seen: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from loraplan_trainer.__main__ import main

    for name in ("HF_HUB_DISABLE_TELEMETRY", "TOKENIZERS_PARALLELISM", "TRANSFORMERS_VERBOSITY", "TQDM_DISABLE"):
        monkeypatch.setenv(name, os.environ.get(name, "1"))
    monkeypatch.setenv("WORLD_SIZE", processes)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given or "")
    if given is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert main([str(tmp_path / "absent.json")]) == 2
    assert os.environ["CUDA_VISIBLE_DEVICES"] == seen


def test_usage_and_a_bad_manifest_exit_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from loraplan_trainer.__main__ import USAGE, main

    assert main([]) == 2
    assert USAGE in capsys.readouterr().err
