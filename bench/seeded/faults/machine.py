"""Faults of precision, quantization, and what the run does with the outside."""

from __future__ import annotations

from seeded.fault import Fault, Write, write
from seeded.needs import (
    NO_LORA,
    NO_TRAINING,
    NOT_BF16,
    NOT_BFLOAT16_MODEL,
    NOT_FOUR_BITS,
    formats,
    other_formats,
    where,
)

CHECKPOINT_DTYPE = formats(
    "the base keeps its checkpoint's dtype, so that the run may be in 16 bits",
    "trl", "autotrain", "chatglm", "llm-toolkit", "hf-args", "open-instruct",
)  # fmt: skip
OFFLOADS = other_formats("the framework offloads without checkpointing", "axolotl", "torchtune")
NOT_BNB = where("bitsandbytes does not quantize it", lambda plan: plan.quantization.method not in (None, "bnb"))

FAULTS = [
    Fault("PRC001", "fp16 and bf16", (Write("precision.fp16", True), Write("precision.bf16", True)), needs=(NO_LORA,)),
    Fault("PRC002", "bf16 on a T4", write("precision.bf16", True), inputs={"gpu": "t4"}, needs=(NO_LORA,)),
    Fault(
        "PRC004",
        "no mixed precision",
        (Write("precision.bf16", False), Write("precision.fp16", False)),
        needs=(
            NO_LORA,
            CHECKPOINT_DTYPE,
            NO_TRAINING,
        ),
    ),
    Fault(
        "PRC005",
        "fp16 for a bf16 model",
        (Write("precision.bf16", False), Write("precision.fp16", True)),
        inputs={"gpu": "a100"},
        needs=(
            NO_LORA,
            NOT_BFLOAT16_MODEL,
        ),
    ),
    Fault(
        "PRC007",
        "offloading alone",
        (Write("precision.activation_offloading", True), Write("precision.gradient_checkpointing", False)),
        needs=(
            NO_LORA,
            OFFLOADS,
        ),
    ),
    Fault("QNT001", "fp4", write("quantization.quant_type", "fp4"), needs=(NO_LORA, NOT_FOUR_BITS)),
    Fault("QNT002", "float32 compute", write("quantization.compute_dtype", "float32"), needs=(NO_LORA, NOT_FOUR_BITS)),
    Fault(
        "QNT003",
        "another compute dtype",
        write("quantization.compute_dtype", "float16"),
        needs=(
            NO_LORA,
            NOT_FOUR_BITS,
            NOT_BF16,
            NOT_BNB,
        ),
    ),
    Fault(
        "QNT005",
        "4 and 8 bits",
        (Write("quantization.load_in_4bit", True), Write("quantization.load_in_8bit", True)),
        needs=(NO_LORA,),
    ),
    Fault(
        "QNT006", "4 bits and no adapter", (Write("quantization.load_in_4bit", True), Write("adapter.method", "none"))
    ),
    Fault("SEC001", "remote code", write("model.trust_remote_code", True), needs=(NO_LORA,)),
    Fault("SEC003", "published", write("run.push_to_hub", True), needs=(NO_LORA,)),
    Fault(
        "EVL002",
        "the best of no evaluation",
        (Write("run.load_best_model_at_end", True), Write("run.eval_strategy", "no")),
        needs=(NO_LORA,),
    ),
]
