"""xtuner's Python configs (version 0.2.0): module-level names and `model=dict(llm=..., lora=...)`.

InternVL's configs give the model by `model_path` alone; those with `framework = "huggingface"` build transformers' own
trainer from `training_args=dict(type=TrainingArguments, ...)` and `lora=dict(type=LoraConfig, ...)`.
"""

from __future__ import annotations

from collections.abc import Iterable

from loraplan.document import Document, Mapping, Node, Scalar, find, walk
from loraplan.formats import training_arguments
from loraplan.formats.components import forget_defaults
from loraplan.formats.peft import adapter
from loraplan.formats.reading import Reading
from loraplan.formats.table import Draft, Versions

SIGNATURE = "`model = dict(type=..., llm=dict(...))` at module level"

_METHODS = {
    "SupervisedFinetune": "sft",
    "DPO": "dpo",
    "ORPO": "orpo",
    "RewardModel": "reward",
    "LLaVAModel": "sft",
    "InternVL_V1_5": "sft",
}
_OPTIMIZERS = {
    "PagedAdamW32bit": "paged_adamw_32bit", "PagedAdamW8bit": "paged_adamw_8bit", "AdamW8bit": "adamw_8bit",
    "PagedAdamW": "paged_adamw", "AdamW": "adamw", "Adam": "adam", "SGD": "sgd",
}  # fmt: skip
_MODEL = "xtuner/model/sft.py@0.2.0"
_INTERNVL = "xtuner/model/internvl.py@0.2.0"
_BNB = "transformers/utils/quantization_config.py@5.23.0: BitsAndBytesConfig"


def detect(root: Node, document: Document) -> str | None:
    """The `model` dictionary with a type and an `llm` of its own, or with InternVL's path, or a dictionary to train."""
    if not isinstance(find(root, ("model", "type")), Scalar):
        return None
    if isinstance(find(root, ("model", "llm")), Mapping):
        return "model = dict(type=..., llm=dict(...))"
    if find(root, ("model", "model_path")) is not None and find(root, ("model", "freeze_llm")) is not None:
        return "model = dict(type=..., model_path=...)"
    if _type(root, "training_args") == "TrainingArguments":
        return "training_args = dict(type=TrainingArguments, ...)"
    return None


def _type(root: Node, *path: str) -> str:
    """The class a dictionary names, without its module."""
    kind = find(root, (*path, "type"))
    return kind.text.rpartition(".")[2] if isinstance(kind, Scalar) else ""


def read(root: Node, document: Document, signature: str, versions: Versions) -> Iterable[Reading]:
    """One run."""
    assert isinstance(root, Mapping)
    if find(root, ("model", "llm")) is None and find(root, ("model", "model_path")) is None:
        yield _with_transformers(root, document, signature, versions)
        return
    draft = Draft("xtuner", "xtuner", root, document, signature, versions)
    draft.switch = "model.lora: dict(type=LoraConfig, ...)"
    draft.fill()
    name = _type(root, "model")
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


def _with_transformers(root: Mapping, document: Document, signature: str, versions: Versions) -> Reading:
    """A run of transformers' trainer, which xtuner's `train` command builds from the dictionaries."""
    draft = Draft("xtuner", "xtuner_hf", root, document, signature, versions)
    draft.switch = "lora: dict(type=LoraConfig, ...)"
    draft.fill()
    if isinstance(root.get("lora"), Mapping):
        draft.set("adapter.method", "lora", "lora")
        source = "xtuner/tools/train.py@0.2.0: find_all_linear_names"
        draft.default("adapter.target_modules", "all-linear", source, "lora.target_modules")
        adapter(draft, "lora.")
    elif "lora" not in root:
        draft.default("adapter.method", "none", "xtuner/tools/train.py@0.2.0", "lora")
    section = "model.quantization_config"
    plain = isinstance(draft.node(section), Mapping)
    prefix = f"{section}." if plain else "model."
    if plain or draft.has("model.load_in_4bit") or draft.has("model.load_in_8bit"):
        training_arguments.quantized(draft, f"{prefix}load_in_4bit", f"{prefix}load_in_8bit")
    if draft.values.get("quantization.load_in_4bit"):
        draft.default("quantization.quant_type", "fp4", _BNB, f"{section}.bnb_4bit_quant_type")
        draft.default("quantization.double_quant", False, _BNB, f"{section}.bnb_4bit_use_double_quant")
        draft.default("quantization.compute_dtype", "float32", _BNB, f"{section}.bnb_4bit_compute_dtype")
    _data(draft, root)
    draft.fill_defaults()
    if draft.values.get("adapter.method") != "lora":
        forget_defaults(draft, "adapter")
    draft.check_keys(near_only=True)
    return draft.finish()


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
    elif draft.has("model.model_path"):
        draft.derive("model.dtype", "bfloat16", (), _INTERNVL)
        training_arguments.quantized(draft, "model.quantization_llm", "")
        if draft.values.get("quantization.load_in_4bit"):
            for field, value in (("quant_type", "nf4"), ("double_quant", True), ("compute_dtype", "float16")):
                draft.derive(f"quantization.{field}", value, ("quantization.load_in_4bit",), _INTERNVL)
        elif "quantization.load_in_4bit" not in draft.unreadable:
            draft.derive("quantization.bits", 16, (), "the model is loaded without quantization")
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
