"""The method, and fields of the optimizer, the schedule, the loss, the batch and the precision."""

from __future__ import annotations

from math import isfinite
from typing import Any

from loraplan.plan import Plan
from loraplan_trainer.fields.outcomes import Honoured, Judge, NoEffect, Outcome, Refused, always
from loraplan_trainer.situation import Situation

OPTIMIZERS = {
    "adamw": "adamw_torch",
    "adamw_hf": "adamw_torch",
    "adam": "adamw_torch",
    "paged_adamw": "paged_adamw_32bit",
}
"""Other names of an optimizer that transformers has; `adam` is AdamW without weight decay."""


LOW_RANK = frozenset(
    """galore_adamw galore_adamw_8bit galore_adafactor galore_adamw_layerwise galore_adamw_8bit_layerwise
    galore_adafactor_layerwise apollo_adamw apollo_adamw_layerwise""".split()
)
"""Optimizers that project the gradients of some modules, which they must be told."""
# transformers/training_args.py@5.23.0: OptimizerNames.
KNOWN_OPTIMIZERS = LOW_RANK.union(
    """adamw_torch adamw_torch_fused adafactor adamw_anyprecision adamw_torch_4bit adamw_torch_8bit ademamix sgd adagrad
    adamw_bnb_8bit adamw_8bit ademamix_8bit lion_8bit lion_32bit paged_adamw_32bit paged_adamw_8bit paged_ademamix_32bit
    paged_ademamix_8bit paged_lion_32bit paged_lion_8bit rmsprop rmsprop_bnb rmsprop_bnb_8bit rmsprop_bnb_32bit
    grokadamw schedule_free_radam schedule_free_adamw schedule_free_sgd stable_adamw lomo adalomo""".split()
)


OPTIMIZER_PACKAGES = {
    "galore": "galore-torch",
    "apollo": "apollo-torch",
    "lomo": "lomo-optim",
    "_4bit": "torchao",
    "torch_8bit": "torchao",
    "schedule_free": "schedulefree",
    "grokadamw": "grokadamw",
    "stable_adamw": "torch-optimi",
    "anyprecision": "torchdistx",
    **dict.fromkeys(("bnb", "8bit", "paged", "lion", "ademamix"), "bitsandbytes"),
}
"""Part of an optimizer's name -> its package; the first that fits (transformers/trainer_optimizer.py@5.23.0)."""


