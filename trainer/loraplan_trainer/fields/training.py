"""The method, and fields of the optimizer, the schedule, the batch and the precision."""

from __future__ import annotations

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


# transformers/training_args.py@5.23.0: OptimizerNames, less those that need arguments which the Plan has no field for.
KNOWN_OPTIMIZERS = frozenset(
    """adamw_torch adamw_torch_fused adafactor adamw_anyprecision adamw_torch_4bit adamw_torch_8bit ademamix sgd adagrad
    adamw_bnb_8bit adamw_8bit ademamix_8bit lion_8bit lion_32bit paged_adamw_32bit paged_adamw_8bit paged_ademamix_32bit
    paged_ademamix_8bit paged_lion_32bit paged_lion_8bit rmsprop rmsprop_bnb rmsprop_bnb_8bit rmsprop_bnb_32bit
    grokadamw schedule_free_radam schedule_free_adamw schedule_free_sgd stable_adamw""".split()
)


OPTIMIZER_PACKAGES = {
    "_4bit": "torchao",
    "torch_8bit": "torchao",
    "schedule_free": "schedulefree",
    "grokadamw": "grokadamw",
    "stable_adamw": "torch-optimi",
    "anyprecision": "torchdistx",
    **dict.fromkeys(("bnb", "8bit", "paged", "lion", "ademamix"), "bitsandbytes"),
}
"""Part of an optimizer's name -> its package; the first that fits (transformers/trainer_optimizer.py@5.23.0)."""


SCHEDULES = frozenset(
    "linear cosine cosine_with_restarts polynomial constant constant_with_warmup inverse_sqrt".split()
)
"""Learning-rate schedules of transformers that need no arguments of their own."""


def _method(value: Any, _plan: Plan, _situation: Situation) -> Outcome:
    match value:
        case "sft":
            return Honoured("trl.SFTTrainer")
        case "pt":
            return Honoured("trl.SFTTrainer on whole texts, every token in the loss")
        case "dpo":
            return Honoured("trl.DPOTrainer, beta 0.1 (TRL's default; the Plan has no field for it)")
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
    unpaged = "paged" in name and situation.device == "cpu"
    return Honoured(f"TrainingArguments(optim={name})" + ", which pages nothing on a CPU" * unpaged)


def _schedule(value: Any, _plan: Plan, _situation: Situation) -> Outcome:
    if value in SCHEDULES:
        return Honoured("TrainingArguments(lr_scheduler_type=)")
    return Refused(f"{value!r} is not among {', '.join(sorted(SCHEDULES))}")


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
    "optimizer.max_grad_norm": always("TrainingArguments(max_grad_norm=)"),
    "optimizer.args": always("TrainingArguments(optim_args=)"),
    "schedule.name": _schedule,
    "schedule.warmup_ratio": _warmup_ratio,
    "schedule.warmup_steps": _warmup_steps,
    "schedule.epochs": _epochs,
    "schedule.max_steps": lambda value, _plan, _situation: (
        Honoured("TrainingArguments(max_steps=)") if value > 0 else NoEffect("no cap")
    ),
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
