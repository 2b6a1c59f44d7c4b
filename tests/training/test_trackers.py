"""Where a config's metrics go: each framework's keys, the command line, packages that are not here."""

from __future__ import annotations

from pathlib import Path

import pytest

from loraplan.engine import Checker
from loraplan.formats.reading import Reading
from loraplan.training import TrainingError
from loraplan.training.trackers import choose
from tests.training.dialects import AXOLOTL
from tests.training.harness import CONFIG

FACTORY = """\
stage: sft
model_name_or_path: ./tiny
finetuning_type: lora
lora_rank: 4
dataset: rows
template: default
output_dir: out
"""
TRL = """\
model_name_or_path: ./tiny
dataset_name: rows.jsonl
use_peft: true
lora_r: 4
output_dir: out
learning_rate: 1.0e-4
"""


def _read(folder: Path, text: str, name: str = "run.yaml") -> Reading:
    (folder / name).write_text(text, encoding="utf-8")
    return Checker().read(str(folder / name))[1][0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (AXOLOTL, ()),
        (AXOLOTL + "use_wandb: true\n", ("wandb",)),
        (AXOLOTL + "wandb_project: mine\n", ("wandb",)),
        (AXOLOTL + "wandb_project:\nwandb_name: x\n", ()),
        (AXOLOTL + "wandb_project: mine\nwandb_mode: disabled\n", ()),
        (AXOLOTL + "use_mlflow: true\nuse_tensorboard: true\n", ("tensorboard", "mlflow")),
        (AXOLOTL + "trackio_project_name: mine\n", ("trackio",)),
        (FACTORY + "report_to: wandb\n", ("wandb",)),
        (FACTORY + "report_to: none\n", ()),
        (TRL + "report_to: [mlflow, tensorboard]\n", ("tensorboard", "mlflow")),
        (TRL + "report_to: tensorboard\n", ("tensorboard",)),
        (TRL + "report_to: all\n", ("tensorboard", "wandb", "mlflow", "trackio")),
        (CONFIG, ()),
    ],
)
def test_each_dialect_names_its_trackers(text: str, expected: tuple[str, ...], tmp_path: Path) -> None:
    assert choose(_read(tmp_path, text), (), frozenset()).trackers == expected


def test_a_script_and_a_command_name_them_too(tmp_path: Path) -> None:
    script = (
        "from peft import LoraConfig\nfrom trl import SFTConfig, SFTTrainer\n"
        "trainer = SFTTrainer('./tiny', args=SFTConfig('out', report_to='wandb'), peft_config=LoraConfig(r=4))\n"
        "trainer.train()\n"
    )
    assert choose(_read(tmp_path, script, "run.py"), (), frozenset()).trackers == ("wandb",)
    command = "trl sft --model_name_or_path ./tiny --use_peft --lora_r 4 --output_dir out --report_to mlflow\n"
    assert choose(_read(tmp_path, command, "run.sh"), (), frozenset()).trackers == ("mlflow",)


def test_the_command_line_wins(tmp_path: Path) -> None:
    reading = _read(tmp_path, TRL + "report_to: wandb\n")
    assert choose(reading, ("trackio",), frozenset()).trackers == ("trackio",)
    assert choose(reading, ("none",), frozenset()).trackers == ()
    with pytest.raises(TrainingError, match="--report-to trackio: the package is not installed"):
        choose(reading, ("trackio",), frozenset({"trackio"}))


def test_what_cannot_be_reported_to_is_said(tmp_path: Path) -> None:
    found = choose(_read(tmp_path, TRL + "report_to: [wandb, swanlab]\n"), (), frozenset({"wandb"}))
    assert found.trackers == ()
    assert found.variables == {}
    assert [note.partition(" has no effect here: ")[0] for note in found.notes] == [
        "reporting to wandb", "reporting to swanlab",
    ]  # fmt: skip


def test_names_go_along_and_a_password_does_not(tmp_path: Path) -> None:
    keys = (
        "wandb_project: mine\nwandb_name: first\nmlflow_tracking_uri: https://me:secret@host/\nwandb_api_key: secret\n"
    )
    found = choose(_read(tmp_path, AXOLOTL + keys), (), frozenset())
    assert found.variables == {"WANDB_PROJECT": "mine", "WANDB_NAME": "first"}
    assert "set MLFLOW_TRACKING_URI in the environment" in found.notes[0]
    assert "secret" not in repr(found)