_RESTARTS = frozenset(("num_cycles",))
_FLOOR = frozenset(("num_cycles", "min_lr", "min_lr_rate"))
SCHEDULES: dict[str, frozenset[str]] = {
    "linear": frozenset(),
    "cosine": _RESTARTS,
    "cosine_with_restarts": _RESTARTS,
    "polynomial": frozenset(("power", "lr_end")),
    "constant": frozenset(),
    "constant_with_warmup": frozenset(),
    "inverse_sqrt": frozenset(("timescale",)),
    "cosine_with_min_lr": _FLOOR,
    "cosine_warmup_with_min_lr": _FLOOR | {"warmup_lr_rate"},
    "warmup_stable_decay": frozenset(
        ("num_decay_steps", "num_stable_steps", "warmup_type", "decay_type", "min_lr_ratio", "num_cycles")
    ),
    "reduce_lr_on_plateau": frozenset(
        ("mode", "factor", "patience", "threshold", "threshold_mode", "cooldown", "min_lr", "eps")
    ),
}
"""Learning-rate schedules of transformers and the arguments that each takes (transformers/optimization.py@5.23.0)."""
_SHAPES = ("linear", "cosine", "1-sqrt")
_WORDS = {
    "warmup_type": _SHAPES,
    "decay_type": _SHAPES,
    "mode": ("min", "max"),
    "threshold_mode": ("rel", "abs"),
}
"""Arguments of a schedule that are no numbers."""
_PROJECTION = frozenset(("rank", "update_proj_gap", "scale", "proj_type"))
OPTIMIZER_ARGUMENTS = {
    "galore": _PROJECTION,
    "apollo": _PROJECTION | {"proj", "scale_type"},
    "ademamix": frozenset(("beta1", "beta2", "beta3", "alpha", "eps", "t_alpha", "t_beta3")),
    "anyprecision": frozenset(("use_kahan_summation", "momentum_dtype", "variance_dtype", "compensation_buffer_dtype")),
    "schedule_free": frozenset(("weight_lr_power", "r")),
    "sgd": frozenset(("momentum", "dampening", "weight_decay", "nesterov")),
    "adagrad": frozenset(("lr_decay", "weight_decay", "eps")),
    "rmsprop_bnb": frozenset(),
    "rmsprop": frozenset(("momentum", "alpha", "eps", "weight_decay", "centered")),
    "grokadamw": frozenset(("alpha_init", "lamb", "gamma", "grokking_signal_decay_rate", "gradient_clipping")),
    "torch_4bit": frozenset(("bf16_stochastic_round",)),
    "torch_8bit": frozenset(("bf16_stochastic_round",)),
    "stable": frozenset(("max_lr", "kahan_sum", "decouple_lr")),
}
"""Part of an optimizer's name -> what transformers takes from `optim_args` for it; the first that fits."""
DPO_LOSSES = frozenset(
    """sigmoid hinge ipo exo_pair nca_pair robust bco_pair sppo_hard aot aot_unpaired apo_zero apo_down discopop sft
    sigmoid_norm""".split()
)
_SMOOTHED = frozenset(("robust", "exo_pair", "aot", "aot_unpaired"))
SFT_LOSSES = {"nll": "nll", "chunked_nll": "nll", "dft": "dft"}
"""Losses of TRL's SFTTrainer; `chunked_nll` is an older name."""


def _method(value: Any, _plan: Plan, _situation: Situation) -> Outcome:
    match value:
        case "sft":
            return Honoured("trl.SFTTrainer")
        case "pt":
            return Honoured("trl.SFTTrainer on whole texts, every token in the loss")
        case "dpo":
            return Honoured("trl.DPOTrainer")
    return Refused(f"{value!r}: this trainer does sft, pt and dpo; train with the config's own framework")


def _optimizer(value: Any, plan: Plan, situation: Situation) -> Outcome:
    name = OPTIMIZERS.get(value, value)
    if name not in KNOWN_OPTIMIZERS:
        return Refused(f"{value!r} is not among {', '.join(sorted(KNOWN_OPTIMIZERS))}")
    if value == "adam" and plan.optimizer.weight_decay:
        return Refused("adam with weight decay is L2 regularisation, which transformers does not have; use adamw_torch")
    package = next((package for part, package in OPTIMIZER_PACKAGES.items() if part in name), None)
    if package in situation.absent:
        return Refused(
            f"{name} is in the package {package}, which is not installed; pip install it, or use adamw_torch"
        )
    if name in LOW_RANK and plan.optimizer.target_modules is None:
        return Refused(f"{name} needs optimizer.target_modules (optim_target_modules), all-linear for instance")
    if plan.adapter.loraplus_lr_ratio is not None and (name in LOW_RANK or "lomo" in name):
        return Refused(f"{name} groups the weights in its own way, and so does adapter.loraplus_lr_ratio; keep one")
    if name == "adalomo" and situation.device == "cpu":
        return Refused("adalomo keeps its state on a card and there is none; use lomo or adamw_torch")
    if name.endswith("layerwise") and (
        situation.processes > 1 or plan.batch.gradient_accumulation_steps not in (None, 1)
    ):
        return Refused(f"{name} steps in the backward pass: one process and gradient_accumulation_steps 1 only")
    more = ", which pages nothing on a CPU" if "paged" in name and situation.device == "cpu" else ""
    if name.endswith("layerwise") or name == "adalomo":
        more = ", whose state is in no checkpoint: a resumed run begins it anew"
    return Honoured(f"TrainingArguments(optim={name}){more}")


