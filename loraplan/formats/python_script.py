"""Python scripts on PEFT, transformers and TRL: `LoraConfig(...)`, `SFTConfig(...)`, `BitsAndBytesConfig(...)`."""

from __future__ import annotations

from collections.abc import Iterable

from loraplan.document import Document, Mapping, Node, Scalar
from loraplan.formats import python_calls, training_arguments
from loraplan.formats.components import forget_defaults
from loraplan.formats.peft import adapter
from loraplan.formats.python_calls import ARGUMENTS, TRAINERS, last_name
from loraplan.formats.reading import Reading
from loraplan.formats.table import Draft, Versions
from loraplan.formats.values import to_bool

SIGNATURE = "a call of `LoraConfig`, `TrainingArguments` or one of TRL's configs (`SFTConfig`, `DPOConfig`, ...)"

_BNB = "transformers/utils/quantization_config.py@5.23.0: BitsAndBytesConfig"
_OF_TRAINING = ("optimizer", "schedule", "batch", "precision", "data", "distributed", "run")


def detect(root: Node, document: Document) -> str | None:
    """A LoraConfig with a rank, alpha or targets, or the arguments of a trainer."""
    if not isinstance(root, Mapping):
        return None
    for call in python_calls.calls(root):
        name = last_name(call)
        if (name == "LoraConfig" or name in ARGUMENTS) and call.entries:
            return f"{name}(...)"
    return None


def read(root: Node, document: Document, signature: str, versions: Versions) -> Iterable[Reading]:
    """One run for each LoraConfig; the n-th takes the n-th arguments, or the last ones where they are fewer."""
    assert isinstance(root, Mapping)
    found = list(python_calls.calls(root))
    loras = [call for call in found if last_name(call) == "LoraConfig" and call.entries]
    arguments = [call for call in found if last_name(call) in ARGUMENTS]
    for index in range(max(1, min(len(loras), 20))):
        lora = loras[index] if loras else None
        chosen = arguments[min(index, len(arguments) - 1)] if arguments else None
        yield _run(root, document, signature, versions, found, lora, chosen, named=len(loras) > 1)


def _run(
    root: Mapping,
    document: Document,
    signature: str,
    versions: Versions,
    found: list[Mapping],
    lora: Mapping | None,
    arguments: Mapping | None,
    *,
    named: bool,
) -> Reading:
    bnb = next((call for call in found if last_name(call) == "BitsAndBytesConfig"), None)
    loads = [call for call in found if python_calls.loads_model(call)]
    model = next((call for call in loads if "quantization_config" in call or "load_in_4bit" in call), None)
    model = model or (loads[0] if loads else None)
    trainer = next((call for call in found if last_name(call) in TRAINERS), None)
    kbit = next((call for call in found if last_name(call) == "prepare_model_for_kbit_training"), None)
    sections = {
        "LoraConfig": python_calls.unpositional(lora, ("task_type",)),
        "BitsAndBytesConfig": bnb,
        "from_pretrained": model,
        "args": python_calls.unpositional(arguments, ("output_dir",)),
        "trainer": trainer,
        "kbit": kbit,
    }
    of_trl = arguments is not None and ARGUMENTS[last_name(arguments)] is not None
    scope = python_calls.scope(sections, root)
    table = "python_trl" if of_trl else "python_script"
    draft = Draft("python", table, root, document, signature, versions, scope=scope)
    draft.switch = "peft_config=LoraConfig(...)"
    draft.fill()
    if named and lora is not None:
        draft.run_name = f"LoraConfig in line {document.position(lora.span.start).line}"
    python_calls.method(draft, arguments, trainer)
    python_calls.datasets(draft, found)
    _model_name(draft, trainer)
    if lora is not None:
        draft.set("adapter.method", "lora", "LoraConfig")
        adapter(draft, "LoraConfig.")
    elif "peft" not in document.text:
        draft.derive("adapter.method", "none", (), "the script does not use PEFT")
    _quantization(draft, bnb, model)
    if kbit is not None:
        _checkpointing(draft, kbit)
    for name in ("deepspeed", "fsdp", "fsdp_config"):
        if isinstance(value := draft.node(f"args.{name}"), Scalar) and value.style == "expression":
            draft.unreadable.add("distributed.strategy")
    _settle(draft)
    draft.fill_defaults()
    if lora is None:
        forget_defaults(draft, "adapter")
    if arguments is None:
        forget_defaults(draft, *_OF_TRAINING)
    if bnb is None and "quantization.bits" not in draft.values:
        forget_defaults(draft, "quantization")
    draft.check_keys(near_only=True)
    return draft.finish()


def _settle(draft: Draft) -> None:
    """`training_arguments.settle`, with the keys that stand in the arguments' call."""
    training_arguments.settle(draft)
    training_arguments.parallel(draft, "args.deepspeed", "args.fsdp", "args.fsdp_config")


def _model_name(draft: Draft, trainer: Mapping | None) -> None:
    """TRL's trainers also take the model's name."""
    if "model.name" not in draft.values and trainer is not None:
        for key in ("model", "0"):
            if python_calls.literal(trainer.get(key)):
                draft.set("model.name", python_calls.literal(trainer.get(key)), f"trainer.{key}")
                return


def _quantization(draft: Draft, bnb: Mapping | None, model: Mapping | None) -> None:
    """BitsAndBytesConfig's own defaults: fp4, no double quantization, float32 compute."""
    quantized = any(draft.values.get(f"quantization.load_in_{bits}bit") for bits in (4, 8))
    if bnb is None and not quantized:
        if model is not None and "quantization_config" not in model and "load_in_4bit" not in model:
            draft.derive("quantization.bits", 16, (), "the model is loaded without quantization")
        return
    training_arguments.quantized(draft, "load_in_4bit", "load_in_8bit")
    if draft.values.get("quantization.load_in_4bit"):
        draft.default("quantization.quant_type", "fp4", _BNB, "BitsAndBytesConfig.bnb_4bit_quant_type")
        draft.default("quantization.double_quant", False, _BNB, "BitsAndBytesConfig.bnb_4bit_use_double_quant")
        draft.default("quantization.compute_dtype", "float32", _BNB, "BitsAndBytesConfig.bnb_4bit_compute_dtype")


def _checkpointing(draft: Draft, kbit: Mapping) -> None:
    """`prepare_model_for_kbit_training` turns checkpointing on unless told otherwise (peft 0.21.2 utils/other.py)."""
    if draft.values.get("precision.gradient_checkpointing"):
        return
    key = "use_gradient_checkpointing" if "use_gradient_checkpointing" in kbit else "1"
    node = kbit.get(key)
    if node is None:
        how = "prepare_model_for_kbit_training turns it on"
        draft.derive("precision.gradient_checkpointing", True, (), how)
    elif isinstance(node, Scalar) and python_calls.is_known(node) and to_bool(node.text):
        draft.set("precision.gradient_checkpointing", True, f"kbit.{key}")
