"""Fields of the adapter."""

from __future__ import annotations

from typing import Any

from loraplan.plan import Plan
from loraplan_trainer.fields.loading import causal_only
from loraplan_trainer.fields.outcomes import (
    Honoured,
    Judge,
    NoEffect,
    Outcome,
    Refused,
    choice,
    mutates_base,
    quantized_bits,
)
from loraplan_trainer.situation import Situation

INITS = frozenset({"true", "default", "kaiming", "false", "gaussian", "pissa", "olora", "orthogonal", "loftq"})


def _adapter(text: str) -> Judge:
    """Of a setting that LoRA alone has."""

    def judge(_value: Any, plan: Plan, _situation: Situation) -> Outcome:
        return NoEffect("there is no adapter") if plan.adapter.method == "none" else Honoured(text)

    return judge


def _rank(value: Any, plan: Plan, _situation: Situation) -> Outcome:
    if plan.adapter.method == "none":
        return NoEffect("there is no adapter")
    if value != int(value) or value < 1:
        return Refused(f"{value:g} is no rank; use a whole number from 1")
    return Honoured("LoraConfig(r=)")


def _scaling(value: Any, plan: Plan, _situation: Situation) -> Outcome:
    adapter = plan.adapter
    if adapter.method == "none":
        return NoEffect("there is no adapter")
    if adapter.alpha is not None and adapter.r:
        given = adapter.alpha / (adapter.r**0.5 if adapter.use_rslora else adapter.r)
        if abs(given - value) > 1e-6 * abs(value):
            return Refused(f"{value:g} contradicts alpha {adapter.alpha:g} at rank {adapter.r:g}; keep one of them")
    return Honoured("LoraConfig(lora_alpha=), multiplied by the rank (its square root under rsLoRA)")


def _ranks(value: Any, plan: Plan, _situation: Situation) -> Outcome:
    if plan.adapter.method == "none":
        return NoEffect("there is no adapter")
    wrong = [f"{key}: {rank:g}" for key, rank in value.items() if rank != int(rank) or rank < 1]
    if wrong:
        return Refused(f"{', '.join(wrong)}: a rank is a whole number from 1")
    return Honoured("LoraConfig(rank_pattern=)")


def _init(value: Any, plan: Plan, situation: Situation) -> Outcome:
    adapter = plan.adapter
    if adapter.method == "none":
        return NoEffect("there is no adapter")
    known = value in INITS or (isinstance(value, str) and value.startswith("pissa_niter_"))
    if not known:
        return Refused(f"{value!r} is not among {', '.join(sorted(INITS))} and pissa_niter_N")
    quantized = quantized_bits(plan)
    if situation.sharding != "none" and (value == "loftq" or mutates_base(value)):
        return Refused(
            f"{value} needs whole base weights in every process, which sharding does not leave; use init true"
        )
    if value == "loftq":
        if quantized != 4:
            return Refused("loftq makes up for a 4-bit base's error; set quantization.bits to 4, or another init")
        if situation.device == "cpu":
            return Refused("PEFT computes loftq on a CUDA device only; use init true")
        return Honoured("peft.replace_lora_weights_loftq")
    if mutates_base(value):
        if quantized is not None:
            return Refused(f"{value} rewrites base weights, which a quantized base does not allow; use true or loftq")
        if plan.method == "dpo":
            return Refused(f"{value} rewrites the base weights that DPO compares with; use true")
    return Honoured("LoraConfig(init_lora_weights=)")


def _dora(value: Any, plan: Plan, _situation: Situation) -> Outcome:
    if plan.adapter.method == "none":
        return NoEffect("there is no adapter")
    if value and mutates_base(plan.adapter.init):
        return Refused(f"with init {plan.adapter.init}: its change to the base cannot be saved as DoRA; use init true")
    return Honoured("LoraConfig(use_dora=)")


def _rslora(value: Any, plan: Plan, _situation: Situation) -> Outcome:
    if plan.adapter.method == "none":
        return NoEffect("there is no adapter")
    if value and mutates_base(plan.adapter.init) and (plan.adapter.rank_pattern or plan.adapter.alpha_pattern):
        return Refused(
            f"with init {plan.adapter.init} and patterns: PEFT cannot save that as plain LoRA; use init true"
        )
    return Honoured("LoraConfig(use_rslora=)")


def _targets(value: Any, plan: Plan, _situation: Situation) -> Outcome:
    if plan.adapter.method == "none":
        return NoEffect("there is no adapter")
    names = (value,) if isinstance(value, str) else value
    if "lm_head" in names:
        return Refused("lm_head cannot carry an adapter under TRL's fused loss; move it to adapter.modules_to_save")
    return Honoured("LoraConfig(target_modules=)")


JUDGES: dict[str, Judge] = {
    "adapter.method": choice(
        "LoraConfig, or training of all weights", "lora", "none", instead="train with the config's own framework"
    ),
    "adapter.r": _rank,
    "adapter.alpha": _adapter("LoraConfig(lora_alpha=)"),
    "adapter.scaling": _scaling,
    "adapter.dropout": _adapter("LoraConfig(lora_dropout=)"),
    "adapter.bias": choice("LoraConfig(bias=)", "none", "all", "lora_only", instead="use none"),
    "adapter.lora_bias": _adapter("LoraConfig(lora_bias=)"),
    "adapter.target_modules": _targets,
    "adapter.exclude_modules": _adapter("LoraConfig(exclude_modules=)"),
    "adapter.target_parameters": _adapter("LoraConfig(target_parameters=)"),
    "adapter.modules_to_save": _adapter("LoraConfig(modules_to_save=)"),
    "adapter.layers_to_transform": _adapter("LoraConfig(layers_to_transform=)"),
    "adapter.layers_pattern": _adapter("LoraConfig(layers_pattern=)"),
    "adapter.rank_pattern": _ranks,
    "adapter.alpha_pattern": _adapter("LoraConfig(alpha_pattern=)"),
    "adapter.trainable_token_indices": _adapter("LoraConfig(trainable_token_indices=)"),
    "adapter.ensure_weight_tying": _adapter("LoraConfig(ensure_weight_tying=)"),
    "adapter.fan_in_fan_out": _adapter("LoraConfig(fan_in_fan_out=)"),
    "adapter.use_rslora": _rslora,
    "adapter.use_dora": _dora,
    "adapter.init": _init,
    "adapter.loftq_config": lambda value, plan, _: (
        NoEffect("adapter.init is not loftq")
        if not value or plan.adapter.init != "loftq"
        else Honoured("peft.replace_lora_weights_loftq: 4 bits, one iteration")
    ),
    "adapter.loraplus_lr_ratio": _adapter("peft.optimizers.create_loraplus_optimizer(loraplus_lr_ratio=)"),
    "adapter.autocast_adapter_dtype": _adapter("get_peft_model(autocast_adapter_dtype=)"),
    "adapter.task_type": causal_only,
    "adapter.resume_from": _adapter("PeftModel.from_pretrained(is_trainable=True), a local directory"),
}
