"""NeMo-Automodel recipes: components by `_target_`, LoRA in the `peft` section with globs for module names."""

from __future__ import annotations

import re
from collections.abc import Iterable

from loraplan.document import Document, Mapping, Node, Scalar
from loraplan.formats.components import (
    dtype_name,
    forget_defaults,
    forgive,
    optimizer_defaults,
    optimizer_name,
    set_betas,
)
from loraplan.formats.reading import Reading
from loraplan.formats.table import Draft, Versions
from loraplan.formats.values import Unresolved, to_bool

SIGNATURE = "a `_target_` of `nemo_automodel`, or `step_scheduler` with `model.pretrained_model_name_or_path`"

_MATCHER = "nemo_automodel/components/_peft/module_matcher.py@0.7.0"
_SCHEDULER = "nemo_automodel/components/optim/optimizer.py@0.7.0"
_RECIPE = "nemo_automodel/recipes/llm/train_ft.py@0.7.0"
_LOADER = "nemo_automodel/_transformers/auto_model.py@0.7.0"
_STRATEGIES = {"fsdp2": "fsdp2", "ddp": "ddp", "megatron_fsdp": "fsdp", "fsdp": "fsdp"}
_WARMUP_CAP = 1000


def detect(root: Node, document: Document) -> str | None:
    """The signature found, or None."""
    if not isinstance(root, Mapping):
        return None
    for section in ("model", "peft", "recipe", "dataset", "loss_fn"):
        node = root.get(section)
        target = node.get("_target_") if isinstance(node, Mapping) else node
        if isinstance(target, Scalar) and target.text.startswith("nemo_automodel."):
            return f"{section}: nemo_automodel"
    model = root.get("model")
    if "step_scheduler" in root and isinstance(model, Mapping) and "pretrained_model_name_or_path" in model:
        return "step_scheduler + model.pretrained_model_name_or_path"
    return None


def read(root: Node, document: Document, signature: str, versions: Versions) -> Iterable[Reading]:
    """The one run that the file describes."""
    draft = Draft("nemo-automodel", "nemo_automodel", root, document, signature, versions)
    draft.fill()
    forgive(draft, "none", "None", "full", "selective")
    lora = isinstance(draft.node("peft"), Mapping)
    if lora:
        draft.set("adapter.method", "lora", "peft")
        _targets(draft)
    else:
        draft.derive("adapter.method", "none", (), "no peft section")
        draft.switch = "a peft section"
    quantized = _quantization(draft)
    _model(draft)
    _schedule(draft)
    _data(draft)
    draft.fill_defaults()
    if draft.values.get("quantization.bits") == 8:
        forget_defaults(draft, "quantization")
    if not lora:
        forget_defaults(draft, "adapter")
    if not quantized:
        forget_defaults(draft, "quantization")
        draft.derive("quantization.bits", 16, (), "no quantization section")
    draft.check_keys()
    # Releases differ in the arguments of PeftConfig: only a near miss of a known one is surely wrong.
    draft.key_issues = [issue for issue in draft.key_issues if issue.suggestion]
    yield draft.finish()


def _model(draft: Draft) -> None:
    recipe = draft.raw("recipe")
    name = recipe.rpartition(".")[2].lower() if isinstance(recipe, str) else ""
    draft.derive("method", "kd" if "distill" in name else "sft", (), "the recipe")
    if "vlm" in name or "vlm" in str(draft.raw("model._target_")).lower():
        draft.derive("model.task", "vision_language", (), "the recipe")
    written = "model.torch_dtype" if draft.has("model.torch_dtype") else "model.dtype"
    if draft.has(written):
        draft.set("model.dtype", dtype_name(draft.raw(written)), written)
    else:
        draft.default("model.dtype", "auto", _LOADER, "model.torch_dtype")
    loss = draft.raw("loss_fn._target_")
    if isinstance(loss, str) and loss.endswith("FusedLinearCrossEntropy"):
        draft.set("precision.fused_loss", "cut_cross_entropy", "loss_fn._target_")


