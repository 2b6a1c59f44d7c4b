"""Settings one by one in real runs, and what TRL, PEFT and the optimizer really received."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from loraplan_trainer import events
from loraplan_trainer.manifest import DataSource
from tests.trainer.harness import rows_file, train
from tests.trainer.tiny import pairs

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")

SHORT = {"schedule.max_steps": 2}
SETTINGS: dict[str, dict[str, Any]] = {
    "checkpointing": {"precision.gradient_checkpointing": True, "precision.use_reentrant": False},
    "reentrant": {"precision.gradient_checkpointing": True, "precision.use_reentrant": True},
    "bf16": {"precision.bf16": True, "model.dtype": "bfloat16"},
    "autocast off": {"model.dtype": "bfloat16", "adapter.autocast_adapter_dtype": False},
    "flash attention": {"model.attn_implementation": "flash_attention_2"},
    "paged": {"optimizer.name": "paged_adamw_8bit"},
    "lion": {"optimizer.name": "lion_32bit"},
    "eager": {"model.attn_implementation": "eager"},
    "neftune": {"run.neftune_noise_alpha": 5.0},
    "layers": {"adapter.target_modules": ("q_proj",), "adapter.layers_to_transform": (1,)},
    "patterns": {"adapter.rank_pattern": {"q_proj": 2.0}, "adapter.alpha_pattern": {"v_proj": 3.0}},
    "saved modules": {"adapter.modules_to_save": ("embed_tokens",)},
    "tokens": {"adapter.trainable_token_indices": (3, 4)},
    "bias": {"adapter.bias": "all"},
    "excluded": {"adapter.target_modules": ("q_proj", "k_proj"), "adapter.exclude_modules": ("k_proj",)},
    "8 bits": {"quantization.bits": 8.0, "quantization.llm_int8_threshold": 5.0},
    "fp4": {"quantization.bits": 4.0, "quantization.quant_type": "fp4", "quantization.compute_dtype": "float32"},
    "adafactor": {"optimizer.name": "adafactor"},
    "sgd": {"optimizer.name": "sgd"},
    "8-bit optimizer": {"optimizer.name": "adamw_8bit"},
    "optimizer's own name": {"optimizer.name": "adam", "optimizer.weight_decay": 0.0},
    "warm-up by share": {"schedule.name": "cosine", "schedule.warmup_ratio": 0.5},
    "restarts": {"schedule.name": "cosine_with_restarts"},
    "polynomial": {"schedule.name": "polynomial"},
    "inverse root": {"schedule.name": "inverse_sqrt", "schedule.warmup_steps": 1.0},
    "assistant only": {"data.assistant_only_loss": True},
}  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rows_file(tmp_path_factory.mktemp("data"), pairs(8))


@pytest.fixture
def received(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """TRL's trainer itself, as it was when training ended."""
    from loraplan_trainer.trainer import WatchedSFT

    seen: dict[str, Any] = {}
    run = WatchedSFT.train

    def watched(self: Any, *args: Any, **kwargs: Any) -> Any:
        seen["trainer"] = self
        return run(self, *args, **kwargs)

    monkeypatch.setattr(WatchedSFT, "train", watched)
    return seen


@pytest.mark.parametrize("name", SETTINGS)
def test_each_setting_trains(name: str, tiny_model: Path, data: Path, tmp_path: Path) -> None:
    outcome = train(tmp_path / "run", tiny_model, data, plan={**SHORT, **SETTINGS[name]})
    assert outcome.code == 0, outcome.of(events.Failed)
    assert set(outcome.losses) == {1, 2}
    assert (outcome.directory / "adapter" / "adapter_model.safetensors").is_file()


@pytest.mark.filterwarnings("ignore:CUDA is not available")  # grokadamw asks for CUDA's autocast
@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("schedule_free_adamw", "schedulefree"),
        ("adamw_torch_8bit", "torchao"),
        ("grokadamw", "grokadamw"),
        ("stable_adamw", "optimi"),
    ],
)
def test_optimizers_of_other_packages_train(
    name: str, module: str, tiny_model: Path, data: Path, tmp_path: Path
) -> None:
    if find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    outcome = train(tmp_path / "run", tiny_model, data, plan={**SHORT, "optimizer.name": name})
    assert outcome.code == 0, outcome.of(events.Failed)
    assert set(outcome.losses) == {1, 2}


def test_a_polynomial_schedule_that_is_all_warm_up_is_refused(tiny_model: Path, data: Path, tmp_path: Path) -> None:
    plan = {**SHORT, "schedule.name": "polynomial", "schedule.warmup_steps": 2.0}
    outcome = train(tmp_path / "run", tiny_model, data, plan=plan)
    assert outcome.code == 2
    assert "set schedule.warmup_steps lower" in outcome.error.text


