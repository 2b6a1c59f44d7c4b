"""Fields of the model and of its quantization."""

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
    quantized_bits,
)
from loraplan_trainer.situation import Situation

_ON_CARDS = ("flash_attention_2", "flash_attention_3", "flex_attention")


def attention(plan: Plan, situation: Situation) -> str | None:
    """The kernel that computes what the Plan's does and runs here; None is transformers' own choice."""
    value = plan.model.attn_implementation
    if value == "xformers" or (value in _ON_CARDS and situation.device == "cpu"):
        return "sdpa"
    return value


def _attention(value: Any, _plan: Plan, situation: Situation) -> Outcome:
    known = ("eager", "sdpa", *_ON_CARDS)
    if value in _ON_CARDS and situation.device == "cpu":
        return NoEffect("its kernels train on a card only; `sdpa` computes the same and is used instead")
    if value in known:
        return Honoured("from_pretrained(attn_implementation=)")
    if value == "xformers":
        return NoEffect("transformers has no xformers attention; `sdpa` computes the same and is used instead")
    return Refused(f"{value!r} would be fetched from a hub and run as code; use one of {', '.join(known)}")


def _dtype(value: Any, _plan: Plan, _situation: Situation) -> Outcome:
    if value in ("float32", "bfloat16", "float16", "auto"):
        return Honoured("from_pretrained(dtype=)")
    return Refused(f"{value!r} is no dtype that a model is trained in; use bfloat16, float16 or float32")


def causal_only(value: Any, _plan: Plan, _situation: Situation) -> Outcome:
    """Of a task: this trainer has one."""
    if str(value).lower() == "causal_lm":
        return Honoured("AutoModelForCausalLM, LoraConfig(task_type=)")
    return Refused(f"{value!r}: this trainer trains causal language models")


_NO_BITSANDBYTES = Refused("the package bitsandbytes is not installed; pip install it")


def _bits(value: Any, plan: Plan, situation: Situation) -> Outcome:
    quantization = plan.quantization
    if value in (4, 8) and "bitsandbytes" in situation.absent:
        return _NO_BITSANDBYTES
    if value not in (4, 8, 16, 32):
        return Refused(f"{value:g} bits: bitsandbytes stores 4 or 8")
    if value in (4, 8) and plan.adapter.method == "none":
        return Refused("quantized weights cannot be trained themselves; set adapter.method to lora")
    if (value == 4 and quantization.load_in_8bit) or (value == 8 and quantization.load_in_4bit):
        return Refused(f"{value:g} contradicts the load_in_4bit and load_in_8bit settings; keep one of them")
    return Honoured("BitsAndBytesConfig" if value in (4, 8) else "no quantization")


def _quantized(text: str, bits: int | None = None) -> Judge:
    """Of a setting that only a quantized model has."""

    def judge(_value: Any, plan: Plan, _situation: Situation) -> Outcome:
        actual = quantized_bits(plan)
        if actual is None:
            return NoEffect("the model is not quantized")
        if bits is not None and actual != bits:
            return NoEffect(f"only {bits}-bit weights have it")
        return Honoured(f"BitsAndBytesConfig({text})")

    return judge


def _quantization_method(value: Any, plan: Plan, _situation: Situation) -> Outcome:
    if quantized_bits(plan) is None and value in ("bnb", "bitsandbytes", "none"):
        return NoEffect("the model is not quantized")
    if value in ("bnb", "bitsandbytes"):
        return Honoured("BitsAndBytesConfig")
    return Refused(f"{value!r}: this trainer quantizes with bitsandbytes only; set quantization.method to bnb")


def _load_in(bits: int) -> Judge:
    def judge(value: Any, plan: Plan, situation: Situation) -> Outcome:
        if value and "bitsandbytes" in situation.absent:
            return _NO_BITSANDBYTES
        if value and plan.adapter.method == "none":
            return Refused("quantized weights cannot be trained themselves; set adapter.method to lora")
        if value and plan.quantization.bits not in (None, bits):
            return Refused(f"contradicts quantization.bits {plan.quantization.bits:g}; keep one of them")
        return Honoured(f"BitsAndBytesConfig(load_in_{bits}bit=)")

    return judge


JUDGES: dict[str, Judge] = {
    "model.name": always("from_pretrained"),
    "model.revision": always("from_pretrained(revision=)"),
    "model.trust_remote_code": only_false(
        "from_pretrained(trust_remote_code=False)",
        NoEffect("code from a model's repository is never run; a model that needs it fails to load"),
    ),
    "model.dtype": _dtype,
    "model.attn_implementation": _attention,
    "model.task": causal_only,
    "model.max_position_embeddings": never("a fact about the model, not a setting"),
    "quantization.bits": _bits,
    "quantization.method": _quantization_method,
    "quantization.load_in_4bit": _load_in(4),
    "quantization.load_in_8bit": _load_in(8),
    "quantization.quant_type": lambda value, plan, situation: (
        Refused(f"{value!r} is neither nf4 nor fp4")
        if value not in ("nf4", "fp4") and quantized_bits(plan) == 4
        else _quantized("bnb_4bit_quant_type=", 4)(value, plan, situation)
    ),
    "quantization.double_quant": _quantized("bnb_4bit_use_double_quant=", 4),
    "quantization.compute_dtype": _quantized("bnb_4bit_compute_dtype=", 4),
    "quantization.quant_storage": _quantized("bnb_4bit_quant_storage=", 4),
    "quantization.llm_int8_threshold": _quantized("llm_int8_threshold=", 8),
}
