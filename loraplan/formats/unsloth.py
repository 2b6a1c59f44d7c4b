"""Unsloth: the studio's and command line's YAML here, Python scripts in `unsloth_script`."""

from __future__ import annotations

from collections.abc import Iterable

from loraplan.document import Document, Mapping, Node, Scalar
from loraplan.formats.components import forget_defaults
from loraplan.formats.reading import Reading
from loraplan.formats.table import Draft, Versions
from loraplan.formats.values import Unresolved, to_bool

SIGNATURE = "YAML: a `lora` section with `lora_r` beside `training`; Python: `FastLanguageModel.from_pretrained`"

_CONFIG = "unsloth_cli/config.py@2026.10.9"
_TRAINER = "studio/backend/core/training/trainer.py@2026.10.9"
_SEVEN = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def detect(root: Node, document: Document) -> str | None:
    """The signature found, or None."""
    if document.syntax == "python":
        from loraplan.formats import unsloth_script

        return unsloth_script.detect(root, document)
    if not isinstance(root, Mapping):
        return None
    lora, training = root.get("lora"), root.get("training")
    if not isinstance(lora, Mapping) or not isinstance(training, Mapping) or "lora_r" not in lora:
        return None
    own = {"use_loftq", "vision_all_linear"} | {f"finetune_{part}_layers" for part in ("vision", "language")}
    checkpointing = training.get("gradient_checkpointing")
    named = isinstance(checkpointing, Scalar) and checkpointing.text.strip().lower() == "unsloth"
    named &= "train_on_completions" in training  # a script's own file can ask for Unsloth's checkpointing as well
    if own & set(lora.keys()) or "training_type" in training or named:
        return "lora.lora_r + training"
    return None


def read(root: Node, document: Document, signature: str, versions: Versions) -> Iterable[Reading]:
    """The runs of a script, or the one run of a YAML file."""
    if document.syntax == "python":
        from loraplan.formats import unsloth_script

        return unsloth_script.read(root, document, signature, versions)
    return [_read_yaml(root, document, signature, versions)]


def _read_yaml(root: Node, document: Document, signature: str, versions: Versions) -> Reading:
    draft = Draft("unsloth", "unsloth", root, document, signature, versions)
    draft.fill()
    draft.switch = "training.training_type: lora"
    kind = draft.raw("training.training_type")
    lora = not (isinstance(kind, str) and kind.strip().lower() == "full")
    if draft.has("training.training_type"):
        draft.set("adapter.method", "lora" if lora else "none", "training.training_type")
    else:
        draft.default("adapter.method", "lora", _CONFIG, "training.training_type")
    if lora:
        _targets(draft)
    _training(draft)
    draft.fill_defaults()
    _quantization(draft)
    if not lora:
        forget_defaults(draft, "adapter")
        draft.lora_keys.clear()  # the studio writes the whole `lora` section for full fine-tuning too
    draft.check_keys()
    draft.key_issues = [issue for issue in draft.key_issues if issue.suggestion]
    return draft.finish()


def _targets(draft: Draft) -> None:
    value = draft.raw("lora.target_modules")
    if isinstance(value, str) and not isinstance(value, Unresolved):
        names = tuple(name.strip() for name in value.split(",") if name.strip())
    elif isinstance(value, list):
        names = tuple(name for name in value if isinstance(name, str))
    else:
        names = ()
    if names == ("all-linear",):
        draft.set("adapter.target_modules", "all-linear", "lora.target_modules")
    elif names:
        draft.set("adapter.target_modules", names, "lora.target_modules")
    else:
        draft.default("adapter.target_modules", _SEVEN, _CONFIG, "lora.target_modules")


def _training(draft: Draft) -> None:
    steps, epochs = draft.values.get("schedule.max_steps"), draft.values.get("schedule.epochs")
    if isinstance(steps, int) and steps <= 0:
        draft.drop("schedule.max_steps")
    elif steps and not epochs:
        draft.drop("schedule.epochs")
    if not draft.values.get("run.save_steps"):
        draft.drop("run.save_steps")
    if "schedule.warmup_ratio" not in draft.values:
        draft.default("schedule.warmup_steps", 5, _CONFIG, "training.warmup_steps")
    draft.default("schedule.name", "linear", _TRAINER, "training.lr_scheduler_type")
    draft.default("optimizer.name", "adamw_8bit", _TRAINER, "training.optim")
    value = draft.raw("training.gradient_checkpointing")
    if not draft.has("training.gradient_checkpointing") or value == "":
        draft.default("precision.gradient_checkpointing", True, _CONFIG, "training.gradient_checkpointing")
        draft.default("precision.checkpointing_kind", "unsloth", _CONFIG, "training.gradient_checkpointing")
    elif isinstance(value, str) and value.strip().lower() == "unsloth":
        draft.set("precision.gradient_checkpointing", True, "training.gradient_checkpointing")
        draft.set("precision.checkpointing_kind", "unsloth", "training.gradient_checkpointing")
    else:
        on = False if isinstance(value, str) and value.strip().lower() == "none" else to_bool(value)
        draft.set("precision.gradient_checkpointing", on, "training.gradient_checkpointing")
    local = draft.raw("data.local_dataset")
    names = [draft.raw("data.dataset"), *(local if isinstance(local, list) else [local])]
    found = tuple(name for name in names if isinstance(name, str) and not isinstance(name, Unresolved))
    if found:
        draft.set("data.datasets", found, "data.dataset" if found[0] == names[0] else "data.local_dataset")
    raw_text = draft.raw("data.format_type")
    draft.derive("method", "pt" if raw_text == "raw" else "sft", (), "data.format_type")


def _quantization(draft: Draft) -> None:
    """`load_in_4bit` loads nf4 with nested quantization (unsloth/models/loader.py@2026.10.9)."""
    if draft.values.get("quantization.load_in_4bit") is True and draft.values.get("adapter.method") == "lora":
        how = "unsloth's load_in_4bit"
        draft.derive("quantization.bits", 4, ("quantization.load_in_4bit",), how)
        draft.derive("quantization.method", "bnb", ("quantization.load_in_4bit",), how)
        draft.derive("quantization.quant_type", "nf4", ("quantization.load_in_4bit",), how)
        draft.derive("quantization.double_quant", True, ("quantization.load_in_4bit",), how)
    else:
        draft.derive("quantization.bits", 16, ("quantization.load_in_4bit",), "not loaded in 4 bits")
