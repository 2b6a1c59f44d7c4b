"""What the rules on targets, biases and initialisations say of PEFT, asked of PEFT on tiny models."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # the libraries deprecate each other
pytest.importorskip("torch")
peft = pytest.importorskip("peft")
transformers = pytest.importorskip("transformers")

SEVEN = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
QV = ["q_proj", "v_proj"]


def _model(kind: str, **settings: Any) -> Any:
    base = {
        "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "vocab_size": 64,
    }  # fmt: skip
    experts = {"num_experts": 4, "moe_intermediate_size": 32, "num_experts_per_tok": 2}
    match kind:
        case "llama":
            return transformers.LlamaForCausalLM(transformers.LlamaConfig(**base, **settings))
        case "classifier":
            return transformers.LlamaForSequenceClassification(transformers.LlamaConfig(**base, pad_token_id=0))
        case "qwen2":
            return transformers.Qwen2ForCausalLM(transformers.Qwen2Config(**base))
        case "mixtral":
            return transformers.MixtralForCausalLM(transformers.MixtralConfig(**base, num_local_experts=4))
        case "qwen3_moe":
            return transformers.Qwen3MoeForCausalLM(transformers.Qwen3MoeConfig(**base, **experts, head_dim=8))
        case "qwen2_moe":
            return transformers.Qwen2MoeForCausalLM(
                transformers.Qwen2MoeConfig(**base, **experts, shared_expert_intermediate_size=32)
            )
    raise AssertionError(kind)


def _build(kind: str, *, task: str | None = "CAUSAL_LM", tied: bool = False, **settings: Any) -> tuple[set[str], str]:
    """(last names of what is trained, all warnings)."""
    model = _model(kind, **({"tie_word_embeddings": True} if tied else {}))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        adapted = peft.get_peft_model(model, peft.LoraConfig(task_type=task, **settings))
    names = {
        name.partition(".lora_")[0].removesuffix(".base_layer").partition(".modules_to_save")[0].rpartition(".")[2]
        for name, weight in adapted.named_parameters()
        if weight.requires_grad and not name.endswith("bias")
    }
    return names, "\n".join(str(item.message) for item in caught)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("llama", {"target_modules": [*QV, "norm"]}),  # TGT006
        ("qwen2_moe", {"target_modules": ["q_proj", "gate"]}),  # TGT006
        ("llama", {"target_modules": QV, "layers_to_transform": [7]}),  # TGT008
        ("mixtral", {"target_modules": ["q_proj", "w1", "w2", "w3"], "lora_dropout": 0.05}),  # TGT012
        ("qwen3_moe", {"target_modules": SEVEN, "use_dora": True}),  # TGT012
        ("qwen3_moe", {"target_modules": ["q_proj", "gate_proj"]}),  # TGT012
        ("mixtral", {}),  # TGT014
        ("llama", {"target_modules": []}),  # TGT014 in axolotl
        ("llama", {"target_modules": "all-linear", "layers_to_transform": [1]}),  # TGT015
        ("llama", {"target_modules": QV, "layers_pattern": "layers"}),  # TGT015
        ("llama", {"target_modules": [*QV, "embed_tokens"], "trainable_token_indices": [1]}),  # ARC006
        ("classifier", {"target_modules": QV}),  # ARC005
        ("llama", {"target_modules": QV, "lora_bias": True, "use_dora": True}),  # BIA003
        ("llama", {"target_modules": QV, "lora_bias": True, "init_lora_weights": "gaussian"}),  # BIA003
        ("llama", {"target_modules": QV, "bias": "lora"}),  # BIA004
        ("llama", {"target_modules": QV, "init_lora_weights": "pisa"}),  # VAR008
        ("llama", {"target_modules": QV, "target_parameters": ["up_proj.weight"], "use_dora": True}),  # VAR003
    ],
    ids=str,
)
def test_refused(kind: str, settings: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError, AttributeError, NotImplementedError)):
        _build(kind, **settings)


@pytest.mark.parametrize(
    ("kind", "settings", "expected"),
    [
        ("llama", {"target_modules": QV, "modules_to_save": ["nope"]}, {"q_proj", "v_proj"}),  # TGT007
        ("llama", {"target_modules": QV, "layers_to_transform": [-1, 0, 7]}, {"q_proj", "v_proj"}),  # TGT008
        ("qwen3_moe", {"target_modules": "all-linear"}, {"q_proj", "k_proj", "v_proj", "o_proj", "gate", "experts"}),
        (
            "qwen3_moe",  # TGT010: no exclusion stops it
            {"target_modules": "all-linear", "exclude_modules": ["gate"]},
            {"q_proj", "k_proj", "v_proj", "o_proj", "gate", "experts"},
        ),
        ("qwen3_moe", {"target_modules": SEVEN}, {"q_proj", "k_proj", "v_proj", "o_proj", "experts"}),
        ("mixtral", {"target_modules": SEVEN}, {"q_proj", "k_proj", "v_proj", "o_proj"}),  # TGT011
        ("qwen2_moe", {"target_modules": SEVEN}, set(SEVEN)),  # TGT011: those of the shared expert
        ("classifier", {"task": None, "target_modules": QV}, {"q_proj", "v_proj"}),  # ARC005
        ("classifier", {"task": "SEQ_CLS", "target_modules": QV}, {"q_proj", "v_proj", "score"}),
        ("llama", {"target_modules": QV, "bias": "all"}, {"q_proj", "v_proj"}),  # BIA002
    ],
    ids=str,
)
def test_trained_without_a_word(kind: str, settings: dict[str, Any], expected: set[str]) -> None:
    names, said = _build(kind, **settings)
    assert names == expected
    assert "not found" not in said


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"target_modules": QV, "rank_pattern": {"k_proj": 4}}, "did not match any targeted module"),  # TGT009
        ({"target_modules": QV, "fan_in_fan_out": True}, "Setting fan_in_fan_out to False"),  # ARC002
        ({"target_modules": QV, "modules_to_save": ["lm_head"], "tied": True}, "ensure_weight_tying"),  # ARC003
        ({"target_modules": QV, "lora_bias": True}, "merging LoRA weights won't be possible"),  # BIA002
        ({"target_modules": QV, "eva_config": {}}, "will be ignored"),  # VAR006
        (
            {"target_modules": QV, "use_rslora": True, "rank_pattern": {"q_proj": 4}, "init_lora_weights": "olora"},
            "path_initial_model_for_weight_conversion",
        ),  # VAR007
    ],
    ids=str,
)
def test_warned_of(settings: dict[str, Any], words: str) -> None:
    assert words in _build("llama", **settings)[1]
