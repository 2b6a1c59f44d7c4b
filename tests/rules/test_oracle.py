"""What the adapter rules say of PEFT, asked of PEFT itself."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # the libraries deprecate each other
torch = pytest.importorskip("torch")
peft = pytest.importorskip("peft")
transformers = pytest.importorskip("transformers")


def _gradient(**settings: Any) -> tuple[float, set[str]]:
    """Sum of the adapter's absolute gradients after one backward pass, and the last names of what is adapted."""
    config = transformers.LlamaConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=64,
    )  # fmt: skip
    model = peft.get_peft_model(
        transformers.LlamaForCausalLM(config), peft.LoraConfig(task_type="CAUSAL_LM", **settings)
    )
    tokens = torch.arange(16).reshape(2, 8)
    model.train()
    model(input_ids=tokens, labels=tokens).loss.backward()
    trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    total = sum(weight.grad.abs().sum().item() for weight in trained.values())
    return total, {name.partition(".lora_")[0].rpartition(".")[2] for name in trained}


@pytest.mark.parametrize("settings", [{"lora_alpha": 0}, {"lora_dropout": 1.0}], ids=["ALP004", "DRP002"])
def test_accepted_and_trains_nothing(settings: dict[str, Any]) -> None:
    assert _gradient(target_modules=["q_proj"], **settings)[0] == 0


def test_rank_beyond_the_matrix_is_accepted() -> None:
    assert _gradient(r=64, target_modules=["k_proj"])[0] > 0  # RNK002: k_proj is 32x16


@pytest.mark.parametrize(
    "settings",
    [
        {"target_modules": "q_proj"},
        {"target_modules": "q_proj,v_proj"},
        {"target_modules": "all"},
        {"target_modules": ["all-linear"]},
        {"target_modules": ["attn.query"]},
        {"target_modules": ["q_proj"], "layers_to_transform": [7]},
        {"target_modules": ["q_proj"], "r": 0},
        {"target_modules": ["q_proj"], "r": 8.5},
        {"target_modules": ["q_proj"], "rank_pattern": {"q_proj": 0}},
        {"target_modules": ["q_proj"], "lora_alpha": None},
        {"target_modules": ["q_proj"], "lora_dropout": 10},
    ],
    ids=str,
)
def test_refused(settings: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        _gradient(**settings)


def test_an_entry_that_matches_nothing_is_left_out_without_a_word() -> None:
    assert _gradient(target_modules=["q_proj", "c_attn"])[1] == {"q_proj"}  # TGT002


def test_a_whole_name_is_a_pattern_that_matches() -> None:
    assert _gradient(target_modules="lm_head")[1] == {"lm_head"}  # TGT003 leaves it alone