def _clipping(_value: Any, plan: Plan, _situation: Situation) -> Outcome:
    name = plan.optimizer.name or ""
    if name.endswith("layerwise") or "lomo" in name:
        return NoEffect(f"{name} steps in the backward pass, before anything could be clipped, as in transformers")
    return Honoured("TrainingArguments(max_grad_norm=)")


def _optimizer_args(value: Any, plan: Plan, _situation: Situation) -> Outcome:
    if any(part.count("=") != 1 for part in value.split(",")):
        return Refused(f"{value!r} is not of the form name=value,name=value")
    name = OPTIMIZERS.get(plan.optimizer.name or "", plan.optimizer.name or "adamw_torch_fused")
    taken = next((names for part, names in OPTIMIZER_ARGUMENTS.items() if part in name), frozenset[str]())
    given = {part.partition("=")[0].strip() for part in value.split(",")}
    if name.startswith("rmsprop_bnb") or ("block_size" in given and "torch_" in name):
        return Refused(f"transformers hands {name} its settings as text, which it cannot compute with; leave them out")
    if not given & taken:
        return NoEffect(f"{name} takes {', '.join(sorted(taken)) or 'none'}, as in transformers")
    rest = ", ".join(sorted(given - taken))
    return Honoured("TrainingArguments(optim_args=)" + (f"; {rest} without effect, as in transformers" if rest else ""))


def _optimizer_targets(_value: Any, plan: Plan, _situation: Situation) -> Outcome:
    if plan.optimizer.name in LOW_RANK:
        return Honoured("TrainingArguments(optim_target_modules=)")
    return NoEffect("GaLore and APOLLO alone read it, as in transformers")


def _schedule(value: Any, plan: Plan, situation: Situation) -> Outcome:
    if value not in SCHEDULES:
        return Refused(f"{value!r} is not among {', '.join(sorted(SCHEDULES))}")
    given = set(plan.schedule.args or ())
    if value in ("cosine_with_min_lr", "cosine_warmup_with_min_lr") and len(given & {"min_lr", "min_lr_rate"}) != 1:
        return Refused(f"{value} needs one of min_lr and min_lr_rate in schedule.args (lr_scheduler_kwargs)")
    if value == "warmup_stable_decay" and "num_decay_steps" not in given:
        return Refused(f"{value} needs num_decay_steps in schedule.args (lr_scheduler_kwargs)")
    if value == "reduce_lr_on_plateau" and (not situation.eval_data or plan.run.eval_strategy == "no"):
        return Refused(f"{value} follows the held-out loss; set data.val_size and run.eval_strategy")
    return Honoured("TrainingArguments(lr_scheduler_type=)")


def _schedule_args(value: Any, plan: Plan, _situation: Situation) -> Outcome:
    name = plan.schedule.name or "linear"  # TRL's default
    if name in ("constant", "constant_with_warmup"):
        return NoEffect(f"{name} takes none, as in transformers")
    taken = SCHEDULES.get(name, frozenset(value))
    if unknown := sorted(set(value) - taken):
        allowed = f"it takes {', '.join(sorted(taken))}" if taken else "it takes none"
        return Refused(f"{name} has no {', '.join(unknown)}; {allowed}")
    for key, item in value.items():
        if key in _WORDS and item not in _WORDS[key]:
            return Refused(f"{key} {item!r} is not among {', '.join(_WORDS[key])}")
        if key not in _WORDS and (isinstance(item, str) or not isfinite(item)):
            return Refused(f"{key} {item!r} is no number")
        if key in ("num_decay_steps", "num_stable_steps") and (item < 0 or item != int(item)):
            return Refused(f"{key} {item:g} is no number of steps")
    rate, end = plan.optimizer.learning_rate, value.get("lr_end")
    if end is not None and rate is not None and end >= rate:
        return Refused(f"lr_end {end:g} is not below the learning rate {rate:g}")
    return Honoured("TrainingArguments(lr_scheduler_kwargs=)")


