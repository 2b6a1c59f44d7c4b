"""`loraplan diff` from arguments to exit code."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from loraplan.cli import main

OLD = """\
base_model: NousResearch/Llama-3.2-1B
datasets:
  - path: tatsu-lab/alpaca
    type: alpaca
adapter: lora
lora_r: 16
lora_alpha: 32
lora_target_modules: [q_proj, v_proj]
learning_rate: 0.0002
micro_batch_size: 2
max_steps: 100
"""
NEW = OLD.replace("lora_r: 16", "lora_r: 64").replace("0.0002", "0.0004").replace("[q_proj, v_proj]", "[v_proj]")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "a.yml").write_text(OLD)
    (tmp_path / "b.yml").write_text(NEW)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as caught:
        main(["diff", *arguments])
    assert isinstance(caught.value.code, int)
    return caught.value.code, *capsys.readouterr()


def test_effect_stands_beside_the_fields(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "a.yml", "b.yml")
    rows = [" ".join(line.split()) for line in out.splitlines()]
    assert code == 0
    assert rows[0] == "a.yml -> b.yml"
    assert "scaling 2 -> 0.5 (x0.25)" in rows
    assert "step size (learning rate x alpha) 0.0064 -> 0.0128 (x2)" in rows
    assert "targets [q_proj, v_proj] -> [v_proj]" in rows
    assert "adapter.r 16 -> 64" in rows[rows.index("fields:") :]


def test_no_difference(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "b.yml").write_text("# the same\n" + OLD)
    assert run(capsys, "a.yml", "b.yml")[:2] == (0, "a.yml -> b.yml\nno difference\n")


def test_json(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(run(capsys, "a.yml", "b.yml", "--format", "json")[1])
    (only,) = found["runs"]
    assert {"name": "scaling", "old": 2.0, "new": 0.5} in only["effect"]
    rank = next(item for item in only["fields"] if item["field"] == "adapter.r")
    assert (rank["old"], rank["new"], rank["new_origin"]["key_path"]) == (16, 64, ["lora_r"])


def test_a_revision(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    for arguments in (["init", "-q"], ["add", "a.yml"], [*who, "commit", "-qm", "x"]):
        subprocess.run(["git", *arguments], check=True)
    (project / "a.yml").write_text(NEW)
    code, out, _ = run(capsys, "HEAD:a.yml", "a.yml")
    assert code == 0
    assert out.splitlines()[0] == "HEAD:a.yml -> a.yml"
    assert "16 -> 64" in out


@pytest.mark.parametrize("name", ["none.yml", "HEAD:none.yml", "--x:a.yml", ":a.yml"])
def test_what_is_not_there(project: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    code, out, err = run(capsys, "--", name, "b.yml")
    assert (code, out) == (2, "")
    assert name in err
