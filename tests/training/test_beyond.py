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
PLAIN = """\
model_name: meta-llama/Llama-3.1-8B
lora_r: 16
lora_alpha: 32
target_modules: [q_proj, v_proj]
learning_rate: 0.0002
per_device_train_batch_size: 2
logging_steps: 10
output_dir: out
"""
"""Arguments of a script, whose format has no fields for a loss."""
AUTOTRAIN = """\
task: llm-dpo
base_model: meta-llama/Llama-3.1-8B
project_name: out
backend: local
data:
  path: argilla/distilabel-capybara-dpo-7k-binarized
params:
  peft: true
  lr: 1e-5
"""


def _judged(folder: Path, text: str) -> tuple[list[str], list[str]]:
    (folder / "run.yaml").write_text(text, encoding="utf-8")
    return judge(Checker().read(str(folder / "run.yaml"))[1][0])


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (AXOLOTL + "cosine_min_lr_ratio: 0.1\ncosine_constant_lr_ratio: 0.8\n", "cosine_constant_lr_ratio"),
        (AXOLOTL + "lr_quadratic_warmup: true\n", "lr_quadratic_warmup"),
        (AXOLOTL + "rl: dpo\ndpo_beta: 0.3\n", "dpo_beta"),
        (TRL + "lr_scheduler_kwargs: {three_phase: true}\n", "lr_scheduler_kwargs"),
        (FACTORY + "use_galore: true\n", "use_galore"),
        (FACTORY + "lr_scheduler_type: warmup_stable_decay\n", "lr_scheduler_kwargs"),
        (DPO + "pref_ftx: 0.5\n", "pref_ftx"),
        (TRL + "label_smoothing_factor: 0.1\n", "label_smoothing_factor"),
        (PLAIN + "loss_type: focal\n", "loss_type"),
        (AUTOTRAIN + "  dpo_beta: 0.3\n", "dpo_beta"),
        (TRL.replace("dir: out", "dir: dpo") + "f_divergence_type: forward_kl\n", "f_divergence_type"),
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
        TRL + "lr_scheduler_type: cosine_with_min_lr\nlr_scheduler_kwargs: {min_lr: 1.0e-6}\nloss_type: dft\n",
        AXOLOTL + "cosine_min_lr_ratio: 0.1\nearly_stopping_patience: 3\ngroup_by_length: true\n",
        AXOLOTL + "rl: dpo\nrl_beta: 0.3\n",
        DPO + "pref_beta: 0.5\npref_loss: ipo\nearly_stopping_steps: 2\n",
        AXOLOTL + "data_seed: 11\n",
    ],
)
def test_what_the_trainer_does_anyway_is_not_mentioned(text: str, tmp_path: Path) -> None:
    assert _judged(tmp_path, text) == ([], [])


def test_what_axolotl_passes_over_is_said(tmp_path: Path) -> None:
    linear = AXOLOTL.replace("lr_scheduler: cosine", "lr_scheduler: linear") + "cosine_min_lr_ratio: 0.1\n"
    notes, refused = _judged(tmp_path, linear)
    assert (notes, refused) == (["cosine_min_lr_ratio has no effect: the schedule is linear"], [])
    notes, refused = _judged(tmp_path, AXOLOTL + "cosine_constant_lr_ratio: 0.8\n")
    assert (notes, refused) == (["cosine_constant_lr_ratio has no effect: it is without cosine_min_lr_ratio"], [])
    notes, refused = _judged(tmp_path, AXOLOTL + "rl: dpo\nearly_stopping_patience: 3\n")
    assert (len(notes), refused) == (1, [])
    assert "early_stopping_patience has no effect" in notes[0]


@pytest.mark.parametrize("name", DIALECTS)
def test_no_dialects_own_example_is_refused(name: str, tmp_path: Path) -> None:
    reading = Checker().read(str(DIALECTS[name](tmp_path)))[1][0]
    assert judge(reading) == ([], [])
