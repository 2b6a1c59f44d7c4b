"""The model as a trainer would hand it to the first step: real classes, meta tensors."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from typing import Any

from loraplan.trace.setting import Setting

LAYER_LISTS = ("layer_types", "mlp_layer_types")


def config_of(values: Mapping[str, Any]) -> Any:
    """The transformers config of a `config.json`."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from transformers import AutoConfig

    given = dict(values)
    return AutoConfig.for_model(given.pop("model_type"), **given)


def kinds_of(config: Any) -> tuple[tuple[str, ...], ...]:
    """What distinguishes each layer from the others, by its place in the config's lists."""
    lists = [getattr(config, name, None) for name in LAYER_LISTS]
    return tuple(tuple(str(kinds[index]) for kinds in lists if kinds) for index in range(config.num_hidden_layers))


def with_layers(config: Any, layers: int) -> Any:
    """A copy of a config with its first so many layers."""
    config = copy.deepcopy(config)
    config.num_hidden_layers = layers
    for name in LAYER_LISTS:
        kinds = getattr(config, name, None)
        if kinds:
            setattr(config, name, list(kinds[:layers]))
    return config


def build(config: Any, setting: Setting) -> Any:
    """Load, quantize, prepare and adapt a model, in the order of a training script."""
    import torch
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
    from transformers import AutoModelForCausalLM

    from loraplan.trace.quantized import quantize

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(
            config, dtype=getattr(torch, setting.base), attn_implementation=setting.attention
        )
        model.config.use_cache = setting.cache
        checkpointed = setting.checkpointing != "off"
        reentrant = {"use_reentrant": setting.checkpointing == "reentrant"}
        if setting.nf4:
            quantize(model, double=setting.double_quantized, compute_dtype=torch.bfloat16)
        if setting.upcast:
            prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
        if setting.loss == "chunked":
            from trl.trainer.utils import add_fused_lm_head

            add_fused_lm_head(model, outputs=("log_probs", "entropy", "is_top1"))
        if setting.rank:
            adapter = LoraConfig(
                task_type="CAUSAL_LM",
                r=setting.rank,
                lora_alpha=setting.alpha,
                lora_dropout=setting.dropout,
                target_modules=setting.targets if isinstance(setting.targets, str) else list(setting.targets),
                use_dora=setting.dora,
                use_rslora=setting.rslora,
            )
            model = get_peft_model(model, adapter)
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.data = parameter.data.to(getattr(torch, setting.adapter))
        if checkpointed:
            model.enable_input_require_grads()
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=reentrant)
    model.train()
    return model
