"""autotrain LLM configs: settings in `params`, LoRA and the quantization default only with `params.peft`."""

from __future__ import annotations

from collections.abc import Iterable

from loraplan.document import Document, Mapping, Node, Scalar
from loraplan.formats.components import forget_defaults
from loraplan.formats.reading import Reading
from loraplan.formats.table import Draft, Versions
from loraplan.formats.values import Unresolved, to_bool

SIGNATURE = "`task: llm-...` with `base_model` and `params`"

_PARAMS = "autotrain/trainers/clm/params.py@0.8.36"
_UTILS = "autotrain/trainers/clm/utils.py@0.8.36"
_METHODS = {"sft": "sft", "orpo": "orpo", "dpo": "dpo", "reward": "reward"}
_BITS = {"int4": 4, "int8": 8}
_BLOCK_SIZE = 1024


def detect(root: Node, document: Document) -> str | None:
    """The signature found, or None."""
    task = root.get("task") if isinstance(root, Mapping) else None
    if not isinstance(root, Mapping) or not isinstance(task, Scalar) or "base_model" not in root:
        return None
    return "task: llm + base_model" if task.text.startswith("llm") or task.text == "lm_training" else None


def read(root: Node, document: Document, signature: str, versions: Versions) -> Iterable[Reading]:
    """The one run that the file describes."""
    draft = Draft("autotrain", "autotrain", root, document, signature, versions)
    draft.fill()
    draft.switch = "params.peft: true"
    peft = to_bool(draft.raw("params.peft")) is True
    if draft.has("params.peft"):
        draft.set("adapter.method", "lora" if peft else "none", "params.peft")
    else:
        draft.default("adapter.method", "none", _PARAMS, "params.peft")
    if peft:
        _targets(draft)
        draft.derive("adapter.bias", "none", (), "autotrain passes bias='none'")
    _quantization(draft, peft)
    _training(draft)
    _data(draft)
    draft.fill_defaults()
    if not peft:
        forget_defaults(draft, "adapter")
    draft.check_keys()
    yield draft.finish()


def _targets(draft: Draft) -> None:
    """A comma-separated string, or `all-linear`; null or empty leaves PEFT's table for a few named models."""
    if not draft.has("params.target_modules"):
        draft.default("adapter.target_modules", "all-linear", _PARAMS, "params.target_modules")
        return
    value = draft.raw("params.target_modules")
    if isinstance(value, str) and value.strip() and not isinstance(value, Unresolved):
        text = value.strip().lower()
        names = "all-linear" if text == "all-linear" else tuple(part for part in value.split(",") if part)
        draft.set("adapter.target_modules", names, "params.target_modules")


def _quantization(draft: Draft, peft: bool) -> None:
    """`int4` is bitsandbytes nf4 without nested quantization, computing in float16: hard-coded."""
    if not peft:
        draft.derive("quantization.bits", 16, ("adapter.method",), "autotrain quantizes only with peft")
        return
    value = draft.raw("params.quantization")
    if not draft.has("params.quantization"):
        value = "int4"
        draft.default("quantization.bits", 4, _PARAMS, "params.quantization")
    elif isinstance(value, str) and value in _BITS:
        draft.set("quantization.bits", _BITS[value], "params.quantization")
    else:
        draft.set("quantization.bits", 16, "params.quantization")
        return
    draft.derive("quantization.method", "bnb", ("quantization.bits",), "autotrain quantizes with bitsandbytes")
    if value == "int4":
        how = "hard-coded in autotrain"
        draft.derive("quantization.quant_type", "nf4", ("quantization.bits",), how)
        draft.derive("quantization.double_quant", False, ("quantization.bits",), how)
        draft.derive("quantization.compute_dtype", "float16", ("quantization.bits",), how)


def _training(draft: Draft) -> None:
    trainer = draft.raw("params.trainer") or str(draft.raw("task")).partition("-")[2]
    key = "params.trainer" if draft.has("params.trainer") else "task"
    if isinstance(trainer, str):
        draft.set("method", _METHODS.get(trainer), key)
    mixed = draft.raw("params.mixed_precision")
    for field, name in (("precision.bf16", "bf16"), ("precision.fp16", "fp16")):
        if draft.has("params.mixed_precision"):
            draft.set(field, mixed == name, "params.mixed_precision")
        else:
            draft.default(field, False, _PARAMS, "params.mixed_precision")
    if (off := to_bool(draft.raw("params.disable_gradient_checkpointing"))) is not None:
        draft.set("precision.gradient_checkpointing", not off, "params.disable_gradient_checkpointing")
    else:
        draft.default("precision.gradient_checkpointing", True, _PARAMS, "params.disable_gradient_checkpointing")
    if to_bool(draft.raw("params.use_flash_attention_2")) is True:
        draft.set("model.attn_implementation", "flash_attention_2", "params.use_flash_attention_2")


def _data(draft: Draft) -> None:
    path = draft.raw("data.path")
    if isinstance(path, str) and not isinstance(path, Unresolved):
        draft.set("data.datasets", (path,), "data.path")
    length = draft.values.get("data.max_length")
    if isinstance(length, int) and length <= 0:
        draft.drop("data.max_length")
    draft.default("data.max_length", _BLOCK_SIZE, _UTILS, "params.block_size")
    if draft.values.get("method") == "sft":
        draft.derive("data.packing", True, ("method",), "autotrain's sft trainer always packs")
    valid = draft.raw("data.valid_split")
    strategy = draft.raw("params.eval_strategy")
    if valid is None:
        draft.derive("run.eval_strategy", "no", (), "no data.valid_split")
    elif isinstance(strategy, str):
        draft.set("run.eval_strategy", strategy, "params.eval_strategy")
    else:
        draft.default("run.eval_strategy", "epoch", _PARAMS, "params.eval_strategy")
    if draft.values.get("run.push_to_hub"):
        draft.derive("run.hub_private_repo", True, (), "autotrain creates a private repository")
