"""What transformers and PEFT build on the meta device, in LoRAPlan's terms."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from loraplan.arch.spec import ArchSpec, Module

Row = tuple[str, str, tuple[int, ...], bool]


def small(config: dict[str, Any], layers: int = 3) -> dict[str, Any]:
    """The configuration with few layers; widths stay."""
    cut = dict(config)
    for key in ("num_hidden_layers", "n_layer", "n_layers"):
        if key in cut:
            cut[key] = min(cut[key], layers)
    if "layer_types" in cut:
        cut["layer_types"] = cut["layer_types"][:layers]
    for part in ("text_config", "vision_config"):
        if part in cut:
            cut[part] = small(cut[part], layers)
            if "depth" in cut[part]:
                cut[part]["depth"] = min(cut[part]["depth"], layers)
    return cut


def build(config: dict[str, Any]) -> Any:
    """The model that transformers makes of a `config.json`, without memory."""
    import torch
    from transformers.models.auto import modeling_auto as auto
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    settings = CONFIG_MAPPING[config["model_type"]].from_dict(dict(config))
    for mapping in (
        auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
        auto.MODEL_FOR_CAUSAL_LM_MAPPING,
        auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING,
    ):
        if type(settings) in mapping:
            model_class = mapping[type(settings)]
            break
    with torch.device("meta"):
        return model_class(settings)


def build_text(config: dict[str, Any]) -> Any:
    """The language model alone, as AutoModelForCausalLM makes it of a multimodal `config.json`."""
    import torch
    from transformers.models.auto import modeling_auto as auto
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    settings = CONFIG_MAPPING[config["model_type"]].from_dict(dict(config))
    settings.text_config.tie_word_embeddings = getattr(settings, "tie_word_embeddings", False)
    with torch.device("meta"):
        return auto.MODEL_FOR_CAUSAL_LM_MAPPING[type(settings)](settings.text_config)


def rows_of_model(model: Any) -> set[Row]:
    """(name, kind, shape, bias) of everything that owns parameters."""
    import torch
    from transformers.pytorch_utils import Conv1D

    rows: set[Row] = set()
    for name, module in model.named_modules():
        own = dict(module.named_parameters(recurse=False))
        if not own:
            continue
        bias = "bias" in own
        if isinstance(module, torch.nn.Linear):
            rows.add((name, "Linear", (module.in_features, module.out_features), bias))
        elif isinstance(module, Conv1D):
            rows.add((name, "Conv1D", tuple(module.weight.shape), bias))
        elif isinstance(module, torch.nn.Embedding):
            rows.add((name, "Embedding", tuple(module.weight.shape), False))
        elif isinstance(module, torch.nn.Conv1d | torch.nn.Conv2d | torch.nn.Conv3d):
            rows.add((name, f"Conv{module.weight.ndim - 2}d", tuple(module.weight.shape), bias))
        elif set(own) <= {"weight", "bias"} and "Norm" in type(module).__name__ and own["weight"].ndim == 1:
            rows.add((name, "Norm", tuple(own["weight"].shape), bias))
        elif set(own) <= {"weight", "bias"} and "router" in type(module).__name__.lower():
            experts, hidden = own["weight"].shape
            rows.add((name, "Router", (hidden, experts), bias))
        else:
            rows.update((f"{name}.{key}", "Parameter", tuple(value.shape), False) for key, value in own.items())
    return rows


def rows_of_spec(spec: ArchSpec) -> set[Row]:
    return {
        (name, module.kind, module.shape, module.bias)
        for module in spec.modules
        for name in spec.names(module)
        if module.elements
    }


def adapted(model: Any) -> set[str]:
    """Names of what carries LoRA weights in a PEFT model, as they are without PEFT."""
    names = set()
    for name, module in model.named_modules():
        if getattr(module, "lora_A", None) is None and getattr(module, "lora_embedding_A", None) is None:
            continue
        if not (len(module.lora_A) or len(module.lora_embedding_A)):
            continue
        if ".original_module" in name:
            continue
        plain = (
            name.removeprefix("base_model.model.").replace(".base_layer", "").replace(".modules_to_save.default", "")
        )
        parameter = getattr(module, "parameter_name", None)
        names.add(f"{plain}.{parameter}" if parameter else plain)
    return names


def names_of(spec: ArchSpec, modules: tuple[Module, ...]) -> Iterator[str]:
    for module in modules:
        yield from spec.names(module)


def trainable(model: Any) -> int:
    return sum(p.numel() for n, p in model.named_parameters() if p.requires_grad and "lora_" in n)
