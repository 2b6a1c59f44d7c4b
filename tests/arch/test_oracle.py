"""Module names, shapes, counts and matches equal what transformers and PEFT build on the meta device."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from loraplan.arch.catalogue import all_rows, lookup
from loraplan.arch.families import FAMILIES, describe
from loraplan.arch.match import Matched, match
from loraplan.arch.text import text_model
from loraplan.plan import Adapter
from loraplan_rules.remote import REMOTE_CODE
from tests.arch import oracle

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

REMOTE = set(REMOTE_CODE)
"""Families whose code is published with the weights; transformers has no class to compare with."""

# Families that the catalogue has no model of, or whose checkpoints have features that its models lack.
EXTRA: dict[str, dict[str, Any]] = {
    "granite": {"model_type": "granite", "attention_bias": True, "mlp_bias": True},
    "cohere-norms": {"model_type": "cohere", "use_qk_norm": True, "num_key_value_heads": 8},
    "cohere2": {"model_type": "cohere2", "num_key_value_heads": 8},
    "stablelm-parallel": {"model_type": "stablelm", "qk_layernorm": True, "use_parallel_residual": True},
    "granitemoe": {"model_type": "granitemoe"},
    "minimax": {"model_type": "minimax"},
    "ministral": {"model_type": "ministral", "head_dim": 128},
    "ministral3": {"model_type": "ministral3"},
    "falcon_h1-no-norm": {"model_type": "falcon_h1"},
    "lfm2": {"model_type": "lfm2", "layer_types": ["conv", "full_attention", "conv", "conv"]},
    "paddleocr_vl-flat": {"model_type": "paddleocr_vl", "tie_word_embeddings": False, "hidden_size": 512},
    "paddleocr_vl-untied": {
        "model_type": "paddleocr_vl",
        "tie_word_embeddings": False,
        "text_config": {"tie_word_embeddings": False},
    },
    "qwen3_moe-dense": {"model_type": "qwen3_moe", "decoder_sparse_step": 2, "mlp_only_layers": [1]},
    "t5-gated": {"model_type": "t5", "num_layers": 2, "num_decoder_layers": 3, "feed_forward_proj": "gated-gelu"},
    "phi-norms": {"model_type": "phi", "qk_layernorm": True},
    "falcon-sequential": {"model_type": "falcon", "parallel_attn": False, "bias": True, "multi_query": False},
    "gpt_bigcode-multi-head": {"model_type": "gpt_bigcode", "multi_query": False, "n_inner": 1024},
    "glm_moe_dsa-pattern": {"model_type": "glm_moe_dsa", "first_k_dense_replace": 1, "index_topk_pattern": "FSF"},
    "glm_moe_dsa-every-second": {"model_type": "glm_moe_dsa", "first_k_dense_replace": 1, "index_topk_freq": 2},
    "gemma3n_text": {
        "model_type": "gemma3n_text",
        "num_hidden_layers": 3,
        "num_kv_shared_layers": 1,
        "layer_types": ["full_attention", "sliding_attention", "full_attention"],
    },
    "gemma3n": {
        "model_type": "gemma3n",
        "text_config": {
            "num_hidden_layers": 3,
            "num_kv_shared_layers": 1,
            "layer_types": ["full_attention", "sliding_attention", "full_attention"],
        },
        "vision_config": {},
        "audio_config": {"conf_num_hidden_layers": 2},
    },
    "gemma4_text": {"model_type": "gemma4_text", "attention_bias": True},
    "gemma4_text-experts": {
        "model_type": "gemma4_text",
        "enable_moe_block": True,
        "num_experts": 8,
        "top_k_experts": 2,
        "moe_intermediate_size": 704,
        "hidden_size_per_layer_input": 0,
        "attention_k_eq_v": True,
        "num_global_key_value_heads": 2,
    },
    "gemma4-audio": {
        "model_type": "gemma4",
        "text_config": {
            "num_hidden_layers": 4,
            "num_kv_shared_layers": 2,
            "use_double_wide_mlp": True,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention", "full_attention"],
        },
        "vision_config": {"num_hidden_layers": 2},
        "audio_config": {"num_hidden_layers": 2},
    },
    "gemma4-vision": {
        "model_type": "gemma4",
        "text_config": {"num_hidden_layers": 2},
        "vision_config": {"num_hidden_layers": 2, "use_clipped_linears": True, "standardize": True},
    },
    "gemma4_unified_text": {"model_type": "gemma4_unified_text", "attention_k_eq_v": True},
    "gemma4_unified-small": {
        "model_type": "gemma4_unified",
        "text_config": {"num_hidden_layers": 2},
        "vision_config": {},
        "audio_config": {},
    },
    "arcee": {"model_type": "arcee", "attention_bias": True, "mlp_bias": True},
    "seed_oss": {"model_type": "seed_oss", "attention_out_bias": True, "mlp_bias": True},
    "afmoe": {"model_type": "afmoe", "attention_bias": True},
    "nemotron_h": {"model_type": "nemotron_h", "mlp_bias": True, "use_bias": True},
    "nemotron_h-latent": {
        "model_type": "nemotron_h",
        "hybrid_override_pattern": "MEM*E-",
        "moe_latent_size": 512,
        "mlp_bias": True,
    },
    "glm4_moe-norms": {"model_type": "glm4_moe", "use_qk_norm": True, "attention_bias": True},
}
LAYERS = {
    "gpt2": "n_layer", "gpt_bigcode": "n_layer", "gptj": "n_layer", "bloom": "n_layer", "mpt": "n_layers",
    "t5": "num_layers",
}  # fmt: skip


def configurations() -> dict[str, dict[str, Any]]:
    """One published configuration of each family, few layers deep, and the extras."""
    found: dict[str, dict[str, Any]] = {}
    for row in all_rows():
        if "linearized_experts" not in row.config:  # axolotl's own module, compared below
            found.setdefault(row.config["model_type"], row.config)
    found = {name: config for name, config in found.items() if name not in REMOTE} | EXTRA
    shallow = {}
    for name, config in found.items():
        deep = copy.deepcopy(config)
        for part in (deep, deep.get("text_config", {})):
            # The catalogue only says that positions are stretched, not how; it keeps no quantization to build.
            for key in ("quantization_config", "rope_scaling", "rope_parameters"):
                part.pop(key, None)
        # Jamba attends in every eighth layer, Qwen3.5 in every fourth, Llama 3.2 Vision crosses in the fourth.
        depth = {"jamba": 5, "qwen3_5": 4, "qwen3_5_moe": 4, "qwen3_next": 4, "mllama": 5, "gemma4": 4}.get(
            config["model_type"], 3
        )
        if "text_config" not in deep:
            deep.setdefault(LAYERS.get(config["model_type"], "num_hidden_layers"), depth)
        small = oracle.small(deep, depth)
        if "cross_attention_layers" in small.get("text_config", {}):
            small["text_config"]["cross_attention_layers"] = [3]
        shallow[name] = small
    return shallow


CONFIGURATIONS = configurations()
NEEDS = {"gemma3n": "timm"}
"""Packages beside transformers that a family's model is built with."""
SEVEN = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
FUSED = ("query_key_value", "qkv_proj", "c_attn", "Wqkv", "dense", "fc1")
REGEX = r".*\.(q_proj|v_proj|query_key_value|c_attn|gate_proj|up_proj|Wqkv|qkv_proj)"
UNSLOTH = (
    r"(?:.*?(?:language|text).*?(?:self_attn|attention|attn|mlp|feed_forward|ffn|dense).*?(?:q_proj|o_proj|up_proj).*?)"
    r"|(?:\bmodel\.layers\.[\d]{1,}\.(?:self_attn|attention|attn|mlp|dense)\.(?:(?:q_proj|v_proj|down_proj)))"
)
VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "all-linear": {"target_modules": "all-linear"},
    "all-linear-excluded": {"target_modules": "ALL-linear", "exclude_modules": ("down_proj", "fc2", "gate")},
    "all-linear-saved": {"target_modules": "all-linear", "modules_to_save": ("mlp",)},
    "q-v": {"target_modules": ("q_proj", "v_proj")},
    "seven": {"target_modules": SEVEN},
    "seven-and-fused": {"target_modules": SEVEN + FUSED},
    "regex": {"target_modules": REGEX},
    "regex-of-some-layers": {"target_modules": r".*\.[02]\..*(q|v)_proj"},
    "regex-in-bounded-time": {"target_modules": UNSLOTH},
    "regex-of-everything": {"target_modules": r"model.*"},
    "excluded-by-regex": {"target_modules": SEVEN + FUSED, "exclude_modules": r".*(vision|visual|\.1\.).*"},
    "layers": {"target_modules": SEVEN + FUSED, "layers_to_transform": (1, 2, 77)},
    "layers-pattern": {"target_modules": SEVEN + FUSED, "layers_to_transform": (1,), "layers_pattern": "layers"},
    "embeddings": {"target_modules": ("embed_tokens", "q_proj", "wte", "word_embeddings")},
    "saved": {"target_modules": SEVEN, "modules_to_save": ("lm_head", "embed_tokens")},
    "ranks": {
        "target_modules": SEVEN + FUSED,
        "rank_pattern": {"q_proj": 4, "layers.1.self_attn.v_proj": 2, "^model.layers.0.*": 3},
    },
    "mixtral-names": {"target_modules": ("w1", "w2", "w3", "q_proj")},
    "expert-parameters": {"target_parameters": ("mlp.experts.gate_up_proj", "mlp.experts.down_proj")},
    "parameters-and-modules": {"target_modules": ("q_proj",), "target_parameters": ("experts.down_proj",)},
    "half-of-a-fused-pair": {"target_modules": ("gate_proj", "q_proj")},
    "a-block": {"target_modules": ("mlp",)},
    "norms": {"target_modules": ("norm", "q_proj", "input_layernorm")},
    "routers": {"target_modules": ("gate", "q_proj", "router")},
    "whole-names": {"target_modules": ("layers.1.self_attn.q_proj", "model.layers.2.mlp.down_proj", "1.mlp.up_proj")},
    "dora": {"target_modules": ("q_proj", "o_proj", "query_key_value", "c_attn"), "use_dora": True},
    "bias-on-b": {"target_modules": ("q_proj", "k_proj"), "lora_bias": True},
}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_modules_and_parameters(name: str) -> None:
    config = CONFIGURATIONS[name]
    pytest.importorskip(NEEDS.get(name, "transformers"))
    spec = describe(config)
    assert spec is not None
    model = oracle.build(copy.deepcopy(config))
    assert oracle.rows_of_spec(spec) == oracle.rows_of_model(model)
    assert spec.parameters == sum({id(p): p.numel() for p in model.parameters()}.values())


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_matches(name: str) -> None:
    peft = pytest.importorskip("peft")
    pytest.importorskip(NEEDS.get(name, "transformers"))
    config = CONFIGURATIONS[name]
    spec = describe(config)
    assert spec is not None
    wrong = []
    for variant, settings in VARIANTS.items():
        adapter = Adapter(r=8, alpha=16, **settings)
        matched = match(adapter, spec)
        given = {key: list(value) if isinstance(value, tuple) else value for key, value in settings.items()}
        try:
            base = oracle.build(copy.deepcopy(config))
            model = peft.get_peft_model(base, peft.LoraConfig(r=8, lora_alpha=16, **given))
        except ValueError as error:
            if not refused(matched):
                wrong.append((variant, str(error)))
            continue
        expected = oracle.adapted(model)
        if refused(matched) or set(oracle.names_of(spec, matched.modules)) != expected:
            wrong.append((variant, sorted(set(oracle.names_of(spec, matched.modules)) ^ expected)[:4]))
        elif matched.parameters(adapter) != oracle.trainable(model):
            wrong.append((variant, f"{matched.parameters(adapter)} != {oracle.trainable(model)}"))
    assert not wrong


