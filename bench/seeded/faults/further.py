"""Faults of rules that speak of few files: biases, layers, patterns, tied embeddings, logging, preview."""

from __future__ import annotations

from loraplan.derived import family
from loraplan_rules.optimizers import TRANSFORMERS_SCHEDULES
from seeded.fault import Except, Fault, Write, write
from seeded.needs import (
    MAX_STEPS,
    NO_LORA,
    NO_TRAINING,
    NOT_SUPERVISED,
    TRAINED,
    UNKNOWN_MODEL,
    arch_of,
    other_formats,
    where,
)

BIASED = Except(
    "a layer of the model has a bias, which BIA001 says",
    lambda _, reading: (arch := arch_of(reading)) is not None and any(module.bias for module in arch.modules),
)
UNBIASED = Except(
    "no layer of the model has a bias, which BIA002 says",
    lambda _, reading: (arch := arch_of(reading)) is not None and not any(module.bias for module in arch.modules),
)
UNTIED = Except(
    "the model's embeddings are two matrices",
    lambda _, reading: (arch := arch_of(reading)) is not None and not arch.tied_embeddings,
)
NOT_TRANSFORMERS = other_formats("the framework's training loop is its own", *TRANSFORMERS_SCHEDULES)
NO_EPOCHS_WRITTEN = Except("no number of epochs is written", lambda _, reading: not reading.explicit("schedule.epochs"))
NOT_PREFERENCE = where("no preference tuning", lambda plan: family(plan) != "preference")
PREFERENCE = where(
    "preference tuning, where such adapters are customary", lambda plan: family(plan) in ("preference", "rl", "reward")
)
BY_EPOCH = Except("it logs by epoch", lambda _, reading: "logging_strategy" in reading.document.text)
EVALUATES = where(
    "it is evaluated, which would show overfitting",
    lambda plan: bool(plan.data.val_size or plan.data.eval_datasets) or plan.run.eval_strategy not in (None, "no"),
)

FAULTS = [
    Fault("BIA001", "all biases trained", write("adapter.bias", "all"), needs=(NO_LORA, UNBIASED)),
    Fault(
        "BIA002", "biases of a model without any", write("adapter.bias", "all"), needs=(NO_LORA, UNKNOWN_MODEL, BIASED)
    ),
    Fault(
        "BIA003",
        "a bias of LoRA with DoRA",
        (Write("adapter.lora_bias", True), Write("adapter.use_dora", True)),
        needs=(NO_LORA,),
    ),
    Fault(
        "TGT008",
        "a layer beyond the model",
        write("adapter.layers_to_transform", (500,)),
        needs=(NO_LORA, UNKNOWN_MODEL),
    ),
    Fault("TGT015", "a pattern of layers without layers", write("adapter.layers_pattern", "layers"), needs=(NO_LORA,)),
    Fault(
        "TGT009",
        "the rank of a module that is not there",
        write("adapter.rank_pattern", {"nope_proj": 4}),
        needs=(NO_LORA, UNKNOWN_MODEL),
    ),
    Fault(
        "ARC003",
        "tied embeddings saved twice",
        write("adapter.modules_to_save", ("embed_tokens", "lm_head")),
        needs=(NO_LORA, UNKNOWN_MODEL, UNTIED),
    ),
    Fault(
        "VAR001",
        "rank 256 at a low rate",
        (Write("adapter.r", 256), Write("adapter.alpha", 64), Write("optimizer.learning_rate", 5e-5)),
        needs=(NO_LORA, PREFERENCE),
    ),
    Fault("VAR002", "DoRA", write("adapter.use_dora", True), needs=(NO_LORA, TRAINED)),
    Fault(
        "BAT006",
        "epochs and steps",
        write("schedule.max_steps", 500),
        also=("schedule.epochs",),
        needs=(NO_LORA, NOT_TRANSFORMERS, NO_EPOCHS_WRITTEN),
    ),
    Fault(
        "LRS003",
        "the rate of supervised tuning",
        write("optimizer.learning_rate", 4e-4),
        needs=(NO_LORA, NOT_PREFERENCE),
    ),
    Fault(
        "LRS004",
        "a high rate with a high alpha",
        (Write("optimizer.learning_rate", 9e-4), Write("adapter.r", 256), Write("adapter.alpha", 512)),
        needs=(NO_LORA,),
    ),
    Fault(
        "OPT003",
        "clipping off",
        (Write("optimizer.max_grad_norm", 0.0), Write("optimizer.learning_rate", 3e-4)),
        needs=(NO_LORA,),
    ),
    Fault(
        "EVL003",
        "nothing logged",
        (Write("run.logging_steps", 5000), Write("schedule.max_steps", 100)),
        needs=(NO_LORA, NOT_TRANSFORMERS, NO_TRAINING, BY_EPOCH),
    ),
    Fault(
        "DRP003",
        "no dropout on 400 examples",
        (Write("adapter.dropout", 0.0), Write("schedule.epochs", 6)),
        inputs={"dataset_size": 400},
        needs=(NO_LORA, MAX_STEPS, EVALUATES, TRAINED, PREFERENCE),
    ),
    Fault(
        "RNK003",
        "rank 512 on 20 examples",
        (Write("adapter.r", 512), Write("adapter.alpha", 512)),
        inputs={"dataset_size": 20},
        needs=(NO_LORA, UNKNOWN_MODEL, NOT_SUPERVISED, TRAINED),
    ),
]