def _loss(value: Any, plan: Plan, _situation: Situation) -> Outcome:
    known, kind = (DPO_LOSSES, "DPO") if plan.method == "dpo" else (frozenset(SFT_LOSSES), "SFT")
    if plan.method not in ("dpo", "sft", "pt", None):
        return NoEffect(f"the method is {plan.method}")
    if unknown := [name for name in value if name not in known]:
        return Refused(f"{unknown[0]!r} is not among {', '.join(sorted(known))}")
    if kind == "SFT" and len(value) != 1:
        return Refused("the losses of supervised fine-tuning do not add up; name one")
    return Honoured(f"{kind}Config(loss_type=)")


def _weights(value: Any, plan: Plan, _situation: Situation) -> Outcome:
    if plan.method != "dpo":
        return NoEffect("only DPO weighs losses")
    types = plan.loss.type or ("sigmoid",)
    if len(value) != len(types):
        return Refused(f"{len(value)} weights for {len(types)} losses ({', '.join(types)}); give each one")
    return Honoured("DPOConfig(loss_weights=)")


def _beta(value: Any, plan: Plan, _situation: Situation) -> Outcome:
    if plan.method != "dpo":
        return NoEffect("only DPO has it here")
    if value == 0 and "ipo" in (plan.loss.type or ()):
        return Refused("the ipo loss divides by it; use 0.1 for instance")
    return Honoured("DPOConfig(beta=)")


def _smoothing(value: Any, plan: Plan, _situation: Situation) -> Outcome:
    if plan.method != "dpo" or value == 0:
        return NoEffect("only DPO has it" if plan.method != "dpo" else "nothing is smoothed")
    if others := [name for name in plan.loss.type or ("sigmoid",) if name not in _SMOOTHED]:
        smoothed = ", ".join(sorted(_SMOOTHED))
        return Refused(f"TRL smooths no labels of the {others[0]} loss; use loss.type {smoothed}, or leave it out")
    if not 0 < value < 0.5:
        return Refused(f"{value:g} is no share below a half")
    return Honoured("DPOConfig(label_smoothing=)")


def _warmup_ratio(value: Any, plan: Plan, _situation: Situation) -> Outcome:
    if plan.schedule.warmup_steps:
        return NoEffect(f"warmup_steps {plan.schedule.warmup_steps:g} wins, as in transformers")
    if not 0 <= value < 1:
        return Refused(f"{value:g} is no share of the run; use 0 up to, but not, 1, or warmup_steps")
    return Honoured("TrainingArguments(warmup_steps=), below 1 a share of the run")


def _warmup_steps(value: Any, _plan: Plan, _situation: Situation) -> Outcome:
    if value < 0 or value != int(value):
        return Refused(f"{value:g} is no number of steps; use a whole number from 0, or warmup_ratio")
    return Honoured("TrainingArguments(warmup_steps=)")


def _epochs(_value: Any, plan: Plan, _situation: Situation) -> Outcome:
    if plan.schedule.max_steps is not None and plan.schedule.max_steps > 0:
        return NoEffect(f"max_steps {plan.schedule.max_steps} wins, as in transformers")
    return Honoured("TrainingArguments(num_train_epochs=)")


def _global_batch(value: Any, plan: Plan, situation: Situation) -> Outcome:
    batch = plan.batch
    micro, accumulation = batch.micro_batch_size, batch.gradient_accumulation_steps
    each = (micro or 1) * situation.processes
    if micro is not None and accumulation is not None:
        if each * accumulation != value:
            return Refused(
                f"{value} is not micro_batch_size {micro} x accumulation {accumulation} x {situation.processes} "
                "processes; drop one of them"
            )
        return Honoured("micro_batch_size and accumulation make it up")
    if value % each:
        return Refused(f"{value} cannot be divided by micro_batch_size x processes = {each}")
    return Honoured("TrainingArguments(gradient_accumulation_steps=), worked out from it")


