"""Ludwig configs: `model_type: llm` with an `adapter`, or a text encoder with one."""

from __future__ import annotations

from collections.abc import Iterable

from loraplan.document import Document, KeyPath, Mapping, Node, Scalar, Sequence, find
from loraplan.formats.components import forget_defaults, forgive, optimizer_name, set_at
from loraplan.formats.reading import Reading
from loraplan.formats.table import Draft, Versions
from loraplan.formats.values import Unresolved, scalar_value, to_float

SIGNATURE = "`input_features` and `output_features`, with `model_type: llm` and `base_model` or an encoder's adapter"

_PEFT = "ludwig/schema/llms/peft.py@0.11.0"
_TRAINER = "ludwig/schema/trainer.py@0.11.0"
_METHODS = {"finetune": "sft", "dpo": "dpo", "orpo": "orpo", "kto": "kto", "grpo": "grpo"}


def detect(root: Node, document: Document) -> str | None:
    """The signature found, or None."""
    if not isinstance(root, Mapping):
        return None
    kind = root.get("model_type")
    if isinstance(kind, Scalar) and kind.text == "llm" and "base_model" in root:
        return "model_type: llm"
    if isinstance(root.get("input_features"), Sequence) and isinstance(root.get("output_features"), Sequence):
        return "input_features + output_features"
    return None


def read(root: Node, document: Document, signature: str, versions: Versions) -> Iterable[Reading]:
    """The one run that the file describes."""
    draft = Draft("ludwig", "ludwig", root, document, signature, versions)
    draft.fill()
    forgive(draft, "auto")
    lora = _adapter(draft) if draft.has("base_model") else _encoder(draft)
    quantized = isinstance(draft.node("quantization"), Mapping)
    _trainer(draft)
    _data(draft)
    if draft.has("base_model"):  # the table's defaults are those of the LLM trainer
        draft.fill_defaults()
    if not lora:
        forget_defaults(draft, "adapter")
    if not quantized:
        forget_defaults(draft, "quantization")
        draft.derive("quantization.bits", 16, (), "no quantization section")
    else:
        draft.derive("quantization.method", "bnb", ("quantization.bits",), "ludwig quantizes with bitsandbytes")
        if draft.values.get("quantization.bits") == 8:
            for field in ("quant_type", "double_quant", "compute_dtype"):
                draft.drop(f"quantization.{field}")
    draft.check_keys(near_only=True)
    yield draft.finish()


def _adapter(draft: Draft) -> bool:
    """Whether the adapter is LoRA. `adapter: lora` is short for `adapter: {type: lora}`."""
    node = draft.node("adapter")
    key = "adapter.type" if isinstance(node, Mapping) else "adapter"
    kind = draft.raw(key)
    if not isinstance(kind, str) or isinstance(kind, Unresolved):
        draft.derive("adapter.method", "none", (), "no adapter section")
        draft.switch = "adapter: {type: lora}"
        return False
    draft.set("adapter.method", kind.lower(), key)
    if kind.lower() != "lora":
        return False
    rank = draft.values.get("adapter.r", 8)
    if isinstance(rank, int | float):
        draft.default("adapter.alpha", 2 * rank, _PEFT, "adapter.alpha")
    return True


def _encoder(draft: Draft) -> bool:
    """Without an LLM, the model and its adapter stand in the first input feature's encoder that has one."""
    features = draft.node("input_features")
    for index in range(len(features.items) if isinstance(features, Sequence) else 0):
        here: KeyPath = ("input_features", index, "encoder")
        name = find(draft.scope, (*here, "pretrained_model_name_or_path"))
        adapter = find(draft.scope, (*here, "adapter"))
        kind = find(draft.scope, (*here, "adapter", "type")) if isinstance(adapter, Mapping) else adapter
        if not isinstance(name, Scalar):
            continue
        set_at(draft, "model.name", _text(name), (*here, "pretrained_model_name_or_path"))
        if isinstance(kind, Scalar) and (text := _text(kind)):
            path = (*here, "adapter", "type") if isinstance(adapter, Mapping) else (*here, "adapter")
            set_at(draft, "adapter.method", text.lower(), path)
            return text.lower() == "lora" and _encoder_lora(draft, here)
    if "adapter.method" not in draft.values:
        draft.derive("adapter.method", "none", (), "no encoder has an adapter")
    return False


def _encoder_lora(draft: Draft, encoder: KeyPath) -> bool:
    """The size of the adapter, which the table looks for at the top only."""
    for field, leaf in (("adapter.r", "r"), ("adapter.alpha", "alpha"), ("adapter.dropout", "dropout")):
        node = find(draft.scope, (*encoder, "adapter", leaf))
        if isinstance(node, Scalar):
            set_at(draft, field, to_float(scalar_value(node, "yaml-1.1")), (*encoder, "adapter", leaf))
    draft.default("adapter.r", 8, _PEFT)
    draft.default("adapter.alpha", 2 * draft.values["adapter.r"], _PEFT)
    draft.default("adapter.dropout", 0.05, _PEFT)
    return True


def _text(node: Scalar) -> str | None:
    value = scalar_value(node, "yaml-1.1")
    return value if isinstance(value, str) and not isinstance(value, Unresolved) else None


def _trainer(draft: Draft) -> None:
    kind = draft.raw("trainer.type")
    if isinstance(kind, str):
        draft.set("method", _METHODS.get(kind.lower()), "trainer.type")
    name = draft.raw("trainer.optimizer.type")
    if isinstance(name, str):
        draft.set("optimizer.name", optimizer_name(name), "trainer.optimizer.type")
    if draft.values.get("schedule.name") is None and draft.values.get("schedule.warmup_ratio"):
        draft.default("schedule.name", "constant_with_warmup", "ludwig/schema/lr_scheduler.py@0.11.0")
    if kind == "finetune":
        draft.default("optimizer.learning_rate", 0.001, _TRAINER, "trainer.learning_rate")
        draft.default("schedule.epochs", 100, _TRAINER, "trainer.epochs")
        draft.default("precision.gradient_checkpointing", False, _TRAINER, "trainer.enable_gradient_checkpointing")


def _data(draft: Draft) -> None:
    length = draft.values.get("data.max_length")
    if isinstance(length, int) and length <= 0:
        draft.drop("data.max_length")
    if draft.raw("backend.type") == "deepspeed":
        stage = draft.raw("backend.zero_optimization.stage")
        strategy = f"zero{stage}" if stage in (1, 2, 3) else "deepspeed"
        key = "backend.zero_optimization.stage" if stage in (1, 2, 3) else "backend.type"
        draft.set("distributed.strategy", strategy, key)
        draft.set("distributed.deepspeed", strategy, key)
