"""Files in which a planted text is no fault, or another finding says it, each with the reason.

Every reason is the framework's own behaviour or stands on the rule's page; the tables count how many files each takes.
"""

from __future__ import annotations

from collections.abc import Callable

from loraplan.arch.spec import ArchSpec
from loraplan.context import Facts, Inputs
from loraplan.derived import effective_batch, family
from loraplan.formats.reading import Reading
from loraplan.formats.targets import STRING_TARGETS, trained
from loraplan.plan import Plan
from loraplan.rule import Skip
from loraplan_rules.precision.fp16_on_bf16_model import _published_in_bfloat16
from seeded.fault import Except


def arch_of(reading: Reading) -> ArchSpec | None:
    """The base model's architecture, where the file names a model that is known."""
    try:
        return Facts(reading, Inputs(), {}, lambda found: found).arch()
    except Skip:
        return None


def formats(reason: str, *names: str) -> Except:
    """Whole formats."""
    return Except(reason, lambda _, reading: reading.format in names)


def other_formats(reason: str, *names: str) -> Except:
    """Every format but these."""
    return Except(reason, lambda _, reading: reading.format not in names)


def where(reason: str, holds: Callable[[Plan], bool]) -> Except:
    """By the plan alone."""
    return Except(reason, lambda plan, _: holds(plan))


NO_LORA = where("no LoRA is trained", lambda plan: plan.adapter.method != "lora")
NOT_FOUR_BITS = where("the base is not loaded in 4 bits", lambda plan: plan.quantization.bits != 4)
TRAINED = Except("it describes an adapter that is trained already", lambda _, reading: trained(reading))
NO_TRAINING = Except("it only predicts", lambda _, reading: bool(reading.facts.get("no_training")))
PATHS = formats("names without a path adapt nothing in mlx-lm, which TGT001 and TGT002 say there", "mlx-lm")
UNKNOWN_MODEL = Except(
    "it names no base model that is known, and the rule says that it is skipped",
    lambda _, reading: not arch_of(reading),
)
NO_POSITIONS = Except(
    "how many positions its model has is not known, and the rule says that it is skipped",
    lambda _, reading: (arch := arch_of(reading)) is not None and arch.max_positions is None,
)
NOT_SUPERVISED = where(
    "preference tuning and reinforcement learning, of which the rule says nothing",
    lambda plan: family(plan) not in ("sft", "classification", "unknown"),
)
MAX_STEPS = where(
    "a number of steps is written, so that epochs do not count", lambda plan: plan.schedule.max_steps is not None
)
NO_EPOCHS = where("no number of epochs is known", lambda plan: plan.schedule.epochs is None)
CONSTANT = where(
    "the schedule is constant, for which no warm-up is a choice", lambda plan: "constant" in (plan.schedule.name or "")
)
LOW_RATE = where(
    "the peak rate is below 1e-4, at which a start without warm-up is harmless",
    lambda plan: (plan.optimizer.learning_rate or 0) < 1e-4,
)
STEPS_WRITTEN = where("a number of warm-up steps is written too", lambda plan: bool(plan.schedule.warmup_steps))
RATIO_WRITTEN = Except(
    "a warm-up ratio is written too",
    lambda plan, reading: bool(plan.schedule.warmup_ratio) and bool(reading.explicit("schedule.warmup_ratio")),
)
NO_RATIO = Except(
    "no warm-up ratio is written",
    lambda plan, reading: not plan.schedule.warmup_ratio or not reading.explicit("schedule.warmup_ratio"),
)
NO_WARMUP = Except(
    "no warm-up is written",
    lambda plan, reading: (
        not any(
            reading.explicit(field) and value
            for field, value in (
                ("schedule.warmup_ratio", plan.schedule.warmup_ratio),
                ("schedule.warmup_steps", plan.schedule.warmup_steps),
            )
        )
    ),
)
SHORT = where(
    "the run ends before it has seen as much data",
    lambda plan: (
        (plan.schedule.max_steps or 0) > 0 and (plan.schedule.max_steps or 0) * (effective_batch(plan) or 0) < 50_000
    ),
)
CAPPED = where(
    "max_samples takes less data than would be much",
    lambda plan: plan.data.max_samples is not None and plan.data.max_samples < 50_000,
)
NO_STRING = Except(
    "the format takes a list or splits the string, so that no expression reaches PEFT",
    lambda _, reading: reading.format not in STRING_TARGETS,
)
NOT_BF16 = where("the run is not known to be in bfloat16", lambda plan: not plan.precision.bf16)
CASTS = formats(
    "the framework casts text to a number",
    "autotrain", "axolotl", "h2o-llmstudio", "llamafactory", "llm-toolkit", "ludwig", "mistral-finetune", "oumi", "trl",
    "unsloth",
)  # fmt: skip
NOT_BFLOAT16_MODEL = Except(
    "the model was not published in bfloat16 alone, as far as is known",
    lambda _, reading: (arch := arch_of(reading)) is None or not _published_in_bfloat16(arch),
)
FUSED_EXPERTS = Except(
    "the MLP is experts that no target reaches",
    lambda _, reading: (
        (arch := arch_of(reading)) is not None
        and not any(
            module.kind in ("Linear", "Conv1D") and module.part in ("mlp", "expert", "shared_expert")
            for module in arch.modules
        )
    ),
)
