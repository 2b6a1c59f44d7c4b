"""The schedule's arguments, the loss, the order of examples and early stopping, in the dialects that have them."""

from __future__ import annotations

from typing import Any

import pytest

from loraplan.plan import get
from tests.formats.reader import derived, read_one

TRL = "model_name_or_path: m\nuse_peft: true\nlearning_rate: 1.0e-4\noutput_dir: out/dpo\n"
AXOLOTL = "base_model: m\nadapter: lora\nsequence_len: 64\nmicro_batch_size: 1\nval_set_size: 0.1\n"
FACTORY = "model_name_or_path: m\nstage: dpo\nfinetuning_type: lora\ntemplate: llama3\n"
SWIFT = "model: m\ntuner_type: lora\nrlhf_type: dpo\n"
OUMI = "model: {model_name: m}\ntraining:\n  trainer_type: TRL_SFT\n  use_peft: true\n"
OWN = "loraplan: 1\nmodel: {name: m}\n"


@pytest.mark.parametrize(
    ("name", "text", "values"),
    [
        ("trl", TRL + "lr_scheduler_kwargs: {min_lr: 1e-6, min_lr_rate: null}\n", {"schedule.args": {"min_lr": 1e-6}}),
        ("trl", TRL + "lr_scheduler_kwargs: '{\"num_decay_steps\": 10, \"decay_type\": \"linear\"}'\n",
         {"schedule.args": {"num_decay_steps": 10.0, "decay_type": "linear"}}),
        ("trl", TRL + "beta: 0.3\nloss_type: [sigmoid, sft]\nloss_weights: [1.0, 0.2]\n",
         {"loss.beta": 0.3, "loss.type": ("sigmoid", "sft"), "loss.weights": (1.0, 0.2)}),
        ("trl", TRL + "loss_type: robust\nlabel_smoothing: 0.1\n",
         {"loss.beta": 0.1, "loss.type": ("robust",), "loss.label_smoothing": 0.1}),
        ("trl", TRL + "optim: galore_adamw\noptim_args: rank=4\noptim_target_modules: [attn, mlp]\n",
         {"optimizer.args": "rank=4", "optimizer.target_modules": ("attn", "mlp")}),
        ("trl", TRL + "group_by_length: true\ndata_seed: 3\n",
         {"data.sampling": "group_by_length", "run.data_seed": 3}),
        ("trl", TRL + "train_sampling_strategy: sequential\n", {"data.sampling": "sequential"}),
        ("axolotl", AXOLOTL + "optim_args: {rank: 4, scale: 0.5}\noptim_target_modules: all_linear\n",
         {"optimizer.args": "rank=4,scale=0.5", "optimizer.target_modules": "all_linear"}),
        ("axolotl", AXOLOTL + "lr_scheduler: polynomial\nlr_scheduler_kwargs:\n  power: 2\n  lr_end: 1e-7\n",
         {"schedule.name": "polynomial", "schedule.args": {"power": 2.0, "lr_end": 1e-7}}),
        ("axolotl", AXOLOTL + "cosine_min_lr_ratio: 0.1\n",
         {"schedule.name": "cosine_with_min_lr", "schedule.args": {"min_lr_rate": 0.1}}),
        ("axolotl", AXOLOTL + "lr_scheduler: linear\ncosine_min_lr_ratio: 0.1\n",
         {"schedule.name": "linear", "schedule.args": None}),
        ("axolotl", AXOLOTL + "lr_scheduler: cosine\ncosine_min_lr_ratio: 0.0\n",
         {"schedule.name": "cosine", "schedule.args": None}),
        ("axolotl", AXOLOTL + "rl: dpo\nrl_beta: 0.3\ndpo_loss_type: [ipo]\n",
         {"loss.beta": 0.3, "loss.type": ("ipo",)}),
        ("axolotl", AXOLOTL + "rl: dpo\ntrl: {beta: 0.2}\nrl_beta: 0.3\n", {"loss.beta": 0.2}),
        ("axolotl", AXOLOTL + "rl: dpo\ngroup_by_length: true\nearly_stopping_patience: 2\n",
         {"loss.beta": 0.1, "data.sampling": None, "run.early_stopping_patience": None}),
        ("axolotl", AXOLOTL + "curriculum_sampling: true\n", {"data.sampling": "sequential", "loss.beta": None}),
        ("llamafactory", FACTORY + "pref_beta: 0.5\npref_loss: hinge\nearly_stopping_steps: 4\n",
         {"loss.beta": 0.5, "loss.type": ("hinge",), "run.early_stopping_patience": 4}),
        ("llamafactory", FACTORY + "pref_loss: simpo\n", {"method": "simpo", "loss.beta": 0.1, "loss.type": None}),
        ("llamafactory", FACTORY + "disable_shuffling: true\nlr_scheduler_kwargs: {num_cycles: 3}\n",
         {"data.sampling": "sequential", "schedule.args": {"num_cycles": 3.0}, "loss.type": ("sigmoid",)}),
        ("ms-swift", SWIFT + "beta: 0.5\nlr_scheduler_kwargs: '{\"min_lr\": 1e-6}'\n",
         {"loss.beta": 0.5, "loss.type": ("sigmoid",), "schedule.args": {"min_lr": 1e-6}}),
        ("oumi", OUMI + "  lr_scheduler_kwargs: {num_cycles: 2}\n  data_seed: 3\n",
         {"schedule.args": {"num_cycles": 2.0}, "run.data_seed": 3}),
        ("loraplan", OWN + "schedule: {name: polynomial, args: {power: 2}}\nloss: {type: ipo, beta: 0.2}\n",
         {"schedule.args": {"power": 2.0}, "loss.type": ("ipo",), "loss.beta": 0.2}),
    ],
)  # fmt: skip
def test_settings_are_read(name: str, text: str, values: dict[str, Any]) -> None:
    reading = read_one(name, text)
    assert {field: get(reading.plan, field) for field in values} == values
    assert [issue.key for issue in reading.key_issues if issue.kind == "unknown"] == []
    assert reading.value_issues == []


