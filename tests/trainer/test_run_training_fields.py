"""Schedules' arguments, preference losses, the order of examples and early stopping, in real runs."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from loraplan_trainer import checkpoints, events
from loraplan_trainer.manifest import FILE_NAME, DataSource, read, write
from tests.trainer.harness import Outcome, in_process, rows_file, train
from tests.trainer.tiny import WORDS, pairs, preferences

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")

STEPS, WARMUP, RATE = 10, 2, 1e-3
SCHEDULES: dict[str, dict[str, float | str]] = {
    "cosine_with_min_lr": {"min_lr_rate": 0.1},
    "cosine_warmup_with_min_lr": {"min_lr": 1e-4, "warmup_lr_rate": 0.2},
    "warmup_stable_decay": {"num_decay_steps": 4.0, "decay_type": "1-sqrt", "min_lr_ratio": 0.05},
    "cosine_with_restarts": {"num_cycles": 3.0},
    "polynomial": {"power": 2.0, "lr_end": 1e-5},
    "inverse_sqrt": {"timescale": 3.0},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("data")
    unlike = [{"prompt": row["prompt"], "completion": " no way , never ."} for row in pairs(8)]
    return {
        "sft": rows_file(folder, pairs(32), "pairs.jsonl"),
        "dpo": rows_file(folder, preferences(32), "preferences.jsonl"),
        "unlike": rows_file(folder, unlike, "unlike.jsonl"),
    }


def _expected(name: str) -> list[float]:
    """The rate that each step takes by transformers' own schedule."""
    import torch
    from transformers import get_scheduler

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=RATE)
    schedule = get_scheduler(
        name, optimizer, num_warmup_steps=WARMUP, num_training_steps=STEPS, scheduler_specific_kwargs=SCHEDULES[name]
    )
    found = []
    for _ in range(STEPS):
        found.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    return found


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_learning_rates_are_those_of_transformers_schedule(
    name: str, tiny_model: Path, data: dict[str, Path], tmp_path: Path
) -> None:
    plan = {
        "schedule.name": name, "schedule.args": SCHEDULES[name], "schedule.max_steps": STEPS,
        "schedule.warmup_steps": float(WARMUP), "optimizer.learning_rate": RATE,
    }  # fmt: skip
    outcome = train(tmp_path / "run", tiny_model, data["sft"], plan=plan)
    assert outcome.code == 0, outcome.of(events.Failed)
    rates = [event.lr for event in outcome.of(events.Step)]
    assert rates == pytest.approx(_expected(name))


def test_a_rate_falls_where_the_held_out_loss_does_not(tiny_model: Path, data: dict[str, Path], tmp_path: Path) -> None:
    plan = {
        "schedule.name": "reduce_lr_on_plateau", "schedule.args": {"patience": 0.0, "factor": 0.5},
        "run.eval_strategy": "steps", "run.eval_steps": 1.0, "optimizer.learning_rate": 2e-2,
    }  # fmt: skip
    outcome = train(tmp_path / "run", tiny_model, _against(data), plan=plan)
    assert outcome.code == 0, outcome.of(events.Failed)
    rates = [event.lr for event in outcome.of(events.Step)]
    assert rates[-1] < rates[0] == 2e-2


def _against(data: dict[str, Path]) -> list[DataSource]:
    """Held-out data whose loss rises as the training data are learned."""
    return [
        DataSource(source=str(data["sft"]), kind="file"),
        DataSource(source=str(data["unlike"]), kind="file", role="eval"),
    ]


EARLY: dict[str, Any] = {
    "run.early_stopping_patience": 2, "run.eval_strategy": "steps", "run.eval_steps": 1.0, "schedule.max_steps": 40,
    "run.save_strategy": "steps", "run.save_steps": 1.0, "optimizer.learning_rate": 2e-2,
}  # fmt: skip


