"""What the training-side rules say of transformers and PEFT, asked of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from loraplan_rules.optimization import optimizer_incompatible

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # the libraries deprecate each other
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
peft = pytest.importorskip("peft")

BEST = {"load_best_model_at_end": True}


@pytest.mark.parametrize(
    "settings",
    [
        {**BEST, "eval_strategy": "epoch", "save_strategy": "steps"},
        {**BEST, "eval_strategy": "steps", "save_strategy": "steps", "eval_steps": 100, "save_steps": 250},
        {"lr_scheduler_type": "reduce_lr_on_plateau"},
        {"optim": "adamw_tourch"},
        {"fp16": True, "bf16": True},
    ],
    ids=str,
)
def test_refused_by_training_arguments(settings: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"."):
        transformers.TrainingArguments(output_dir=str(tmp_path), use_cpu=True, **settings)


@pytest.mark.parametrize(
    "settings",
    [
        {**BEST, "eval_strategy": "epoch", "save_strategy": "epoch"},
        {**BEST, "eval_strategy": "epoch", "save_strategy": "best"},
        {**BEST, "eval_strategy": "steps", "save_strategy": "steps", "eval_steps": 100, "save_steps": 200},
        {"lr_scheduler_type": "reduce_lr_on_plateau", "eval_strategy": "epoch"},
    ],
    ids=str,
)
def test_accepted_by_training_arguments(settings: dict[str, Any], tmp_path: Path) -> None:
    transformers.TrainingArguments(output_dir=str(tmp_path), use_cpu=True, **settings)


def test_every_optimizer_of_transformers_is_known() -> None:
    names = {item.value for item in transformers.training_args.OptimizerNames}
    assert names <= optimizer_incompatible._KNOWN


def _adapted(**settings: Any) -> dict[str, Any]:
    config = transformers.LlamaConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=64,
    )  # fmt: skip
    base = transformers.LlamaForCausalLM(config).half()
    model = peft.get_peft_model(base, peft.LoraConfig(target_modules=["q_proj"], task_type="CAUSAL_LM", **settings))
    return {name: weight.dtype for name, weight in model.named_parameters() if weight.requires_grad}


def test_copies_of_modules_to_save_stay_in_half_precision() -> None:
    dtypes = _adapted(modules_to_save=["lm_head"])
    assert {dtype for name, dtype in dtypes.items() if "lora_" in name} == {torch.float32}
    assert {dtype for name, dtype in dtypes.items() if "lm_head" in name} == {torch.float16}


def test_half_precision_gradients_cannot_be_unscaled() -> None:
    weight = torch.nn.Parameter(torch.ones(2, dtype=torch.float16))
    weight.grad = torch.ones(2, dtype=torch.float16)
    scaler = torch.amp.GradScaler("cpu")
    scaler.scale(torch.ones(()))
    with pytest.raises(ValueError, match="Attempting to unscale FP16 gradients"):
        scaler.unscale_(torch.optim.SGD([weight], lr=1.0))
