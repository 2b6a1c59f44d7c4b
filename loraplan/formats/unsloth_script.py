"""Scripts on Unsloth: `FastLanguageModel.from_pretrained`, `.get_peft_model` and the trainer's arguments."""

from __future__ import annotations

from collections.abc import Iterable

from loraplan.document import Document, Mapping, Node
from loraplan.formats import python_calls, training_arguments
from loraplan.formats.components import forget_defaults
from loraplan.formats.python_calls import ARGUMENTS, TRAINERS, last_name
from loraplan.formats.reading import Reading
from loraplan.formats.table import Draft, Versions
from loraplan.formats.values import to_bool

SIGNATURE = "`FastLanguageModel.from_pretrained` (or `FastModel`, `FastVisionModel`)"

_CLASSES = frozenset(("FastLanguageModel", "FastModel", "FastVisionModel", "FastTextModel", "FastLlamaModel"))
_SEVEN = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
_LOADER = "unsloth/models/loader.py@2026.10.9"
_PEFT = "unsloth/models/llama.py@2026.10.9: get_peft_model"
_PARAMETERS = ("model", "r", "target_modules", "lora_alpha", "lora_dropout", "bias")


def detect(root: Node, document: Document) -> str | None:
    """A call of one of Unsloth's classes that loads a model or gives it an adapter."""
    if not isinstance(root, Mapping) or "Fast" not in document.text:
        return None
    call = next(filter(_ours, python_calls.calls(root)), None)
    return f"{call.call}(...)" if call is not None else None


def _ours(call: Mapping) -> bool:
    owner, _, name = (call.call or "").rpartition(".")
    return name in ("from_pretrained", "get_peft_model") and owner.rpartition(".")[2] in _CLASSES


def read(root: Node, document: Document, signature: str, versions: Versions) -> Iterable[Reading]:
    """One run: the first adapter that the script makes, with the arguments of the first trainer."""
    assert isinstance(root, Mapping)
    found = list(python_calls.calls(root))
    ours = [call for call in found if _ours(call)]
    load = next((call for call in ours if last_name(call) == "from_pretrained"), None)
    peft = next((call for call in ours if last_name(call) == "get_peft_model"), None)
    arguments = next((call for call in found if last_name(call) in ARGUMENTS), None)
    trainer = next((call for call in found if last_name(call) in TRAINERS), None)
    sections = {
        "from_pretrained": load,
        "get_peft_model": python_calls.unpositional(peft, _PARAMETERS),
        "args": python_calls.unpositional(arguments, ("output_dir",)),
        "trainer": trainer,
    }
    of_trl = arguments is not None and ARGUMENTS[last_name(arguments)] is not None
    scope = python_calls.scope(sections, root)
    table = "unsloth_trl" if of_trl else "unsloth_script"
    draft = Draft("unsloth", table, root, document, signature, versions, scope=scope)
    draft.switch = "FastLanguageModel.get_peft_model(...)"
    draft.fill()
    python_calls.method(draft, arguments, trainer)
    python_calls.datasets(draft, found)
    _adapter(draft, load, peft)
    _quantization(draft, load)
    _checkpointing(draft)
    training_arguments.settle(draft)
    training_arguments.parallel(draft, "args.deepspeed", "args.fsdp", "args.fsdp_config")
    draft.fill_defaults()
    if draft.values.get("schedule.warmup_steps") == 0.1:
        training_arguments.settle(draft)  # Unsloth's own default is a ratio
    if peft is None:
        forget_defaults(draft, "adapter")
    if arguments is None:
        forget_defaults(draft, "optimizer", "schedule", "batch", "distributed", "run")
    draft.check_keys(near_only=True)
    yield draft.finish()


def _adapter(draft: Draft, load: Mapping | None, peft: Mapping | None) -> None:
    full = to_bool(draft.raw("from_pretrained.full_finetuning"))
    if full:
        draft.set("adapter.method", "none", "from_pretrained.full_finetuning")
    elif peft is not None:
        draft.set("adapter.method", "lora", "get_peft_model")
        owner = (peft.call or "").split(".")[-2] if "." in (peft.call or "") else ""
        if owner in ("FastLanguageModel", "FastLlamaModel"):
            draft.default("adapter.target_modules", _SEVEN, _PEFT, "get_peft_model.target_modules")


def _quantization(draft: Draft, load: Mapping | None) -> None:
    """4-bit unless another width is asked for; NF4 with double quantization."""
    if load is None:
        return
    full = bool(to_bool(draft.raw("from_pretrained.full_finetuning")))
    wide = [name for name in ("load_in_8bit", "load_in_16bit") if to_bool(draft.raw(f"from_pretrained.{name}"))]
    written = "quantization.load_in_4bit" in draft.values or "quantization.load_in_4bit" in draft.unreadable
    if (full or wide) and not written:
        draft.derive("quantization.load_in_4bit", False, (), f"{wide[0] if wide else 'full_finetuning'} is true")
    draft.default("quantization.load_in_4bit", True, _LOADER, "from_pretrained.load_in_4bit")
    training_arguments.quantized(draft, "load_in_4bit", "load_in_8bit")
    if draft.values.get("quantization.bits") == 4:
        source = "unsloth/models/llama.py@2026.10.9: from_pretrained"
        draft.default("quantization.quant_type", "nf4", source)
        draft.default("quantization.double_quant", True, source)
        kind = draft.values.get("model.dtype")
        draft.derive("quantization.compute_dtype", kind, ("model.dtype",), "Unsloth computes in the model's dtype")
    elif "quantization.bits" not in draft.values and draft.values.get("quantization.load_in_4bit") is False:
        draft.derive("quantization.bits", 16, ("quantization.load_in_4bit",), "neither 4 nor 8 bits")


def _checkpointing(draft: Draft) -> None:
    """`use_gradient_checkpointing` of get_peft_model: "unsloth" (its default), a boolean."""
    key = "get_peft_model.use_gradient_checkpointing"
    if not draft.has("get_peft_model"):
        return
    if not draft.has(key):
        draft.default("precision.gradient_checkpointing", True, _PEFT, key)
        draft.default("precision.checkpointing_kind", "unsloth", _PEFT, key)
        return
    value = draft.raw(key)
    if value == "unsloth":
        draft.set("precision.gradient_checkpointing", True, key)
        draft.set("precision.checkpointing_kind", "unsloth", key)
    elif (flag := to_bool(value)) is not None:
        draft.set("precision.gradient_checkpointing", flag, key)
