"""Values of the Plan that a format spells with keys of its own, as operations on dotted keys."""

from __future__ import annotations

from typing import Any, NamedTuple

from loraplan.fixing import switches
from loraplan.formats.reading import Reading


class Write(NamedTuple):
    """Give a dotted key a value."""

    key: str
    value: Any


class Drop(NamedTuple):
    """Remove a dotted key where it is written."""

    key: str


Operation = Write | Drop

_ALL_LINEAR: dict[str, tuple[tuple[Operation, ...], ...]] = {
    "axolotl": ((Drop("lora_target_modules"), Write("lora_target_linear", True)),),
    "llamafactory": ((Write("lora_target", "all"),), (Write("peft_config.target_modules", "all"),)),
    "trl": ((Write("lora_target_modules", "all-linear"),),),
    "ms-swift": ((Write("target_modules", "all-linear"),), (Write("lora_target_modules", "ALL"),)),
    "nemo-automodel": ((Drop("peft.target_modules"), Write("peft.match_all_linear", True)),),
    "mlx-lm": ((Drop("lora_parameters.keys"),),),
    "qlora-pipe": ((Drop("target_modules"),),),
}
_LISTS_ONLY = frozenset(("oumi", "ludwig", "unsloth", "open-instruct", "h2o-llmstudio", "xtuner", "openrlhf"))
"""Formats for which no value is known that their own parser surely takes for all linear layers."""
_CLASSES = frozenset(("torchtune", "nemo-automodel", "litgpt"))
"""Formats that name the optimizer's class, whose arguments differ from one to the next."""
_UNSLOTH_LACKS = frozenset(("optimizer.name", "schedule.name", "schedule.warmup_ratio"))
"""Fields for which unsloth_cli/config.py@2026.10.9 has no key; it refuses those that it does not know."""


def translations(reading: Reading, field: str, value: Any) -> tuple[tuple[Operation, ...], ...] | str | None:
    """Ways to write a field's value, or why there is none; None where the field's own key takes the value.

    A way without operations leaves the field to another of the fix, whose key says both.
    """
    name = reading.format
    if field == "adapter.target_modules":
        if name == "mistral-finetune":
            return f"{name} adapts every linear layer"
        if name in switches.FORMATS:
            found = switches.switches(reading, value)
            return found if isinstance(found, str) else (tuple(Write(key, to) for key, to in found.items()),)
        if value == "all-linear":
            if name in _LISTS_ONLY:
                return f"{name} takes module names only"
            return _ALL_LINEAR.get(name)
        if name == "axolotl" and isinstance(value, tuple):
            return ((Drop("lora_target_linear"), Write("lora_target_modules", value)),)
        if name == "unsloth" and isinstance(value, tuple):  # unsloth_cli/config.py@2026.10.9: one string
            return ((Write("lora.target_modules", ",".join(value)),),)
    if name in _CLASSES and field == "optimizer.name":
        return f"the optimizer is a class in {name}"
    if name == "unsloth" and field in _UNSLOTH_LACKS and reading.document.syntax != "python":
        return "unsloth's config has no key for it"
    if name == "llamafactory" and field == "precision.gradient_checkpointing" and isinstance(value, bool):
        return ((Write("disable_gradient_checkpointing", not value),),)
    if name == "axolotl" and field == "precision.bf16":
        return ((Write("bf16", value),),)
    if name == "autotrain" and field in ("precision.bf16", "precision.fp16"):
        return ((Write("params.mixed_precision", "bf16" if (field == "precision.bf16") == value else "fp16"),),)
    if name == "torchtune" and field in ("precision.bf16", "precision.fp16"):
        kind = "bf16" if field == "precision.bf16" else "fp16"
        return ((Write("dtype", kind),),) if value is True else ((),)
    if name == "litgpt" and field == "precision.fp16" and value is False:
        return ((),)
    if name == "oumi" and field in ("precision.bf16", "precision.fp16"):
        if value is True and reading.plan.model.dtype != "float32":  # configs/training_config.py@0.9 raises
            return "oumi takes mixed precision only of a model that is loaded in fp32"
        kind = "BF16" if field == "precision.bf16" else "FP16"
        return ((Write("training.mixed_precision_dtype", kind),),) if value is True else ((),)
    if name == "torchtune" and field == "model.dtype":
        kinds = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}
        return ((Write("dtype", kinds[value]),),) if value in kinds else f"torchtune has no dtype {value}"
    if name == "litgpt" and field in ("precision.bf16", "model.dtype"):
        written = reading.root.get("precision") if hasattr(reading.root, "get") else None
        old = getattr(written, "text", "")
        if value is True or value == "bfloat16":
            return ((Write("precision", "bf16-mixed" if old.endswith("mixed") else "bf16-true"),),)
        return "litgpt sets both with its precision"
    return None