def test_only_checkpoints_that_are_better_are_kept(tiny_model: Path, data: Path, tmp_path: Path) -> None:
    plan = {"schedule.max_steps": 4, "run.save_strategy": "best", "run.eval_strategy": "steps", "run.eval_steps": 2.0}
    sources = [DataSource(source=str(data), kind="file", role=role) for role in ("train", "eval")]
    outcome = train(tmp_path / "run", tiny_model, sources, plan=plan)
    assert outcome.code == 0, outcome.of(events.Failed)
    assert [event.step for event in outcome.of(events.Checkpoint)] == [2, 4]


def test_what_the_libraries_really_received(
    tiny_model: Path, data: Path, tmp_path: Path, received: dict[str, Any]
) -> None:
    plan = {
        **SHORT, "adapter.r": 4.0, "adapter.alpha": 12.0, "adapter.dropout": 0.05, "adapter.use_rslora": True,
        "adapter.target_modules": ("q_proj", "down_proj"), "optimizer.learning_rate": 3e-4,
        "optimizer.weight_decay": 0.02, "optimizer.beta1": 0.8, "optimizer.beta2": 0.95, "optimizer.epsilon": 1e-7,
        "optimizer.max_grad_norm": 0.4, "batch.micro_batch_size": 2, "batch.gradient_accumulation_steps": 3,
        "adapter.loraplus_lr_ratio": 16.0, "data.max_length": 33, "run.neftune_noise_alpha": 2.0,
    }  # fmt: skip
    outcome = train(tmp_path / "run", tiny_model, data, plan=plan, seed=11)
    assert outcome.code == 0, outcome.of(events.Failed)
    trainer = received["trainer"]
    arguments, lora = trainer.args, trainer.model.peft_config["default"]
    assert (arguments.learning_rate, arguments.max_grad_norm, arguments.max_length) == (3e-4, 0.4, 33)
    assert (arguments.per_device_train_batch_size, arguments.gradient_accumulation_steps) == (2, 3)
    assert (arguments.seed, arguments.data_seed, arguments.max_steps) == (11, 11, 2)
    assert (arguments.bf16, arguments.gradient_checkpointing) == (False, False)
    assert (lora.r, lora.lora_alpha, lora.lora_dropout, lora.use_rslora) == (4, 12, 0.05, True)
    assert lora.target_modules == {"q_proj", "down_proj"}
    layer = trainer.model.base_model.model.model.layers[0].self_attn.q_proj
    assert layer.scaling["default"] == 12 / 4**0.5
    optimizer = trainer.optimizer.optimizer
    assert type(optimizer).__name__ == "AdamW"
    assert optimizer.defaults["betas"] == (0.8, 0.95)
    assert optimizer.defaults["eps"] == 1e-7
    rates = {
        part: group["lr"]
        for group in optimizer.param_groups
        for part in ("lora_A", "lora_B")
        for name, parameter in trainer.model.named_parameters()
        if part in name and any(parameter is other for other in group["params"])
    }
    assert rates == pytest.approx({"lora_A": 3e-4, "lora_B": 16 * 3e-4})
    assert {group["weight_decay"] for group in optimizer.param_groups if group["params"]} == {0.02}


def test_what_the_plan_leaves_open_is_trls_own(
    tiny_model: Path, data: Path, tmp_path: Path, received: dict[str, Any]
) -> None:
    from trl import SFTConfig

    from tests.trainer.harness import PLAN

    kept = {"method", "adapter.method", "schedule.max_steps"}
    plan = {**{name: None for name in PLAN if name not in kept}, **SHORT}
    outcome = train(tmp_path / "run", tiny_model, data, plan=plan)
    assert outcome.code == 0, outcome.of(events.Failed)
    made = received["trainer"].args
    plain = SFTConfig(output_dir=str(tmp_path), use_cpu=True, activation_checkpointing=True)
    for name in (
        "learning_rate", "weight_decay", "adam_beta2", "lr_scheduler_type", "warmup_steps", "optim", "bf16",
        "per_device_train_batch_size", "gradient_accumulation_steps", "max_grad_norm", "activation_checkpointing",
        "packing", "logging_steps", "save_steps",
    ):  # fmt: skip
        assert getattr(made, name) == getattr(plain, name), name
    said = {event.name: event.value for event in outcome.of(events.PlanField) if event.outcome == "default"}
    assert said["optimizer.learning_rate"] == plain.learning_rate
    assert said["precision.bf16"] is True
    assert said["precision.gradient_checkpointing"] is True