@pytest.mark.parametrize("name", ["mllama", "llama4", "qwen3_5", "qwen3_5_moe"])
def test_text_models(name: str) -> None:
    pytest.importorskip("transformers")
    config = CONFIGURATIONS[name]
    spec = describe(config)
    assert spec is not None
    spec = text_model(spec)
    model = oracle.build_text(copy.deepcopy(config))
    assert oracle.rows_of_spec(spec) == oracle.rows_of_model(model)
    assert spec.parameters == sum({id(p): p.numel() for p in model.parameters()}.values())
    assert spec.model_type == model.config.model_type


def test_linearized_experts() -> None:
    pytest.importorskip("transformers")
    patch = pytest.importorskip("axolotl.monkeypatch.models.llama4.modeling")
    row = lookup("axolotl-quants/Llama-4-Scout-17B-16E-Linearized-bnb-nf4-bf16")
    assert row is not None
    config = oracle.small({key: value for key, value in row.config.items() if key != "quantization_config"}, 2)
    spec = describe(config)
    assert spec is not None
    unpatch = patch.patch_llama4_linearized_modeling()
    try:
        model = oracle.build({key: value for key, value in config.items() if key != "linearized_experts"})
    finally:
        unpatch()
    assert oracle.rows_of_spec(spec) == oracle.rows_of_model(model)
    assert spec.parameters == sum(p.numel() for p in model.parameters())


def refused(matched: Matched) -> bool:
    """Whether PEFT raises, as the match tells it: nothing matched, or something that cannot be adapted."""
    return not matched.matched_any or bool(matched.unsupported or matched.problem or matched.no_default)


def test_every_family_is_compared() -> None:
    assert {config["model_type"] for config in CONFIGURATIONS.values()} == set(FAMILIES) - REMOTE


def test_remote_families_are_those_that_transformers_lacks() -> None:
    auto = pytest.importorskip("transformers.models.auto.configuration_auto")
    assert {family for family in FAMILIES if family not in auto.CONFIG_MAPPING_NAMES} == REMOTE
