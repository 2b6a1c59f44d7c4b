"""Every way to train: the loss falls, a seed repeats the run, plain PEFT reloads the adapter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from loraplan_trainer import events
from tests.trainer.harness import Outcome, rows_file, train
from tests.trainer.tiny import pairs, preferences

# transformers, peft and trl warn each other of names to come.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")

NF4 = {"quantization.bits": 4.0, "quantization.method": "bnb", "quantization.quant_type": "nf4",
       "quantization.double_quant": True, "quantization.compute_dtype": "float32"}  # fmt: skip
METHODS: dict[str, dict[str, Any]] = {
    "lora": {},
    "qlora": NF4,
    "dora": {"adapter.use_dora": True},
    "rslora": {"adapter.use_rslora": True},
    "lora+": {"adapter.loraplus_lr_ratio": 8.0},
    "pissa": {"adapter.init": "pissa"},
    "olora": {"adapter.init": "olora"},
    "dpo": {"method": "dpo", "optimizer.learning_rate": 2e-2},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("data")
    return {
        "sft": rows_file(folder, pairs(32), "pairs.jsonl"),
        "dpo": rows_file(folder, preferences(32), "preferences.jsonl"),
    }


@pytest.fixture
def last_logits(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The trained model's logits, taken in the trainer's own process as it saves the adapter."""
    import torch

    from loraplan_trainer import adapter

    save = adapter.save
    seen: dict[str, Any] = {}

    def watched(model: Any, directory: Path, initial: Path | None) -> None:
        model.eval()
        with torch.no_grad():
            seen["logits"] = model(input_ids=torch.arange(24).unsqueeze(0)).logits.float()
        save(model, directory, initial)

    monkeypatch.setattr(adapter, "save", watched)
    return seen


@pytest.mark.parametrize("name", METHODS)
def test_trains_repeats_and_reloads(
    name: str, tiny_model: Path, data: dict[str, Path], tmp_path: Path, last_logits: dict[str, Any]
) -> None:
    rows = data["dpo" if name == "dpo" else "sft"]
    first = train(tmp_path / "first", tiny_model, rows, plan=METHODS[name])
    assert first.code == 0, first.of(events.Failed)
    assert first.losses[8] < 0.97 * first.losses[1]
    assert_same_logits(first.directory / "adapter", tiny_model, last_logits["logits"], METHODS[name])

    again = train(tmp_path / "again", tiny_model, rows, plan={**METHODS[name], "schedule.max_steps": 3})
    assert again.losses == {step: first.losses[step] for step in (1, 2, 3)}


def assert_same_logits(adapter: Path, model: Path, wanted: Any, plan: dict[str, Any]) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    quantization = None
    if "quantization.bits" in plan:
        quantization = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.float32,
        )
    base = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32, quantization_config=quantization)
    reloaded = PeftModel.from_pretrained(base, adapter).eval()
    ids = torch.arange(24).unsqueeze(0)
    with torch.no_grad():
        logits = reloaded(input_ids=ids).logits.float()
        # TRL trains the adapter of a quantized model in bfloat16; PEFT computes with the same numbers in float32.
        assert torch.allclose(logits, wanted, atol=1e-2 if quantization else 1e-4)
        if quantization:
            for name, parameter in reloaded.named_parameters():
                if "lora_" in name:
                    parameter.data = parameter.data.to(torch.bfloat16)
            assert torch.allclose(reloaded(input_ids=ids).logits.float(), wanted, atol=1e-4)
    with reloaded.disable_adapter(), torch.no_grad():
        unadapted = reloaded(input_ids=ids).logits.float()
    assert (unadapted - wanted).abs().max() > 0.05, "the comparison would pass without an adapter"


def test_other_seed_other_run(tiny_model: Path, data: dict[str, Path], tmp_path: Path) -> None:
    short = {"schedule.max_steps": 2}
    one = train(tmp_path / "one", tiny_model, data["sft"], plan=short)
    other = train(tmp_path / "other", tiny_model, data["sft"], plan=short, seed=8)
    assert one.losses != other.losses


def test_full_training_saves_a_model(tiny_model: Path, data: dict[str, Path], tmp_path: Path) -> None:
    plan = {
        "adapter.method": "none", "adapter.r": None, "adapter.alpha": None, "adapter.target_modules": None,
        "optimizer.learning_rate": 1e-3,
    }  # fmt: skip
    outcome: Outcome = train(tmp_path / "run", tiny_model, data["sft"], plan=plan)
    assert outcome.code == 0
    assert outcome.losses[8] < outcome.losses[1]
    assert (outcome.directory / "model" / "model.safetensors").is_file()
    assert not (outcome.directory / "adapter").exists()
