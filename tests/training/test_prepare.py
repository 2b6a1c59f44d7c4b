"""What is decided before a process starts: overrides, refused fields, devices, memory, the manifest."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from loraplan.engine import Checker
from loraplan.plan import build, get, ordered_names
from loraplan.training import TrainingError
from loraplan.training.assembly import Choices, manifest
from loraplan.training.hardware import Card
from loraplan.training.outcome import differences
from loraplan.training.overrides import Override, apply
from loraplan.training.prediction import PHASES, predict
from loraplan.training.prepare import Asked, Prepared, prepare
from loraplan_trainer import manifest as manifests
from tests.training.dialects import DIALECTS
from tests.training.harness import CONFIG

H100 = Card(0, "NVIDIA H100 80GB HBM3", 80 << 30, 0, "580")
LLAMA = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 64, "intermediate_size": 128,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 300,
    "max_position_embeddings": 256, "tie_word_embeddings": False,
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "config.json").write_text(json.dumps(LLAMA))
    for name in ("rows", "held"):
        (tmp_path / f"{name}.jsonl").write_text('{"prompt": "p", "completion": "c"}\n')
    return tmp_path


def _prepared(folder: Path, text: str = CONFIG, *, cards: tuple[Card, ...] = (), **asked: object) -> Prepared:
    (folder / "run.yaml").write_text(text, encoding="utf-8")
    checker = Checker()
    reading = checker.read(str(folder / "run.yaml"))[1][0]
    return prepare(checker, reading, Asked(**asked), cards)  # type: ignore[arg-type]


def test_overrides_say_what_they_replace() -> None:
    merged = apply(build({"run.seed": 3}), [Override("run.seed", 7, "--seed"), Override("method", "dpo", "--method")])
    assert (merged.plan.run.seed, merged.plan.method) == (7, "dpo")
    assert merged.said == {
        "run.seed": "--seed on the command line (config: 3)",
        "method": "--method on the command line",
    }


def test_the_model_is_found_beside_the_config_and_every_value_has_an_origin(folder: Path) -> None:
    prepared = _prepared(folder, overrides=[Override("run.seed", 9, "--seed")])
    assert prepared.plan.model.name == str(folder / "tiny")
    assert "no GPU here: training on the CPU" in prepared.notes
    made = manifest(
        prepared.reading, prepared.plan, prepared.said, prepared.data, folder / "run", Choices("cpu"),
        prepared.prediction,
    )  # fmt: skip
    assert made.seed == 9
    valued = {name for name in ordered_names() if get(prepared.plan, name) is not None}
    assert set(made.origins) == valued
    assert made.origins["run.seed"].text == "--seed on the command line (config: 7)"
    assert (made.origins["adapter.r"].line, made.origins["adapter.r"].file) == (4, str(folder / "run.yaml"))
    assert made.config is not None
    assert made.config.format == "loraplan"
    (folder / "run").mkdir()
    manifests.write(made, folder / "run" / "manifest.json")
    assert manifests.read(folder / "run" / "manifest.json") == made


def test_the_command_lines_model_is_seen_from_here_first(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "tiny").mkdir()
    monkeypatch.chdir(elsewhere)
    assert _prepared(folder, model="tiny").plan.model.name == str(elsewhere / "tiny")
    assert _prepared(folder, model="org/name").plan.model.name == "org/name"


@pytest.mark.parametrize("name", ["torchtune"])
def test_a_checkpoint_folder_stands_for_the_builders_model(name: str, folder: Path) -> None:
    config = DIALECTS[name](folder)
    checker = Checker()
    prepared = prepare(checker, checker.read(str(config))[1][0], Asked(), ())
    assert prepared.plan.model.name == str(folder / "tiny")
    assert "(config: meta-llama/Llama-3.2-1B-Instruct)" in prepared.said["model.name"]


def test_every_refused_field_is_named_with_its_key(folder: Path) -> None:
    text = CONFIG.replace("method: sft", "method: grpo").replace("adamw_torch", "muon")
    with pytest.raises(TrainingError) as raised:
        _prepared(folder, text)
    assert "method (method): 'grpo'" in str(raised.value)
    assert "optimizer.name (optimizer.name): 'muon'" in str(raised.value)


def test_values_without_effect_are_noted_where_they_are_written(folder: Path) -> None:
    text = CONFIG.replace("epochs: 1", "epochs: 1, max_steps: 5")
    notes = _prepared(folder, text).notes
    assert any(note.startswith("schedule.epochs 1 has no effect here: max_steps 5 wins") for note in notes)


def test_more_devices_than_there_are_need_a_word(folder: Path) -> None:
    text = CONFIG + "distributed: {devices: 4, strategy: ddp}\n"
    with pytest.raises(TrainingError, match=r"for 4 devices and there is no card here; --processes N"):
        _prepared(folder, text)
    with pytest.raises(TrainingError, match=r"for 4 devices and there is 1 card\(s\) here"):
        _prepared(folder, text, cards=(H100,))
    prepared = _prepared(folder, text, cards=(H100,), processes=1)
    assert (prepared.situation.device, prepared.situation.processes) == ("cuda", 1)
    assert "1 process(es) instead of 4: each step sees another number of examples" in prepared.notes
    assert _prepared(folder, text, anywhere=True).situation.processes == 4
    assert _prepared(folder, text, cards=(H100,) * 4).situation.processes == 4


def test_a_card_that_is_not_there_is_refused(folder: Path) -> None:
    with pytest.raises(TrainingError, match="nvidia-smi shows no card"):
        _prepared(folder, device="cuda")
    assert _prepared(folder, device="cpu", cards=(H100,)).situation.device == "cpu"


def test_data_of_the_command_line_replace_the_configs(folder: Path) -> None:
    prepared = _prepared(folder, data=(str(folder / "held.jsonl"),))
    assert [source.role for source in prepared.data] == ["train"]
    assert prepared.plan.data.eval_datasets is None
    assert any(note.startswith("the config's held-out data are left out") for note in prepared.notes)


def test_memory_is_compared_with_the_card(folder: Path) -> None:
    small = Card(0, "toy", 64 << 20, 60 << 20, "1")
    roomy = _prepared(folder, cards=(H100,)).prediction
    tight = _prepared(folder, cards=(small,)).prediction
    assert roomy.predicted is not None
    assert set(roomy.predicted.phases) == set(PHASES.values())
    assert (roomy.fits, tight.fits) == (True, False)
    assert _prepared(folder).prediction.fits is None
    assert predict(build({}), None, None).words == "memory not estimated: the model's architecture is unknown"


def test_differences_are_in_the_plans_order() -> None:
    old, new = build({"run.seed": 1, "adapter.r": 8.0}), build({"run.seed": 2, "adapter.r": 16.0})
    assert [tuple(item) for item in differences(old, new)] == [("adapter.r", 8.0, 16.0), ("run.seed", 1, 2)]
