"""xtuner's Python configs (version 0.2.0): module-level names and `model=dict(llm=..., lora=...)`."""

from __future__ import annotations

from collections.abc import Iterable

from loraplan.document import Document, Mapping, Node, Scalar, find, walk
from loraplan.formats import training_arguments
from loraplan.formats.components import forget_defaults
from loraplan.formats.peft import adapter
from loraplan.formats.reading import Reading
from loraplan.formats.table import Draft, Versions

SIGNATURE = "`model = dict(type=..., llm=dict(...))` at module level"

_METHODS = {"SupervisedFinetune": "sft", "DPO": "dpo", "ORPO": "orpo", "RewardModel": "reward", "LLaVAModel": "sft"}
_OPTIMIZERS = {
    "PagedAdamW32bit": "paged_adamw_32bit", "PagedAdamW8bit": "paged_adamw_8bit", "AdamW8bit": "adamw_8bit",
    "PagedAdamW": "paged_adamw", "AdamW": "adamw", "Adam": "adam", "SGD": "sgd",
}  # fmt: skip
_MODEL = "xtuner/model/sft.py@0.2.0"
_BNB = "transformers/utils/quantization_config.py@5.23.0: BitsAndBytesConfig"


def detect(root: Node, document: Document) -> str | None:
    """The `model` dictionary with a type and an `llm` of its own."""
    llm = find(root, ("model", "llm"))
    if isinstance(llm, Mapping) and isinstance(find(root, ("model", "type")), Scalar):
        return "model = dict(type=..., llm=dict(...))"
    return None


def read(root: Node, document: Document, signature: str, versions: Versions) -> Iterable[Reading]:
    """One run."""
    assert isinstance(root, Mapping)
    draft = Draft("xtuner", "xtuner", root, document, signature, versions)
    draft.switch = "model.lora: dict(type=LoraConfig, ...)"
    draft.fill()
    kind = find(root, ("model", "type"))
    name = kind.text.rpartition(".")[2] if isinstance(kind, Scalar) else ""
    if name in _METHODS:
        draft.derive("method", _METHODS[name], (), f"model.type is {name}")
    _adapter(draft)
    _quantization(draft)
    _optimizer(draft, root)
    _data(draft, root)
    draft.fill_defaults()
    if draft.values.get("adapter.method") != "lora":
        forget_defaults(draft, "adapter")
    draft.check_keys(near_only=True)
    yield draft.finish()


def _adapter(draft: Draft) -> None:
    for key in ("model.lora", "model.llm_lora"):
        if isinstance(draft.node(key), Mapping):
            draft.set("adapter.method", "lora", key)
            source = f"{_MODEL}: find_all_linear_names"
            draft.default("adapter.target_modules", "all-linear", source, f"{key}.target_modules")
            adapter(draft, f"{key}.")
            return
    if draft.raw("model.freeze_llm") is True:
        draft.derive("adapter.method", "projector", (), "model.freeze_llm: only what maps images to words is trained")
    elif not draft.has("model.lora") and not draft.has("model.llm_lora"):
        draft.default("adapter.method", "none", _MODEL, "model.lora")


def _quantization(draft: Draft) -> None:
    section = "model.llm.quantization_config"
    if isinstance(draft.node(section), Mapping):
        training_arguments.quantized(draft, f"{section}.load_in_4bit", f"{section}.load_in_8bit")
        if draft.values.get("quantization.load_in_4bit"):
            draft.default("quantization.quant_type", "fp4", _BNB, f"{section}.bnb_4bit_quant_type")
            draft.default("quantization.double_quant", False, _BNB, f"{section}.bnb_4bit_use_double_quant")
            draft.default("quantization.compute_dtype", "float32", _BNB, f"{section}.bnb_4bit_compute_dtype")
    elif not draft.has(section):
        draft.derive("quantization.bits", 16, (), "the model is loaded without quantization")


def _optimizer(draft: Draft, root: Mapping) -> None:
    kind = draft.node("optim_type") or draft.node("optim_wrapper.optimizer.type")
    key = "optim_type" if draft.has("optim_type") else "optim_wrapper.optimizer.type"
    if isinstance(kind, Scalar):
        name = kind.text.rpartition(".")[2]
        draft.set("optimizer.name", _OPTIMIZERS.get(name, name.lower()), key)
    dtype = draft.raw("optim_wrapper.dtype")
    if dtype in ("float16", "bfloat16"):
        draft.set("precision.fp16" if dtype == "float16" else "precision.bf16", True, "optim_wrapper.dtype")
    for _, node in walk(root.get("param_scheduler") or Mapping((), root.span)):
        if isinstance(node, Scalar) and node.text.endswith("CosineAnnealingLR"):
            draft.derive("schedule.name", "cosine", (), "param_scheduler has CosineAnnealingLR")
            break


def _data(draft: Draft, root: Mapping) -> None:
    """What `load_dataset` of the training data loads."""
    for index, (path, node) in enumerate(walk(root)):
        if index > 20_000:
            return
        if isinstance(node, Mapping) and isinstance(kind := node.get("type"), Scalar) and kind.text == "load_dataset":
            names = [part for part in path if isinstance(part, str) and "." not in part]
            key = ".".join([*names, "path"])
            value = node.get("path")
            if len(names) == len(path) and isinstance(value, Scalar) and value.tag == "str":
                draft.set("data.datasets", (value.text,), key)
                return
