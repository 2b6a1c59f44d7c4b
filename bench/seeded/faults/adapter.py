"""Faults of rank, alpha, dropout, bias and initialisation."""

from __future__ import annotations

from seeded.fault import Fault, Take, Write, write
from seeded.needs import (
    CAPPED,
    FUSED_EXPERTS,
    NO_LORA,
    NO_TRAINING,
    NOT_FOUR_BITS,
    SHORT,
    TRAINED,
    UNKNOWN_MODEL,
    formats,
    other_formats,
)

ALPHA_FOLLOWS = formats("the framework derives alpha from the rank", "ludwig", "qlora-pipe", "llamafactory")
OWN_WORDS = other_formats("the framework has words of its own for it", "peft", "axolotl", "chatglm", "loraplan")

FAULTS = [
    Fault(
        "ALP001",
        "alpha a hundredth of the rank",
        (Write("adapter.r", 100), Write("adapter.alpha", 1)),
        needs=(NO_LORA,),
    ),
    Fault("ALP001", "alpha 64 times the rank", (Write("adapter.r", 8), Write("adapter.alpha", 512)), needs=(NO_LORA,)),
    Fault(
        "ALP002",
        "alpha taken away",
        (Write("adapter.r", 128), Take("adapter.alpha")),
        needs=(
            NO_LORA,
            ALPHA_FOLLOWS,
        ),
    ),
    Fault(
        "ALP003",
        "rsLoRA on an alpha of 8 r",
        (Write("adapter.use_rslora", True), Write("adapter.r", 64), Write("adapter.alpha", 512)),
        needs=(NO_LORA,),
    ),
    Fault("ALP004", "alpha zero", write("adapter.alpha", 0), needs=(NO_LORA,)),
    Fault("ALP004", "alpha negative", write("adapter.alpha", -16), needs=(NO_LORA,)),
    Fault("RNK001", "rank zero", write("adapter.r", 0), needs=(NO_LORA,)),
    Fault("RNK001", "rank negative", write("adapter.r", -8), needs=(NO_LORA,)),
    Fault(
        "RNK002",
        "rank beyond the matrix",
        (Write("adapter.r", 16384), Write("adapter.alpha", 16384)),
        needs=(
            NO_LORA,
            UNKNOWN_MODEL,
        ),
    ),
    Fault(
        "RNK005",
        "rank 256 on attention",
        (Write("adapter.target_modules", ("q_proj", "v_proj")), Write("adapter.r", 256), Write("adapter.alpha", 256)),
        needs=(
            NO_LORA,
            FUSED_EXPERTS,
        ),
    ),
    Fault(
        "DRP001",
        "dropout 0.1 on 200,000 examples",
        write("adapter.dropout", 0.1),
        inputs={"dataset_size": 200_000},
        needs=(
            NO_LORA,
            CAPPED,
            SHORT,
            NO_TRAINING,
            TRAINED,
        ),
    ),
    Fault("DRP002", "dropout in percent", write("adapter.dropout", 5), needs=(NO_LORA,)),
    Fault("DRP002", "dropout negative", write("adapter.dropout", -0.1), needs=(NO_LORA,)),
    Fault("DRP002", "dropout 0.9", write("adapter.dropout", 0.9), needs=(NO_LORA,)),
    Fault("BIA004", "bias of an unknown kind", write("adapter.bias", "lora"), needs=(NO_LORA,)),
    Fault("VAR004", "PiSSA on a 4-bit base", write("adapter.init", "pissa"), needs=(NO_LORA, NOT_FOUR_BITS)),
    Fault(
        "VAR008",
        "an unknown initialisation",
        write("adapter.init", "pisa"),
        needs=(
            NO_LORA,
            OWN_WORDS,
            TRAINED,
        ),
    ),
]
