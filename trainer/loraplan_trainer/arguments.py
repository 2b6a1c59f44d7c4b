"""The Plan as keyword arguments of the libraries: plain values, no torch, so that they can be shown and compared.

A field without a value is left out: the library's own default then stands, and the log names it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from loraplan.plan import Plan, get
from loraplan_trainer.fields import TABLE
from loraplan_trainer.fields.examples import PACKING
from loraplan_trainer.fields.loading import attention
from loraplan_trainer.fields.outcomes import Honoured, mutates_base, quantized_bits
from loraplan_trainer.fields.training import OPTIMIZERS, SFT_LOSSES
from loraplan_trainer.situation import Situation

_PLAIN = {
    "optimizer.learning_rate": "learning_rate",
    "optimizer.weight_decay": "weight_decay",
    "optimizer.beta1": "adam_beta1",
    "optimizer.beta2": "adam_beta2",
    "optimizer.epsilon": "adam_epsilon",
    "optimizer.max_grad_norm": "max_grad_norm",
    "optimizer.args": "optim_args",
    "optimizer.target_modules": "optim_target_modules",
    "schedule.name": "lr_scheduler_type",
    "schedule.epochs": "num_train_epochs",
    "schedule.max_steps": "max_steps",
    "schedule.args": "lr_scheduler_kwargs",
    "loss.type": "loss_type",
    "loss.weights": "loss_weights",
    "loss.beta": "beta",
    "loss.label_smoothing": "label_smoothing",
    "batch.micro_batch_size": "per_device_train_batch_size",
    "batch.gradient_accumulation_steps": "gradient_accumulation_steps",
    "batch.eval_batch_size": "per_device_eval_batch_size",
    "precision.bf16": "bf16",
    "precision.fp16": "fp16",
    "precision.tf32": "tf32",
    "precision.gradient_checkpointing": "activation_checkpointing",
    "precision.activation_offloading": "activation_offloading",
    "precision.compile": "torch_compile",
    "data.max_length": "max_length",
    "data.packing": "packing",
    "data.padding_free": "padding_free",
    "data.sampling": "train_sampling_strategy",
    "run.eval_strategy": "eval_strategy",
    "run.eval_steps": "eval_steps",
    "run.save_strategy": "save_strategy",
    "run.save_steps": "save_steps",
    "run.logging_steps": "logging_steps",
    "run.load_best_model_at_end": "load_best_model_at_end",
    "run.data_seed": "data_seed",
    "run.neftune_noise_alpha": "neftune_noise_alpha",
}
"""Fields whose value is an argument of SFTConfig or DPOConfig, as it is but for lists and whole numbers."""
_SFT_ONLY = ("packing", "packing_strategy", "padding_free")
_WHOLE = ("max_steps", "per_device_train_batch_size", "gradient_accumulation_steps", "per_device_eval_batch_size")


def _whole(value: float) -> float | int:
    return int(value) if value == int(value) else value


def _argument(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: item if isinstance(item, str) else _whole(item) for key, item in value.items()}
    return list(value) if isinstance(value, tuple) else value


def _listed(value: Any) -> Any:
    return value if isinstance(value, str) else list(value)


_LORA: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "adapter.r": ("r", int),
    "adapter.alpha": ("lora_alpha", _whole),
    "adapter.dropout": ("lora_dropout", float),
    "adapter.bias": ("bias", str),
    "adapter.lora_bias": ("lora_bias", bool),
    "adapter.target_modules": ("target_modules", _listed),
    "adapter.exclude_modules": ("exclude_modules", _listed),
    "adapter.target_parameters": ("target_parameters", list),
    "adapter.modules_to_save": ("modules_to_save", list),
    "adapter.layers_to_transform": ("layers_to_transform", list),
    "adapter.layers_pattern": ("layers_pattern", _listed),
    "adapter.rank_pattern": ("rank_pattern", lambda value: {key: int(rank) for key, rank in value.items()}),
    "adapter.alpha_pattern": ("alpha_pattern", lambda value: {key: _whole(alpha) for key, alpha in value.items()}),
    "adapter.trainable_token_indices": ("trainable_token_indices", list),
    "adapter.ensure_weight_tying": ("ensure_weight_tying", bool),
    "adapter.fan_in_fan_out": ("fan_in_fan_out", bool),
    "adapter.use_rslora": ("use_rslora", bool),
    "adapter.use_dora": ("use_dora", bool),
}
_INITS: dict[str, bool | str] = {"true": True, "default": True, "kaiming": True, "false": False, "loftq": True}
"""Of LoftQ, the factors are replaced once the quantized model is there."""


def training(plan: Plan, situation: Situation, seed: int) -> dict[str, Any]:
    """Keyword arguments of SFTConfig, or of DPOConfig where the method is dpo; paths and logging are not among them."""
    arguments: dict[str, Any] = {"seed": seed, "data_seed": seed, "use_cpu": situation.device == "cpu"}
    for name, argument in _PLAIN.items():
        value = get(plan, name)
        if value is not None and isinstance(TABLE[name](value, plan, situation), Honoured):
            arguments[argument] = int(value) if argument in _WHOLE else _argument(value)
    if plan.optimizer.name is not None:
        arguments["optim"] = OPTIMIZERS.get(plan.optimizer.name, plan.optimizer.name)
    arguments |= _warmup(plan) | _accumulation(plan, situation) | _checkpointing(plan) | _evaluation(plan, situation)
    if plan.data.packing and plan.data.packing_strategy is not None:
        arguments["packing_strategy"] = PACKING[plan.data.packing_strategy]
    if isinstance(TABLE["precision.fused_loss"](plan.precision.fused_loss, plan, situation), Honoured):
        arguments["use_liger_kernel"] = True
    if plan.data.max_length is None:
        arguments["max_length"] = None  # the Plan's None is no cap; TRL's default is 1024
    if plan.method != "dpo" and "loss_type" in arguments:
        arguments["loss_type"] = SFT_LOSSES[arguments["loss_type"][0]]
    if plan.method == "dpo":
        arguments = {key: value for key, value in arguments.items() if key not in _SFT_ONLY}
    return arguments


def _warmup(plan: Plan) -> dict[str, Any]:
    """transformers 5: below 1 a share of the run, from 1 a number of steps."""
    if plan.schedule.warmup_steps:
        return {"warmup_steps": int(plan.schedule.warmup_steps)}
    ratio = plan.schedule.warmup_ratio
    return {} if ratio is None and plan.schedule.warmup_steps is None else {"warmup_steps": ratio or 0}


def _accumulation(plan: Plan, situation: Situation) -> dict[str, Any]:
    """Accumulation where only the global batch is given: global / (micro x processes), micro 1 unless it is given."""
    batch = plan.batch
    if batch.global_batch_size is None or batch.gradient_accumulation_steps is not None:
        if batch.global_batch_size is None or batch.micro_batch_size is not None:
            return {}
        each = batch.global_batch_size // (situation.processes * (batch.gradient_accumulation_steps or 1))
        return {"per_device_train_batch_size": max(each, 1)}
    micro = batch.micro_batch_size or 1
    steps = batch.global_batch_size // (micro * situation.processes)
    return {"per_device_train_batch_size": micro, "gradient_accumulation_steps": max(steps, 1)}


def _checkpointing(plan: Plan) -> dict[str, Any]:
    """TRL's default is on; said explicitly, or transformers warns of the argument's older name."""
    precision = plan.precision
    arguments: dict[str, Any] = {"activation_checkpointing": precision.gradient_checkpointing is not False}
    if precision.gradient_checkpointing and precision.use_reentrant is not None:
        arguments["activation_checkpointing_kwargs"] = {"use_reentrant": precision.use_reentrant}
    return arguments


def _evaluation(plan: Plan, situation: Situation) -> dict[str, Any]:
    """Held-out data that no strategy is given for are evaluated after every epoch."""
    arguments: dict[str, Any] = {}
    if not situation.eval_data:
        arguments["eval_strategy"] = "no"
    elif plan.run.eval_strategy is None:
        arguments["eval_strategy"] = "epoch"
    followed = plan.run.early_stopping_patience is not None or plan.schedule.name == "reduce_lr_on_plateau"
    if plan.run.save_strategy == "best" or followed:
        arguments["metric_for_best_model"] = "loss"
    if situation.eval_data and plan.batch.eval_batch_size is None and plan.batch.micro_batch_size is not None:
        arguments["per_device_eval_batch_size"] = int(plan.batch.micro_batch_size)
    return arguments


def lora(plan: Plan) -> dict[str, Any] | None:
    """Keyword arguments of LoraConfig; None where all weights are trained."""
    adapter = plan.adapter
    if adapter.method == "none":
        return None
    arguments: dict[str, Any] = {"task_type": "CAUSAL_LM"}
    for name, (argument, convert) in _LORA.items():
        value = get(plan, name)
        if value is not None:
            arguments[argument] = convert(value)
    if adapter.init is not None:
        arguments["init_lora_weights"] = _INITS.get(adapter.init, adapter.init)
    if adapter.alpha is None and adapter.scaling is not None:
        rank = arguments.get("r", 8)  # PEFT's default
        arguments["lora_alpha"] = _whole(adapter.scaling * (rank**0.5 if adapter.use_rslora else rank))
    return arguments


def quantization(plan: Plan) -> dict[str, Any] | None:
    """Keyword arguments of BitsAndBytesConfig, dtypes by name; None where nothing is quantized."""
    bits = quantized_bits(plan)
    given = plan.quantization
    if bits is None:
        return None
    if bits == 8:
        threshold = given.llm_int8_threshold
        return {"load_in_8bit": True} | ({} if threshold is None else {"llm_int8_threshold": threshold})
    arguments = {
        "load_in_4bit": True,
        "bnb_4bit_quant_type": given.quant_type,
        "bnb_4bit_use_double_quant": given.double_quant,
        "bnb_4bit_compute_dtype": given.compute_dtype,
        "bnb_4bit_quant_storage": given.quant_storage,
    }
    return {key: value for key, value in arguments.items() if value is not None}


def model(plan: Plan, situation: Situation) -> dict[str, Any]:
    """Keyword arguments of from_pretrained, the dtype by name; float32 where the Plan has none, as TRL does."""
    kernel = attention(plan, situation)
    arguments: dict[str, Any] = {"dtype": plan.model.dtype or "float32", "trust_remote_code": False}
    if plan.model.revision is not None:
        arguments["revision"] = plan.model.revision
    if kernel is not None:
        arguments["attn_implementation"] = kernel
    return arguments


def lora_names() -> dict[str, str]:
    """The argument of LoraConfig that a field becomes."""
    return {name: argument for name, (argument, _) in _LORA.items()}


def argument_names() -> dict[str, str]:
    """The training argument that a field becomes, where the library has a default for it."""
    return {**_PLAIN, "optimizer.name": "optim", "schedule.warmup_steps": "warmup_steps"}


def needs_initial_adapter(plan: Plan) -> bool:
    """Whether the adapter as it was before training is needed to save the trained one as plain LoRA."""
    return plan.adapter.method != "none" and mutates_base(plan.adapter.init)