def test_axolotl_loads_the_best_checkpoint_where_it_stops_early() -> None:
    steps = "eval_steps: 5\nsave_steps: 10\n"
    reading = read_one("axolotl", AXOLOTL + steps + "early_stopping_patience: 2\nload_best_model_at_end: false\n")
    assert reading.plan.run.load_best_model_at_end is True
    assert derived(reading, "run.load_best_model_at_end")
    assert reading.plan.run.eval_strategy == "steps"
    patient = read_one("axolotl", AXOLOTL + steps)
    assert (patient.plan.run.load_best_model_at_end, patient.plan.run.eval_strategy) == (False, "steps")
    alone = read_one("axolotl", AXOLOTL.replace("0.1", "0") + steps)
    assert alone.plan.run.eval_strategy is None, "there is nothing to evaluate"


def test_a_command_gives_arguments_as_json() -> None:
    text = (
        "python trl/scripts/sft.py --model_name_or_path m --use_peft --lr_scheduler_type cosine_with_min_lr "
        "--lr_scheduler_kwargs '{\"min_lr_rate\": 0.1}'\n"
    )
    assert read_one("trl", text, "run.sh").plan.schedule.args == {"min_lr_rate": 0.1}


@pytest.mark.parametrize("written", ["fast", "[1]", "'{'", "3", "{}", "{min_lr: [1]}", "{three_phase: true}"])
def test_what_is_no_mapping_of_numbers_and_words_is_not_read(written: str) -> None:
    reading = read_one("trl", TRL + f"lr_scheduler_kwargs: {written}\n")
    assert reading.plan.schedule.args is None
    assert reading.value_issues == []


def test_arguments_that_only_a_run_knows() -> None:
    reading = read_one("trl", TRL + 'lr_scheduler_kwargs: {min_lr: "${rate}"}\n')
    assert reading.plan.schedule.args is None
    assert [issue.kind for issue in reading.value_issues] == ["unresolved"]
