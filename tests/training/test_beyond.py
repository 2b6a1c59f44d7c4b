"""Settings that the Plan has no field for: none that changes training is dropped without a word."""

from __future__ import annotations

from pathlib import Path

import pytest

from loraplan.engine import Checker
from loraplan.training.beyond import judge
from tests.training.dialects import AXOLOTL, DIALECTS
from tests.training.harness import CONFIG
from tests.training.test_trackers import FACTORY, TRL

DPO = FACTORY.replace("stage: sft", "stage: dpo")


def _judged(folder: Path, text: str) -> tuple[list[str], list[str]]:
    (folder / "run.yaml").write_text(text, encoding="utf-8")
    return judge(Checker().read(str(folder / "run.yaml"))[1][0])


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (TRL + "lr_scheduler_kwargs: {min_lr: 1.0e-6}\n", "lr_scheduler_kwargs"),
        (AXOLOTL + "cosine_min_lr_ratio: 0.1\n", "cosine_min_lr_ratio"),
        (FACTORY + "use_galore: true\n", "use_galore"),
        (TRL + "loss_type: dft\n", "loss_type"),
        (DPO + "pref_beta: 0.5\n", "pref_beta"),
        (DPO + "pref_loss: orpo_like\n", "pref_loss"),
        (AXOLOTL + "rl: dpo\nrl_beta: 0.3\n", "rl_beta"),
    ],
)
def test_what_changes_what_is_learned_is_refused(text: str, key: str, tmp_path: Path) -> None:
    _, refused = _judged(tmp_path, text)
    assert [line.partition(":")[0] for line in refused] == [key]


@pytest.mark.parametrize(
    "text",
    [
        CONFIG,
        TRL + "loss_type: nll\nlr_scheduler_kwargs:\nmetric_for_best_model: eval_loss\n",
        DPO + "pref_beta: 0.1\npref_loss: sigmoid\n",
        FACTORY + "pref_beta: 0.5\nuse_galore: false\n",
        AXOLOTL + "data_seed: 11\n",
    ],
)
def test_what_the_trainer_does_anyway_is_not_mentioned(text: str, tmp_path: Path) -> None:
    assert _judged(tmp_path, text) == ([], [])


def test_what_changes_only_order_or_length_is_said(tmp_path: Path) -> None:
    notes, refused = _judged(tmp_path, AXOLOTL + "early_stopping_patience: 3\ngroup_by_length: true\ndata_seed: 3\n")
    assert refused == []
    assert [note.partition(" has no effect here: ")[0] for note in notes] == [
        "early_stopping_patience", "group_by_length", "data_seed",
    ]  # fmt: skip


@pytest.mark.parametrize("name", DIALECTS)
def test_no_dialects_own_example_is_refused(name: str, tmp_path: Path) -> None:
    reading = Checker().read(str(DIALECTS[name](tmp_path)))[1][0]
    assert judge(reading) == ([], [])
