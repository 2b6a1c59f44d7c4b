"""What transformers' TrainingArguments mean beyond a key's value; shared by every format built on them."""

from __future__ import annotations

import re
from typing import Any

from loraplan.document import Mapping
from loraplan.formats.table import Draft, version_in
from loraplan.formats.values import to_bool

_ZERO = r"(?i)(?:zero|stage|ds_z|deepspeed_z|dz|_z|-z|^z)[-_ ]?(?:stage)?[-_]?([0-3])(?![0-9])"


def settle(draft: Draft, *, ratio_steps: bool = True) -> None:
    """Fields that follow from several keys: unlimited steps, a warm-up ratio in `warmup_steps`, the parallel strategy.

    `ratio_steps`: a `warmup_steps` below 1 is a ratio (transformers 5.0 training_args.py `get_warmup_steps`).
    """
    steps = draft.values.get("schedule.max_steps")
    if steps is not None and not steps > 0:
        draft.drop("schedule.max_steps")
    warmup = draft.values.get("schedule.warmup_steps")
    if (
        ratio_steps
        and warmup is not None
        and 0 < warmup < 1
        and version_in(draft.versions.get("transformers"), ">=5.0")
    ):
        draft.values["schedule.warmup_ratio"] = warmup
        draft.origins["schedule.warmup_ratio"] = draft.origins["schedule.warmup_steps"]
        draft.drop("schedule.warmup_steps")
        draft.facts["warmup_steps_as_ratio"] = True
    if draft.document.syntax == "shell":
        from loraplan.formats import shell_commands

        shell_commands.launch(draft)
    parallel(draft)


def parallel(draft: Draft, deepspeed: str = "deepspeed", fsdp: str = "fsdp", fsdp_config: str = "fsdp_config") -> None:
    """`distributed.*` from the keys that name a DeepSpeed config or FSDP; null and empty values turn neither on."""
    value = draft.raw(deepspeed)
    stage = zero_stage(value)
    if stage is not None:
        draft.set("distributed.deepspeed", value if isinstance(value, str) else "inline", deepspeed)
        draft.derive("distributed.strategy", stage, ("distributed.deepspeed",), "the DeepSpeed config's stage")
        if "offload" in str(value).lower():
            draft.derive("distributed.offload", True, ("distributed.deepspeed",), "the DeepSpeed config's name")
    sharded = draft.raw(fsdp)
    config = draft.raw(fsdp_config)
    if sharded not in (None, False, "", [], "false", "False") or (isinstance(config, dict) and config):
        key = fsdp if sharded not in (None, False, "", []) else fsdp_config
        text = " ".join(map(str, sharded)) if isinstance(sharded, list) else str(sharded) if sharded else "config"
        draft.set("distributed.fsdp", text, key)
        second = isinstance(config, dict) and str(config.get("fsdp_version", config.get("version"))) == "2"
        if "distributed.strategy" not in draft.values:
            strategy = "fsdp2" if second else "fsdp"
            draft.derive("distributed.strategy", strategy, ("distributed.fsdp",), "FSDP is configured")
        offload = isinstance(config, dict) and (config.get("offload_params") or config.get("fsdp_offload_params"))
        for name in ("activation_checkpointing", "fsdp_activation_checkpointing"):
            if isinstance(config, dict) and to_bool(config.get(name)):
                draft.set("precision.gradient_checkpointing", True, f"{fsdp_config}.{name}")
        if "offload" in text or offload is True:
            draft.derive("distributed.offload", True, ("distributed.fsdp",), "FSDP offloads parameters")


def zero_stage(value: Any) -> str | None:
    """`zero1`, `zero2`, `zero3`, or `deepspeed` where the stage is not told; None where DeepSpeed is off.

    The stage comes from an inline config's `zero_optimization.stage`, or from the file's name (`ds_z3_config.json`).
    """
    if isinstance(value, dict):
        zero = value.get("zero_optimization")
        stage = zero.get("stage") if isinstance(zero, dict) else None
        return f"zero{stage}" if stage in (1, 2, 3) else "deepspeed" if value else None
    if not isinstance(value, str) or value.lower() in ("", "none", "null", "false"):
        return None
    match = re.search(_ZERO, value.replace("\\", "/").rpartition("/")[2])
    return f"zero{match[1]}" if match and match[1] != "0" else "deepspeed"


def quantized(draft: Draft, four: str = "load_in_4bit", eight: str = "load_in_8bit") -> None:
    """`quantization.bits` and the bitsandbytes method from the two switches."""
    source, method = ("quantization.load_in_4bit", "quantization.load_in_8bit"), "bitsandbytes switches"
    if draft.values.get("quantization.load_in_4bit"):
        draft.derive("quantization.bits", 4, source[:1], f"{four} is true")
    elif draft.values.get("quantization.load_in_8bit"):
        draft.derive("quantization.bits", 8, source[1:], f"{eight} is true")
    else:
        return
    if "quantization.method" not in draft.values:
        draft.derive("quantization.method", "bnb", source, method)


def compute_dtype(draft: Draft) -> str:
    """The mixed-precision dtype that the switches ask for."""
    if draft.values.get("precision.bf16"):
        return "bfloat16"
    return "float16" if draft.values.get("precision.fp16") else "float32"


def mapping(root: Any) -> Mapping | None:
    """The node, if it is a mapping that is not empty."""
    return root if isinstance(root, Mapping) and root.entries else None
