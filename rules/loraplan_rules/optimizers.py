"""Which optimizers a learning rate can be compared across, and which formats leave the schedule to transformers."""

from __future__ import annotations

from loraplan.plan import Plan

TRANSFORMERS_SCHEDULES = frozenset(
    "trl hf-args llamafactory axolotl ms-swift oumi open-instruct autotrain unsloth openrlhf chatglm llm-toolkit"
    " python".split()
)
"""Formats whose schedule name goes to transformers' `get_scheduler` unchanged."""

TRAINING_ARGUMENTS = frozenset("trl hf-args unsloth python open-instruct chatglm llm-toolkit".split())
"""Formats whose keys are those of the installed transformers' TrainingArguments."""

# Their learning rate is relative, found by the optimizer itself, or on another scale.
_OTHER_SCALE = ("prodigy", "dadapt", "d_adapt", "adafactor", "sgd", "muon", "lomo", "rmsprop", "adagrad", "adadelta",
                "apollo", "galore", "ademamix", "sophia", "lion", "soap", "came", "automagic", "dion")  # fmt: skip
_OWN_WARMUP = ("schedule_free", "schedulefree", "prodigy", "dadapt", "radam", "automagic")


def adam_like(plan: Plan) -> bool:
    """Whether learning rates are on Adam's scale; an optimizer that is not named is taken to be AdamW."""
    name = (plan.optimizer.name or "").lower()
    return not any(part in name for part in _OTHER_SCALE)


def warms_up_itself(plan: Plan) -> bool:
    """Whether the optimizer or the schedule has a warm-up of its own."""
    name = (plan.optimizer.name or "").lower()
    if any(part in name for part in _OWN_WARMUP) or "warmup_init" in (plan.optimizer.args or "").lower():
        return True
    schedule = (plan.schedule.name or "").lower().replace("_", "").replace("-", "")
    return any(part in schedule for part in ("onecycle", "warmupstable", "wsd"))


def resumes(plan: Plan) -> bool:
    """Whether the run continues from trained weights, so that its start is no cold start."""
    return bool(plan.adapter.resume_from or plan.run.resume_from_checkpoint)
