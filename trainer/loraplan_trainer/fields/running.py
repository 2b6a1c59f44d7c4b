"""Fields of the distribution over devices and of the run itself."""

from __future__ import annotations

from typing import Any

from loraplan.plan import Plan
from loraplan_trainer.fields.outcomes import (
    Honoured,
    Judge,
    NoEffect,
    Outcome,
    Refused,
    always,
    never,
    only_false,
)
from loraplan_trainer.situation import Situation


def _strategy(value: Any, _plan: Plan, situation: Situation) -> Outcome:
    sharded = {"fsdp": "fsdp", "fsdp2": "fsdp"}.get(value) or (
        "deepspeed" if value == "deepspeed" or str(value).startswith("zero") else "none"
    )
    if sharded == "deepspeed" == situation.sharding and "deepspeed" in situation.absent:
        return Refused("the package deepspeed is not installed; pip install it, or use fsdp2")
    if sharded == situation.sharding:
        return Honoured("the launcher's accelerate settings")
    if situation.processes == 1 and situation.sharding == "none":
        return NoEffect("one process: there is nothing to share out")
    if situation.device == "cpu" and situation.sharding == "none":
        return NoEffect("accelerate shards on cards only; each process holds the whole model and takes the same steps")
    return Refused(
        f"{value!r}, but the processes were started with sharding {situation.sharding!r}; "
        "start them with `accelerate launch --config_file` and the accelerate config that `loraplan train` writes"
    )


def _launcher(_value: Any, _plan: Plan, situation: Situation) -> Outcome:
    if situation.sharding == "none":
        return NoEffect("nothing is sharded")
    return Honoured("the launcher's accelerate settings")


def _devices(value: Any, _plan: Plan, situation: Situation) -> Outcome:
    if value == situation.processes:
        return Honoured("that many processes")
    return NoEffect(f"{situation.processes} process(es) run; see the effective batch in the log")


def _single(what: str) -> Judge:
    def judge(value: Any, _plan: Plan, _situation: Situation) -> Outcome:
        return Honoured("none") if value <= 1 else Refused(f"{value}: this trainer has no {what} parallelism; use 1")

    return judge


def _eval_strategy(value: Any, _plan: Plan, situation: Situation) -> Outcome:
    if value not in ("no", "steps", "epoch"):
        return Refused(f"{value!r} is not among no, steps, epoch")
    if value != "no" and not situation.eval_data:
        return NoEffect("there are no held-out data")
    return Honoured("TrainingArguments(eval_strategy=)")


def _eval_steps(_value: Any, plan: Plan, situation: Situation) -> Outcome:
    if not situation.eval_data or plan.run.eval_strategy != "steps":
        return NoEffect("there is no evaluation by steps")
    return Honoured("TrainingArguments(eval_steps=)")


def _save_steps(_value: Any, plan: Plan, _situation: Situation) -> Outcome:
    if plan.run.save_strategy not in (None, "steps"):
        return NoEffect(f"save_strategy is {plan.run.save_strategy!r}")
    return Honoured("TrainingArguments(save_steps=)")


def _save_strategy(value: Any, _plan: Plan, situation: Situation) -> Outcome:
    if value not in ("no", "steps", "epoch", "best"):
        return Refused(f"{value!r} is not among no, steps, epoch, best; use steps")
    if value == "best" and not situation.eval_data:
        return Refused("there are no held-out data to judge by; set data.val_size, or run.save_strategy to steps")
    return Honoured("TrainingArguments(save_strategy=)")


def _best(value: Any, plan: Plan, situation: Situation) -> Outcome:
    if value and not situation.eval_data:
        return Refused("there are no held-out data to judge by; set data.val_size or run.load_best_model_at_end: false")
    run = plan.run
    evaluated, saved = run.eval_strategy or "epoch", run.save_strategy or "steps"
    if value and saved not in ("best", evaluated):
        return Refused(
            f"evaluated by {evaluated} and saved by {saved}, the best one may not be kept; "
            "give run.eval_strategy and run.save_strategy one value"
        )
    return Honoured("TrainingArguments(load_best_model_at_end=)")


def _early_stopping(value: Any, plan: Plan, situation: Situation) -> Outcome:
    if value < 1:
        return Refused(f"{value} is no number of evaluations; use 1 or more, or leave it out")
    if not situation.eval_data or plan.run.eval_strategy == "no":
        return Refused("nothing is evaluated; set data.val_size and run.eval_strategy, or leave it out")
    return Honoured("transformers.EarlyStoppingCallback, on the held-out loss")


def _resume_from(value: Any, _plan: Plan, _situation: Situation) -> Outcome:
    if str(value).lower() in ("false", "none", ""):
        return NoEffect("nothing to continue from")
    return Refused("a run continues in its own directory: `loraplan train --resume`, without this setting")


JUDGES: dict[str, Judge] = {
    "distributed.strategy": _strategy,
    "distributed.deepspeed": _launcher,
    "distributed.fsdp": _launcher,
    "distributed.devices": _devices,
    "distributed.offload": _launcher,
    "distributed.tensor_parallel": _single("tensor"),
    "distributed.context_parallel": _single("context"),
    "run.eval_strategy": _eval_strategy,
    "run.eval_steps": _eval_steps,
    "run.save_strategy": _save_strategy,
    "run.save_steps": _save_steps,
    "run.logging_steps": always("TrainingArguments(logging_steps=)"),
    "run.load_best_model_at_end": _best,
    "run.seed": always("TrainingArguments(seed=)"),
    "run.data_seed": always("TrainingArguments(data_seed=)"),
    "run.early_stopping_patience": _early_stopping,
    "run.output_dir": never("the run's own directory is used"),
    "run.push_to_hub": only_false(
        "nothing is uploaded", NoEffect("this trainer uploads nothing; upload `adapter/` with `hf upload`")
    ),
    "run.hub_private_repo": never("nothing is uploaded"),
    "run.neftune_noise_alpha": always("TrainingArguments(neftune_noise_alpha=)"),
    "run.resume_from_checkpoint": _resume_from,
}
