"""Faults of target modules and saved modules."""

from __future__ import annotations

from seeded.fault import Fault, write
from seeded.needs import FUSED_EXPERTS, NO_LORA, NO_STRING, PATHS, UNKNOWN_MODEL

FAULTS = [
    Fault(
        "TGT001",
        "GPT-2's names",
        write("adapter.target_modules", ("c_attn", "c_fc")),
        needs=(
            NO_LORA,
            UNKNOWN_MODEL,
        ),
    ),
    Fault(
        "TGT002",
        "one name misspelt",
        write("adapter.target_modules", ("q_proj", "v_projj", "o_proj")),
        needs=(
            NO_LORA,
            UNKNOWN_MODEL,
            PATHS,
        ),
    ),
    Fault(
        "TGT004",
        "attention alone",
        write("adapter.target_modules", ("q_proj", "k_proj", "v_proj", "o_proj")),
        also=("adapter.r",),
        needs=(
            NO_LORA,
            FUSED_EXPERTS,
        ),
    ),
    Fault("TGT005", "query and key alone", write("adapter.target_modules", ("q_proj", "k_proj")), needs=(NO_LORA,)),
    Fault(
        "TGT006",
        "a norm as target",
        write("adapter.target_modules", ("q_proj", "v_proj", "input_layernorm")),
        needs=(
            NO_LORA,
            UNKNOWN_MODEL,
            PATHS,
        ),
    ),
    Fault(
        "TGT007",
        "a saved module misspelt",
        write("adapter.modules_to_save", ("lm_haed",)),
        needs=(
            NO_LORA,
            UNKNOWN_MODEL,
        ),
    ),
    Fault(
        "TGT017",
        "a broken expression",
        write("adapter.target_modules", ".*(q_proj"),
        needs=(
            NO_LORA,
            NO_STRING,
        ),
    ),
    Fault(
        "ARC001",
        "a fused name",
        write("adapter.target_modules", ("qkv_proj", "o_proj")),
        needs=(
            NO_LORA,
            UNKNOWN_MODEL,
            PATHS,
        ),
    ),
]