def test_training_stops_early(tiny_model: Path, data: dict[str, Path], tmp_path: Path) -> None:
    outcome = train(tmp_path / "run", tiny_model, _against(data), plan=EARLY)
    assert outcome.code == 0, outcome.of(events.Failed)
    losses = [event.loss for event in outcome.of(events.Evaluation)]
    assert len(losses) < 40
    assert min(losses) == losses[-3], "two evaluations in a row without a lower loss"
    [end] = outcome.of(events.End)
    assert (end.outcome, end.step) == ("done", len(losses))
    assert (outcome.directory / "adapter" / "adapter_model.safetensors").is_file()


def test_a_resumed_run_goes_on_counting(tiny_model: Path, data: dict[str, Path], tmp_path: Path) -> None:
    from loraplan_trainer.run import run

    whole = train(tmp_path / "whole", tiny_model, _against(data), plan=EARLY, keep_checkpoints=50)
    last = whole.of(events.End)[-1].step
    folder = whole.directory / checkpoints.FOLDER
    for step in checkpoints.steps(folder):
        if step >= last:
            checkpoints.path_of(folder, step).rename(tmp_path / f"away-{step}")
    path = whole.directory / FILE_NAME
    write(read(path).model_copy(update={"resume": True}), path)
    with in_process():
        resumed = Outcome(run(read(path), path.read_bytes()), whole.directory)
    assert resumed.of(events.Start)[-1].resumed_from == last - 1
    assert resumed.of(events.End)[-1].step == last


@pytest.mark.parametrize(
    "loss",
    [
        {"loss.beta": 0.5},
        {"loss.beta": 0.3, "loss.type": ("ipo",)},
        {"loss.beta": 0.2, "loss.type": ("sigmoid", "sft"), "loss.weights": (1.0, 0.5)},
        {"loss.type": ("robust",), "loss.label_smoothing": 0.2},
    ],
    ids=["beta", "ipo", "two", "robust"],
)
def test_dpos_loss_is_trls(loss: dict[str, Any], tiny_model: Path, data: dict[str, Path], tmp_path: Path) -> None:
    plan = {"method": "dpo", "schedule.max_steps": 3, "optimizer.learning_rate": 2e-2}
    usual = train(tmp_path / "usual", tiny_model, data["dpo"], plan=plan)
    outcome = train(tmp_path / "run", tiny_model, data["dpo"], plan={**plan, **loss})
    assert outcome.code == 0, outcome.of(events.Failed)
    assert outcome.losses[3] != pytest.approx(usual.losses[3], rel=1e-3)
    assert outcome.losses == pytest.approx(_trls_losses(loss, tiny_model, data["dpo"], tmp_path), abs=1e-5)


def _trls_losses(loss: dict[str, Any], model: Path, rows: Path, folder: Path) -> dict[int, float]:
    """The same run with TRL alone."""
    from datasets import load_dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed
    from trl import DPOConfig, DPOTrainer

    names = {"loss.beta": "beta", "loss.type": "loss_type", "loss.weights": "loss_weights",
             "loss.label_smoothing": "label_smoothing"}  # fmt: skip
    given = {names[name]: list(value) if isinstance(value, tuple) else value for name, value in loss.items()}
    arguments = DPOConfig(
        output_dir=str(folder / "trl"), report_to="none", disable_tqdm=True, seed=7, data_seed=7, use_cpu=True,
        bf16=False, activation_checkpointing=False, optim="adamw_torch", learning_rate=2e-2, max_steps=3,
        lr_scheduler_type="constant", per_device_train_batch_size=4, max_length=64, logging_steps=1,
        save_strategy="no", dataloader_pin_memory=False, **given,
    )  # fmt: skip
    base = AutoModelForCausalLM.from_pretrained(str(model), dtype="float32")
    set_seed(7)
    with in_process():
        trainer = DPOTrainer(
            model=base, args=arguments, processing_class=AutoTokenizer.from_pretrained(str(model)),
            train_dataset=load_dataset("json", data_files=str(rows), split="train", cache_dir=str(folder / "cache")),
            peft_config=LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM"),
        )  # fmt: skip
        trainer.train()
    return {entry["step"]: entry["loss"] for entry in trainer.state.log_history if "loss" in entry}


