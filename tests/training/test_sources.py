"""Which files and hub ids a config's run reads, and what is refused instead of being read otherwise."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from loraplan.engine import Checker
from loraplan.formats.reading import Reading
from loraplan.training import TrainingError
from loraplan.training.prompts import first_prompts
from loraplan.training.sources import of_options, of_run
from tests.training.dialects import DIALECTS

AXOLOTL = "base_model: m\nadapter: lora\nlora_r: 8\nlora_alpha: 8\nlora_target_linear: true\ndatasets:\n"


def _reading(path: Path, text: str) -> Reading:
    path.write_text(text, encoding="utf-8")
    return Checker().read(str(path))[1][0]


@pytest.mark.parametrize("name", DIALECTS)
def test_each_dialects_local_file_is_found_beside_its_config(name: str, tmp_path: Path) -> None:
    config = DIALECTS[name](tmp_path)
    [source] = of_run(Checker().read(str(config))[1][0])
    assert (source.kind, source.role) == ("file", "train")
    path = Path(source.source)
    assert path.is_absolute()
    assert path.parent == tmp_path
    assert source.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_forms_and_columns_that_a_config_states_are_kept(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"q": "x", "a": "y"}\n')
    rows = "  - path: a.jsonl\n    type: alpaca\n    field_instruction: q\n    field_output: a\n"
    rows += "  - path: a.jsonl\n    type: chat_template\n    field_messages: turns\n"
    rows += "  - path: a.jsonl\n    type: chat_template\n    field_messages: conversations\n"
    first, second, third = of_run(_reading(tmp_path / "c.yml", AXOLOTL + rows))
    assert (first.form, first.columns) == ("alpaca", {"instruction": "q", "output": "a"})
    assert (second.form, second.columns) == ("messages", {"messages": "turns"})
    assert (third.form, third.columns) == (None, {})


def test_llamafactory_columns(tmp_path: Path) -> None:
    entry = {"file_name": "a.json", "columns": {"prompt": "q", "response": "a", "query": "input"}}
    chat = {"file_name": "a.json", "formatting": "sharegpt", "columns": {"messages": "talk"}}
    (tmp_path / "dataset_info.json").write_text(json.dumps({"one": entry, "two": chat}))
    (tmp_path / "a.json").write_text("[]")
    text = (
        "model_name_or_path: m\nstage: sft\nfinetuning_type: lora\nlora_target: all\ndataset: one,two\ndataset_dir: .\n"
    )
    one, two = of_run(_reading(tmp_path / "c.yaml", text))
    assert (one.form, one.columns) == ("alpaca", {"instruction": "q", "output": "a"})
    assert (two.form, two.columns) == ("messages", {"messages": "talk"})


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("path: org/data\n    type: alpaca\n    split: train[:10%]", r"takes train\[:10%\] of org/data"),
        ("path: org/data\n    type: alpaca\n    shards: 4", "takes one shard of org/data"),
        ("path: gone.jsonl\n    type: alpaca", r"data file gone\.jsonl not found"),
        ("path: s3://bucket/x.jsonl\n    type: alpaca", "not downloaded"),
    ],
)
def test_a_part_of_a_data_set_is_refused_with_a_remedy(tmp_path: Path, row: str, reason: str) -> None:
    with pytest.raises(TrainingError, match=reason) as raised:
        of_run(_reading(tmp_path / "c.yml", f"{AXOLOTL}  - {row}\n"))
    assert "--data" in str(raised.value)


def test_hub_ids_are_left_to_the_hub(tmp_path: Path) -> None:
    [source] = of_run(_reading(tmp_path / "c.yml", f"{AXOLOTL}  - path: org/data\n    type: alpaca\n    name: en\n"))
    assert (source.kind, source.source, source.subset, source.sha256) == ("hub", "org/data", "en", None)


def test_the_command_lines_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.jsonl").write_text('{"prompt": "p1", "completion": "c"}\n{"prompt": "p2", "completion": "c"}\n')
    (tmp_path / "folder").mkdir()
    train, held_out = of_options(("a.jsonl",), ("folder",), "prompt_completion")
    assert (train.role, train.kind, train.form) == ("train", "file", "prompt_completion")
    assert (held_out.role, held_out.kind) == ("eval", "directory")
    assert first_prompts((train,)) == ("p1", "p2")
    with pytest.raises(TrainingError, match="not found"):
        of_options(("missing.jsonl",), (), None)


def test_prompts_of_the_held_out_data_come_first_and_broken_rows_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"prompt": "train", "completion": "c"}\n')
    (tmp_path / "b.jsonl").write_text(
        'not json\n{"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "asked"},'
        ' {"role": "assistant", "content": "a"}]}\n'
    )
    data = of_options((str(tmp_path / "a.jsonl"),), (str(tmp_path / "b.jsonl"),), None)
    assert first_prompts(data) == ("asked",)
    (tmp_path / "c.jsonl").write_text('{"instruction": "do", "input": "this", "output": "c"}\n')
    assert first_prompts(of_options((str(tmp_path / "c.jsonl"),), (), None)) == ("do\nthis",)
