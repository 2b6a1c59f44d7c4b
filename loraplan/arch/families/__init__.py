"""Model families by `model_type`: which function of which module describes a model of that type."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from loraplan.arch.spec import ArchSpec

FAMILIES: dict[str, str] = {
    "llama": "llama:llama",
    "mistral": "llama:llama",
    "granite": "llama:llama",
    "smollm3": "llama:llama",
    "qwen2": "llama:qwen2",
    "qwen3": "llama:qwen3",
    "stablelm": "llama:stablelm",
    "olmo": "llama:olmo",
    "olmo2": "llama:olmo2",
    "olmo3": "llama:olmo2",
    "cohere": "llama:cohere",
    "cohere2": "llama:cohere",
    "mixtral": "moe:mixtral",
    "minimax": "moe:minimax",
    "qwen2_moe": "moe:qwen2_moe",
    "qwen3_moe": "moe:qwen3_moe",
    "olmoe": "moe:olmoe",
    "granitemoe": "moe:granitemoe",
    "gpt_oss": "moe:gpt_oss",
    "glm4_moe": "moe:glm4_moe",
    "deepseek_v2": "deepseek:deepseek",
    "deepseek_v3": "deepseek:deepseek",
    "glm4_moe_lite": "deepseek:deepseek",
    "glm_moe_dsa": "deepseek:glm_moe_dsa",
    "gemma": "gemma:gemma",
    "gemma2": "gemma:gemma2",
    "gemma3_text": "gemma:gemma2",
    "gemma3": "gemma:gemma3",
    "gemma3n_text": "gemma3n:gemma3n_text",
    "gemma3n": "gemma3n:gemma3n",
    "gemma4_text": "gemma4:gemma4_text",
    "gemma4": "gemma4:gemma4",
    "gemma4_unified_text": "gemma4:gemma4_text",
    "gemma4_unified": "gemma4:gemma4_unified",
    "phi": "fused:phi",
    "phi3": "fused:phi3",
    "phi3_v": "phi_vision:phi3_v",
    "glm": "fused:glm",
    "glm4": "fused:glm",
    "starcoder2": "fused:starcoder2",
    "gpt2": "classic:gpt2",
    "gpt_bigcode": "classic:gpt_bigcode",
    "gptj": "classic:gptj",
    "gpt_neox": "classic:gpt_neox",
    "falcon": "classic:falcon",
    "bloom": "classic:bloom",
    "mpt": "classic:mpt",
    "opt": "classic:opt",
    "t5": "t5:t5",
    "ministral": "llama:llama",
    "ministral3": "llama:llama",
    "qwen2_vl": "vision:qwen2_vl",
    "qwen2_5_vl": "vision:qwen2_vl",
    "qwen3_vl": "vision:qwen3_vl",
    "qwen3_vl_moe": "vision:qwen3_vl",
    "mistral3": "vision:mistral3",
    "paddleocr_vl": "vision:paddleocr_vl",
    "mllama": "llama_vision:mllama",
    "llama4": "llama_vision:llama4",
    "qwen3_next": "hybrid:qwen3_next",
    "qwen3_5": "hybrid:qwen3_5",
    "qwen3_5_moe": "hybrid:qwen3_5",
    "lfm2": "hybrid:lfm2",
    "jamba": "hybrid:jamba",
    "falcon_h1": "hybrid:falcon_h1",
    "internlm": "remote:internlm",
    "internlm2": "remote:internlm2",
    "baichuan": "remote:baichuan",
    "chatglm": "remote:chatglm",
    "qwen": "qwen:qwen",
    "arcee": "plain:arcee",
    "seed_oss": "plain:seed_oss",
    "nemotron_h": "nemotron_h:nemotron_h",
    "afmoe": "afmoe:afmoe",
}
"""`model_type` -> `module:function` below this package. A type that is missing here is unknown, never guessed."""


def describe(config: Mapping[str, Any]) -> ArchSpec | None:
    """The architecture that a `config.json` describes, None for a `model_type` that is not known.

    Raises `layout.BadConfig` where the values describe no model.
    """
    model_type = config.get("model_type")
    place = FAMILIES.get(model_type) if isinstance(model_type, str) else None
    if place is None:
        return None
    module, _, function = place.partition(":")
    spec: ArchSpec = getattr(import_module(f"loraplan.arch.families.{module}"), function)(config)
    return spec
