"""Faults of learning rate, optimizer, schedule, batch and data."""

from __future__ import annotations

from loraplan_rules.optimizers import TRANSFORMERS_SCHEDULES
from seeded.fault import Fault, Write, write
from seeded.needs import (
    CONSTANT,
    LOW_RATE,
    MAX_STEPS,
    NO_EPOCHS,
    NO_LORA,
    NO_POSITIONS,
    NO_RATIO,
    NO_TRAINING,
    NO_WARMUP,
    NOT_SUPERVISED,
    RATIO_WRITTEN,
    STEPS_WRITTEN,
    UNKNOWN_MODEL,
    formats,
    other_formats,
    where,
)

NO_SGD = formats("the framework has no SGD and stops at the name", "qlora-pipe")
IGNORED = where(
    "the constant schedule ignores warm-up, which WRM003 says", lambda plan: plan.schedule.name == "constant"
)
OWN_SCHEDULES = other_formats("the framework warms up whatever schedule follows", *TRANSFORMERS_SCHEDULES)

FAULTS = [
    Fault(
        "LRS001",
        "the rate of a full fine-tune",
        write("optimizer.learning_rate", 1e-6),
        needs=(
            NO_LORA,
            NOT_SUPERVISED,
            NO_TRAINING,
        ),
    ),
    Fault(
        "LRS001",
        "the rate of pre-training",
        write("optimizer.learning_rate", 5e-6),
        needs=(
            NO_LORA,
            NOT_SUPERVISED,
            NO_TRAINING,
        ),
    ),
    Fault("LRS002", "a rate of 0.05", write("optimizer.learning_rate", 0.05), needs=(NO_LORA,)),
    Fault("LRS002", "a rate of 1", write("optimizer.learning_rate", 1), needs=(NO_LORA,)),
    Fault("LRS002", "a rate of zero", write("optimizer.learning_rate", 0.0), needs=(NO_LORA,)),
    Fault("LRS002", "a negative rate", write("optimizer.learning_rate", -2e-4), needs=(NO_LORA,)),
    Fault("OPT002", "weight decay 0.5", write("optimizer.weight_decay", 0.5), needs=(NO_LORA,)),
    Fault(
        "OPT005",
        "Adam's beta with SGD",
        (Write("optimizer.name", "sgd"), Write("optimizer.beta2", 0.95)),
        needs=(
            NO_LORA,
            NO_SGD,
        ),
    ),
    Fault(
        "WRM001",
        "no warm-up steps",
        write("schedule.warmup_steps", 0),
        needs=(
            NO_LORA,
            RATIO_WRITTEN,
            CONSTANT,
            LOW_RATE,
        ),
    ),
    Fault(
        "WRM001",
        "a warm-up ratio of zero",
        write("schedule.warmup_ratio", 0.0),
        needs=(
            NO_LORA,
            STEPS_WRITTEN,
            CONSTANT,
            LOW_RATE,
        ),
    ),
    Fault(
        "WRM002",
        "warm-up of all steps",
        (Write("schedule.warmup_steps", 5000), Write("schedule.max_steps", 1000)),
        needs=(
            NO_LORA,
            IGNORED,
        ),
    ),
    Fault(
        "WRM003",
        "warm-up with the constant schedule",
        write("schedule.name", "constant"),
        also=("schedule.warmup_ratio", "schedule.warmup_steps"),
        needs=(
            NO_LORA,
            NO_WARMUP,
            OWN_SCHEDULES,
        ),
    ),
    Fault(
        "WRM004",
        "warm-up twice",
        write("schedule.warmup_steps", 77),
        also=("schedule.warmup_ratio",),
        needs=(
            NO_LORA,
            NO_RATIO,
        ),
    ),
    Fault("WRM005", "steps as a ratio", write("schedule.warmup_ratio", 120), needs=(NO_LORA,)),
    Fault("WRM005", "a ratio of one half", write("schedule.warmup_ratio", 0.5), needs=(NO_LORA,)),
    Fault(
        "BAT001",
        "an effective batch of thousands",
        write("batch.gradient_accumulation_steps", 4096),
        needs=(
            NO_LORA,
            NOT_SUPERVISED,
        ),
    ),
    Fault(
        "BAT003",
        "fifty epochs",
        write("schedule.epochs", 50),
        needs=(
            NO_LORA,
            MAX_STEPS,
        ),
    ),
    Fault(
        "BAT004",
        "few steps",
        write("batch.gradient_accumulation_steps", 64),
        inputs={"dataset_size": 200},
        needs=(
            NO_LORA,
            MAX_STEPS,
            NO_EPOCHS,
        ),
    ),
    Fault(
        "DAT001",
        "a length beyond the model's",
        write("data.max_length", 8_000_000),
        needs=(
            NO_LORA,
            UNKNOWN_MODEL,
            NO_POSITIONS,
        ),
    ),
]