def _half(kind: str) -> Judge:
    def judge(value: Any, plan: Plan, situation: Situation) -> Outcome:
        if value and plan.precision.bf16 and plan.precision.fp16:
            return Refused("bf16 and fp16 exclude each other; keep one")
        if value and kind == "fp16" and situation.device == "cpu":
            return Refused("there is no fp16 training on a CPU; use bf16 or neither")
        return Honoured(f"TrainingArguments({kind}=)")

    return judge


def _tf32(_value: Any, _plan: Plan, situation: Situation) -> Outcome:
    if situation.device == "cpu":
        return NoEffect("there is no tf32 on a CPU")
    return Honoured("TrainingArguments(tf32=)")


def _checkpointing_kind(value: Any, plan: Plan, _situation: Situation) -> Outcome:
    if not plan.precision.gradient_checkpointing:
        return NoEffect("gradient checkpointing is off")
    return NoEffect(f"plain gradient checkpointing instead: the same gradients, more memory than {value!r}")


def _reentrant(_value: Any, plan: Plan, _situation: Situation) -> Outcome:
    if not plan.precision.gradient_checkpointing:
        return NoEffect("gradient checkpointing is off")
    return Honoured("TrainingArguments(activation_checkpointing_kwargs=)")


def _offloading(value: Any, _plan: Plan, situation: Situation) -> Outcome:
    if value and situation.device == "cpu":
        return NoEffect("activations are in main memory already")
    return Honoured("SFTConfig(activation_offloading=)")


def _fused_loss(value: Any, plan: Plan, situation: Situation) -> Outcome:
    if value == "liger" and situation.device == "cpu":
        return NoEffect("liger-kernel's kernels run on a card only; TRL's own chunked loss, the same values")
    if value == "liger" and "liger-kernel" not in situation.absent and plan.method != "dpo":
        return Honoured("SFTConfig(use_liger_kernel=) for the layers; the loss is TRL's own chunked one")
    if value == "liger" and plan.method != "dpo":
        return NoEffect("liger-kernel is not installed; TRL's own chunked loss, the same values")
    return NoEffect("TRL's own chunked loss, the same values")


JUDGES: dict[str, Judge] = {
    "method": _method,
    "optimizer.name": _optimizer,
    "optimizer.learning_rate": always("TrainingArguments(learning_rate=)"),
    "optimizer.weight_decay": always("TrainingArguments(weight_decay=)"),
    "optimizer.beta1": always("TrainingArguments(adam_beta1=)"),
    "optimizer.beta2": always("TrainingArguments(adam_beta2=)"),
    "optimizer.epsilon": always("TrainingArguments(adam_epsilon=)"),
    "optimizer.max_grad_norm": _clipping,
    "optimizer.args": _optimizer_args,
    "optimizer.target_modules": _optimizer_targets,
    "schedule.name": _schedule,
    "schedule.warmup_ratio": _warmup_ratio,
    "schedule.warmup_steps": _warmup_steps,
    "schedule.epochs": _epochs,
    "schedule.max_steps": lambda value, _plan, _situation: (
        Honoured("TrainingArguments(max_steps=)") if value > 0 else NoEffect("no cap")
    ),
    "schedule.args": _schedule_args,
    "loss.type": _loss,
    "loss.weights": _weights,
    "loss.beta": _beta,
    "loss.label_smoothing": _smoothing,
    "batch.micro_batch_size": always("TrainingArguments(per_device_train_batch_size=)"),
    "batch.gradient_accumulation_steps": always("TrainingArguments(gradient_accumulation_steps=)"),
    "batch.global_batch_size": _global_batch,
    "batch.eval_batch_size": always("TrainingArguments(per_device_eval_batch_size=)"),
    "precision.bf16": _half("bf16"),
    "precision.fp16": _half("fp16"),
    "precision.tf32": _tf32,
    "precision.gradient_checkpointing": always("TrainingArguments(activation_checkpointing=)"),
    "precision.checkpointing_kind": _checkpointing_kind,
    "precision.use_reentrant": _reentrant,
    "precision.activation_offloading": _offloading,
    "precision.fused_loss": _fused_loss,
    "precision.compile": always("TrainingArguments(torch_compile=)"),
}