def test_dynamic_fine_tuning_learns_something_else(tiny_model: Path, data: dict[str, Path], tmp_path: Path) -> None:
    plan = {"schedule.max_steps": 2}
    usual = train(tmp_path / "usual", tiny_model, data["sft"], plan={**plan, "loss.type": ("nll",)})
    outcome = train(tmp_path / "run", tiny_model, data["sft"], plan={**plan, "loss.type": ("dft",)})
    assert outcome.code == 0, outcome.of(events.Failed)
    assert outcome.losses[1] < 0.5 * usual.losses[1]


@pytest.fixture
def lengths(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Tokens of every batch, as the model gets it."""
    from loraplan_trainer.trainer import WatchedSFT

    step = WatchedSFT.training_step
    seen: list[int] = []

    def watched(self: Any, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append(int((inputs["labels"] != -100).sum()))
        return step(self, model, inputs, *args, **kwargs)

    monkeypatch.setattr(WatchedSFT, "training_step", watched)
    return seen


@pytest.mark.parametrize("stream", [False, True])
def test_the_order_of_the_examples(stream: bool, tiny_model: Path, tmp_path: Path, lengths: list[int]) -> None:
    rows = [{"prompt": "after", "completion": f" {WORDS[index]}" * (index + 1)} for index in range(8)]
    data = rows_file(tmp_path, rows)
    plan = {"schedule.max_steps": 8, "batch.micro_batch_size": 1, "optimizer.learning_rate": 0.0}
    found = {}
    for name, changes in {
        "as they stand": {"data.sampling": "sequential"},
        "by length": {"data.sampling": "group_by_length"},
        "at random": {},
        "by a seed of its own": {"run.data_seed": 11},
    }.items():
        lengths.clear()
        outcome = train(tmp_path / name, tiny_model, data, plan={**plan, **changes}, stream=stream)
        assert outcome.code == 0, outcome.of(events.Failed)
        found[name] = list(lengths)
        told = [event.text for event in outcome.of(events.Warned)]
        assert any("group_by_length has no effect on streamed data" in text for text in told) == (
            stream and name == "by length"
        )
    as_they_stand = found["as they stand"]
    assert as_they_stand == sorted(as_they_stand)
    assert len(set(as_they_stand)) == 8
    assert found["at random"] != as_they_stand
    assert found["by a seed of its own"] not in (as_they_stand, found["at random"])
    assert sorted(found["by a seed of its own"]) == as_they_stand
    if stream:
        assert found["by length"] == found["at random"]
    else:
        assert found["by length"][0] == max(as_they_stand), "transformers puts the longest first"


@pytest.mark.parametrize(
    ("name", "module", "changes"),
    [
        ("galore_adamw", "galore_torch", {"optimizer.args": "rank=4,update_proj_gap=1"}),
        ("galore_adamw_layerwise", "galore_torch", {"optimizer.args": "rank=4,update_proj_gap=1"}),
        ("apollo_adamw", "apollo_torch", {"optimizer.args": "rank=4"}),
        ("lomo", "lomo_optim", {}),
    ],
)
@pytest.mark.parametrize("method", ["none", "lora"])
def test_optimizers_that_spare_memory_train(
    name: str,
    module: str,
    changes: dict[str, Any],
    method: str,
    tiny_model: Path,
    data: dict[str, Path],
    tmp_path: Path,
) -> None:
    if find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    plan = {"schedule.max_steps": 2, "adapter.method": method, "optimizer.name": name, **changes}
    if name != "lomo":
        plan["optimizer.target_modules"] = ("self_attn", "mlp")
    outcome = train(tmp_path / "run", tiny_model, data["sft"], plan=plan)
    assert outcome.code == 0, outcome.of(events.Failed)
    assert set(outcome.losses) == {1, 2}
