"""oumi training configs: the `peft` section is read only where `training.use_peft` is true."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from loraplan.document import Document, Mapping, Node
from loraplan.formats.components import dtype_name, forget_defaults
from loraplan.formats.reading import Reading
from loraplan.formats.table import Draft, Versions
from loraplan.formats.values import Unresolved, to_bool

SIGNATURE = "`model.model_name` with `data.train.datasets`, `training.trainer_type` or `training.use_peft`"

_TRAINING = "src/oumi/core/configs/params/training_params.py@0.9"
_MODEL = "src/oumi/core/configs/params/model_params.py@0.9"
_PEFT = "src/oumi/core/configs/params/peft_params.py@0.9"
_METHODS = {
    "trl_sft": "sft", "trl_dpo": "dpo", "trl_kto": "kto", "trl_grpo": "grpo", "verl_grpo": "grpo", "trl_gkd": "gkd",
    "trl_gold": "gold",
}  # fmt: skip


def detect(root: Node, document: Document) -> str | None:
    """The signature found, or None."""
    if not isinstance(root, Mapping):
        return None
    model, training, data = root.get("model"), root.get("training"), root.get("data")
    if not isinstance(model, Mapping) or "model_name" not in model:
        return None
    if isinstance(training, Mapping) and ("trainer_type" in training or "use_peft" in training):
        return "model.model_name + training.trainer_type"
    train = data.get("train") if isinstance(data, Mapping) else None
    if isinstance(train, Mapping) and "datasets" in train:
        return "model.model_name + data.train.datasets"
    return None


def read(root: Node, document: Document, signature: str, versions: Versions) -> Iterable[Reading]:
    """The one run that the file describes."""
    draft = Draft("oumi", "oumi", root, document, signature, versions)
    draft.fill()
    draft.switch = "training.use_peft: true"
    peft = to_bool(draft.raw("training.use_peft")) is True
    if peft:
        draft.set("adapter.method", "lora", "training.use_peft")
    elif draft.has("training.use_peft"):
        draft.set("adapter.method", "none", "training.use_peft")
    else:
        draft.default("adapter.method", "none", _TRAINING, "training.use_peft")
    _adapter(draft)
    quantized = _quantization(draft, peft)
    _training(draft)
    _data(draft)
    _distributed(draft)
    draft.fill_defaults()
    if draft.values.get("quantization.bits") == 8:
        for field in ("quant_type", "double_quant", "compute_dtype", "quant_storage"):
            draft.drop(f"quantization.{field}")
    if not peft:
        forget_defaults(draft, "adapter", "quantization")
    elif not quantized:
        forget_defaults(draft, "quantization")
        draft.default("quantization.bits", 16, _PEFT, "peft.q_lora")
    draft.check_keys()
    yield draft.finish()


def _adapter(draft: Draft) -> None:
    if draft.values.get("adapter.target_modules") == ("all-linear",):
        draft.set("adapter.target_modules", "all-linear", "peft.lora_target_modules")
    patterns = draft.raw("peft.lora_exclude_modules")
    if isinstance(patterns, list) and patterns:
        # oumi joins the patterns into the one expression that PEFT fullmatches.
        joined = "|".join(f"({item})" for item in patterns if isinstance(item, str))
        draft.set("adapter.exclude_modules", joined, "peft.lora_exclude_modules")


def _quantization(draft: Draft, peft: bool) -> bool:
    """Whether the base is quantized; without `q_lora` what is written about 4 bits has no effect."""
    quantized = peft and to_bool(draft.raw("peft.q_lora")) is True
    written = draft.values.get("quantization.bits", 4)
    for field in [name for name in draft.values if name.startswith("quantization.")]:
        if not quantized:
            draft.drop(field)
    if not quantized:
        if peft and draft.has("peft.q_lora"):
            draft.set("quantization.bits", 16, "peft.q_lora")
        return False
    draft.set("quantization.bits", written, "peft.q_lora_bits" if draft.has("peft.q_lora_bits") else "peft.q_lora")
    draft.derive("quantization.method", "bnb", ("quantization.bits",), "oumi quantizes with bitsandbytes")
    for field in ("quantization.compute_dtype", "quantization.quant_storage"):
        value = draft.values.get(field)
        if value is not None:
            draft.values[field] = dtype_name(value) or value
    return True


def _training(draft: Draft) -> None:
    kind = draft.raw("training.trainer_type")
    if isinstance(kind, str) and not isinstance(kind, Unresolved):
        draft.set("method", _METHODS.get(kind.lower()), "training.trainer_type")
    if draft.has("model.torch_dtype_str"):
        draft.set("model.dtype", dtype_name(draft.raw("model.torch_dtype_str")), "model.torch_dtype_str")
    else:
        draft.default("model.dtype", "auto", _MODEL, "model.torch_dtype_str")
    mixed = draft.raw("training.mixed_precision_dtype")
    for field, name in (("precision.bf16", "bf16"), ("precision.fp16", "fp16")):
        if isinstance(mixed, str):
            draft.set(field, mixed.lower() == name, "training.mixed_precision_dtype")
        else:
            draft.default(field, False, _TRAINING, "training.mixed_precision_dtype")
    if to_bool(draft.raw("model.enable_liger_kernel")) is True:
        draft.set("precision.fused_loss", "liger", "model.enable_liger_kernel")
    if draft.has("training.max_grad_norm") and draft.raw("training.max_grad_norm") is None:
        draft.set("optimizer.max_grad_norm", 0.0, "training.max_grad_norm")  # null is no clipping
    steps = draft.values.get("schedule.max_steps")
    if isinstance(steps, int) and steps <= 0:
        draft.drop("schedule.max_steps")
    if "schedule.warmup_ratio" not in draft.values:
        draft.default("schedule.warmup_steps", 0, _TRAINING, "training.warmup_steps")


def _data(draft: Draft) -> None:
    for field, key in (("data.datasets", "data.train.datasets"), ("data.eval_datasets", "data.validation.datasets")):
        sections = draft.raw(key)
        if isinstance(sections, list):
            names = tuple(name for section in sections if (name := _dataset(section)))
            draft.set(field, names or None, key)
    sections = draft.raw("data.train.datasets")
    if isinstance(sections, list) and sections:
        counts = [section.get("sample_count") if isinstance(section, dict) else None for section in sections]
        if all(isinstance(count, int) and not isinstance(count, bool) and count > 0 for count in counts):
            draft.set("data.max_samples", sum(counts), "data.train.datasets")


def _dataset(section: Any) -> str | None:
    if not isinstance(section, dict):
        return None
    path, name = section.get("dataset_path"), section.get("dataset_name")
    value = path if isinstance(path, str) and path else name
    return value if isinstance(value, str) and not isinstance(value, Unresolved) else None


def _distributed(draft: Draft) -> None:
    if to_bool(draft.raw("fsdp.enable_fsdp")) is True:
        draft.set("distributed.strategy", "fsdp", "fsdp.enable_fsdp")
        draft.set("distributed.fsdp", str(draft.raw("fsdp.sharding_strategy") or "FULL_SHARD"), "fsdp.enable_fsdp")
    else:
        draft.drop("distributed.offload")
    if to_bool(draft.raw("deepspeed.enable_deepspeed")) is True:
        stage = str(draft.raw("deepspeed.zero_stage") or "").rpartition("_")[2]
        strategy = f"zero{stage}" if stage in ("1", "2", "3") else "deepspeed"
        if "distributed.strategy" not in draft.values:
            draft.set("distributed.strategy", strategy, "deepspeed.enable_deepspeed")
        draft.set("distributed.deepspeed", strategy, "deepspeed.enable_deepspeed")