def _targets(draft: Draft) -> None:
    """Globs as the expression that fullmatches the same names; `facts["globs"]` keeps them as written."""
    if to_bool(draft.raw("peft.match_all_linear")) is True:
        draft.set("adapter.target_modules", "all-linear", "peft.match_all_linear")
        return
    value = draft.raw("peft.target_modules")
    names = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    names = [name for name in names if isinstance(name, str) and name and not isinstance(name, Unresolved)]
    excluded = draft.raw("peft.exclude_modules")
    if names:
        draft.facts["globs"] = tuple(names)
        draft.set("adapter.target_modules", _expression(names), "peft.target_modules")
    elif isinstance(excluded, list) and excluded:
        draft.set("adapter.target_modules", "all-linear", "peft.exclude_modules")
        draft.set("adapter.exclude_modules", _expression([str(name) for name in excluded]), "peft.exclude_modules")
    elif isinstance(draft.node("peft.target_modules"), Scalar) and draft.raw("peft.target_modules") is not None:
        return
    else:
        draft.facts["globs"] = ("*_proj",)
        draft.default("adapter.target_modules", _expression(["*_proj"]), _MATCHER, "peft.target_modules")


def _expression(globs: list[str]) -> tuple[str, ...] | str:
    if not any("*" in glob for glob in globs):
        return tuple(globs)
    parts = []
    for glob in globs:
        if "*" in glob:
            parts.append(".*".join(re.escape(part) for part in glob.replace(".*", "*").split("*")))
        else:
            parts.append(rf"(?:.*\.)?{re.escape(glob)}")
    return "|".join(parts)


def _quantization(draft: Draft) -> bool:
    """Whether the base is quantized: `quantization.load_in_4bit` or `load_in_8bit`."""
    for bits, key in ((4, "quantization.load_in_4bit"), (8, "quantization.load_in_8bit")):
        if draft.values.get(key) is True:
            draft.set("quantization.bits", bits, key)
            draft.derive("quantization.method", "bnb", ("quantization.bits",), "bitsandbytes (qlora.py)")
            dtype = draft.values.get("quantization.compute_dtype")
            if dtype is not None:
                draft.values["quantization.compute_dtype"] = dtype_name(dtype) or dtype
            return True
    return False


def _schedule(draft: Draft) -> None:
    component = draft.raw("optimizer._target_")
    draft.set("optimizer.name", optimizer_name(component, draft.raw("optimizer.fused")), "optimizer._target_")
    set_betas(draft, "optimizer.betas")
    optimizer_defaults(draft, component, "optimizer")
    if not isinstance(draft.node("lr_scheduler"), Mapping):
        draft.default("schedule.name", "constant", _RECIPE, "lr_scheduler.lr_decay_style")
        draft.default("schedule.warmup_steps", 0, _RECIPE, "lr_scheduler.lr_warmup_steps")
        return
    draft.default("schedule.name", "cosine", _SCHEDULER, "lr_scheduler.lr_decay_style")
    if draft.values.get("schedule.name") == "constant":  # this scheduler warms up with every style
        draft.values["schedule.name"] = "constant_with_warmup"
    if "schedule.warmup_steps" in draft.values:
        return
    steps = draft.values.get("schedule.max_steps")
    if isinstance(steps, int) and steps > 10 * _WARMUP_CAP:
        draft.default("schedule.warmup_steps", _WARMUP_CAP, _SCHEDULER, "lr_scheduler.lr_warmup_steps")
    else:
        draft.default("schedule.warmup_ratio", 0.1, _SCHEDULER, "lr_scheduler.lr_warmup_steps")


def _data(draft: Draft) -> None:
    for key in ("dataset.dataset_name", "dataset.path_or_dataset_id", "dataset.path_or_dataset", "dataset._target_"):
        value = draft.raw(key)
        if isinstance(value, str) and not isinstance(value, Unresolved):
            draft.set("data.datasets", (value,), key)
            break
    size = draft.raw("packed_sequence.packed_sequence_size")
    if isinstance(size, int) and not isinstance(size, bool):
        draft.set("data.packing", size > 0, "packed_sequence.packed_sequence_size")
        if size > 0:
            draft.set("data.max_length", size, "packed_sequence.packed_sequence_size")
    strategy, manager = draft.raw("distributed.strategy"), draft.raw("distributed._target_")
    if isinstance(strategy, str):
        draft.set("distributed.strategy", _STRATEGIES.get(strategy.lower()), "distributed.strategy")
    elif isinstance(manager, str):
        leaf = manager.rpartition(".")[2].removesuffix("Manager").lower()
        draft.set("distributed.strategy", _STRATEGIES.get(leaf), "distributed._target_")
    if draft.raw("distributed.activation_checkpointing") in ("full", "selective"):
        draft.set("precision.gradient_checkpointing", True, "distributed.activation_checkpointing")
