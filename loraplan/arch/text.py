"""The language model alone, as `AutoModelForCausalLM` loads some models that also see."""

from __future__ import annotations

from dataclasses import replace

from loraplan.arch.spec import ArchSpec

# model_type -> (its text model's model_type, prefix of the whole model's names, prefix of the text model's).
# Source: transformers 5.23.0 models/auto/modeling_auto.py MODEL_FOR_CAUSAL_LM_MAPPING_NAMES. Other multimodal types
# are loaded whole (gemma3) or not at all (qwen3_vl) by AutoModelForCausalLM.
_TEXT_MODELS = {
    "mllama": ("mllama_text_model", "model.language_model.", "model."),
    "llama4": ("llama4_text", "language_model.", ""),
    "qwen3_5": ("qwen3_5_text", "model.language_model.", "model."),
    "qwen3_5_moe": ("qwen3_5_moe_text", "model.language_model.", "model."),
}


def text_model(spec: ArchSpec) -> ArchSpec:
    """The architecture that a text-only run trains; the same where the whole model is loaded anyway."""
    if spec.model_type not in _TEXT_MODELS:
        return spec
    model_type, before, after = _TEXT_MODELS[spec.model_type]
    modules = tuple(
        module._replace(name=after + module.name.removeprefix(before)) if module.name.startswith(before) else module
        for module in spec.modules
        if module.part not in ("vision", "audio", "projector")
        and (module.name.startswith(before) or module.part == "head")
    )
    total = sum(module.elements * module.copies for module in modules)
    if spec.tied_embeddings:
        total -= spec.vocab_size * spec.hidden_size
    return replace(spec, model_type=model_type, modules=modules, multimodal=False, parameters=total)
