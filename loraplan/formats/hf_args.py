"""Options of scripts built on transformers' HfArgumentParser: JSON, YAML or a shell command's `--key value`.

Each project adds LoRA options under names of its own (Firefly, LLaVA, Qwen, MedicalGPT, Chinese-LLaMA, artidoro/qlora,
...), whose defaults stand in its script; only `TrainingArguments` have defaults that are known here, and qlora.py's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from loraplan.document import Document, Mapping, Node
from loraplan.formats import training_arguments
from loraplan.formats.reading import Reading
from loraplan.formats.table import Draft, Versions
from loraplan.formats.values import Unresolved, to_bool

SIGNATURE = "TrainingArguments keys with `lora_r`, `lora_rank`, `use_lora`, `lora_enable`, `q_lora` or `bits`"

_TRAINING = frozenset(
    "per_device_train_batch_size gradient_accumulation_steps num_train_epochs lr_scheduler_type warmup_ratio"
    " warmup_steps max_steps learning_rate output_dir save_steps logging_steps".split()
)
_SURE = ("per_device_train_batch_size", "num_train_epochs")
_LORA = (
    "lora_r", "lora_rank", "lora_alpha", "use_lora", "lora_enable", "use_peft", "q_lora", "use_qlora", "lora_modules",
    "lora_target_modules", "bits", "train_mode", "full_finetune",
)  # fmt: skip
_SWITCHES = ("use_lora", "lora_enable", "use_peft", "use_qlora", "q_lora")
_QLORA_PY = frozenset(
    ("double_quant", "quant_type", "source_max_len", "target_max_len", "full_finetune", "lora_modules")
)
_METHODS = (
    ("dpo", "dpo"), ("orpo", "orpo"), ("kto", "kto"), ("grpo", "grpo"), ("rloo", "rloo"), ("ppo", "ppo"),
    ("reward", "reward"), ("pretrain", "pt"), ("clm_pt", "pt"), ("run_pt", "pt"), ("sft", "sft"), ("finetun", "sft"),
    ("qlora.py", "sft"), ("train_mem", "sft"),
)  # fmt: skip


def detect(root: Node, document: Document) -> str | None:
    """Two options of TrainingArguments, one of them its alone, and one that turns on or shapes LoRA."""
    if not isinstance(root, Mapping):
        return None
    keys = set(map(_plain, root.keys()))
    lora = next((key for key in _LORA if key in keys), None)
    shared = keys & _TRAINING
    if lora is None or len(shared) < 2 or not any(key in shared for key in _SURE):
        return None
    if document.syntax != "shell" and isinstance(root.get("model"), Mapping):
        return None
    named = "model_name_or_path" in keys or "model_name" in keys
    if document.syntax == "yaml" and not named:
        return None
    return f"{next(key for key in _SURE if key in shared)} + {lora}"


def _plain(key: str) -> str:
    return key.lstrip("-").replace("-", "_")


def read(root: Node, document: Document, signature: str, versions: Versions) -> Iterable[Reading]:
    """One run; `facts["script"]` is "qlora.py" where the options are those of artidoro/qlora."""
    if not isinstance(root, Mapping):
        return
    own = set(root.keys()) & _QLORA_PY
    ours = len(own) >= 2 or "qlora.py" in (root.call or "")
    draft = Draft("hf-args", "qlora_py" if ours else "hf_args", root, document, signature, versions)
    if ours:
        draft.facts["script"] = "qlora.py"
    draft.fill()
    _method(draft, root)
    switch(draft)
    targets(draft)
    quantization(draft)
    training_arguments.settle(draft)
    draft.fill_defaults()
    if ours:
        _qlora_py(draft)
    draft.check_keys(near_only=True)
    yield draft.finish()


def _method(draft: Draft, root: Mapping) -> None:
    """From the task that the options name, else the script's, the file's or the output folder's name."""
    task = draft.raw("task_type")
    if isinstance(task, str) and task.lower() in ("sft", "pretrain", "dpo"):
        draft.set("method", {"pretrain": "pt"}.get(task.lower(), task.lower()), "task_type")
        return
    stage = draft.raw("stage")
    if isinstance(stage, str) and stage.lower() in ("sft", "pt", "dpo", "orpo", "kto", "ppo"):
        draft.set("method", stage.lower(), "stage")
        return
    names = (root.call or "", re.split(r"[\\/]", draft.document.path)[-1], str(draft.raw("output_dir") or ""))
    for name in names:
        found = next((method for part, method in _METHODS if part in name.lower()), None)
        if found:
            draft.derive("method", found, (), f"the name `{name}`")
            return


def switch(draft: Draft) -> None:
    """Whether LoRA is on: a switch, `train_mode`, `finetuning_type`, or the presence of LoRA's options."""
    draft.switch = "lora_enable: true" if draft.has("lora_enable") else "use_lora: true"
    for key in _SWITCHES:
        value = draft.raw(key)
        flag = True if value == "" else to_bool(value)
        if draft.has(key) and flag is not None:
            if draft.values.get("adapter.method") != "lora":
                draft.set("adapter.method", "lora" if flag else "none", key)
                draft.switch = f"{key}: true"
            if flag and key == "use_qlora" and "quantization.bits" not in draft.values:
                draft.set("quantization.bits", 4, key)
    mode = draft.raw("train_mode") or draft.raw("finetuning_type")
    if isinstance(mode, str) and not isinstance(mode, Unresolved) and "adapter.method" not in draft.values:
        key = "train_mode" if draft.raw("train_mode") else "finetuning_type"
        draft.set("adapter.method", "lora" if "lora" in mode.lower() else "none", key)
        if mode.lower() == "qlora" and "quantization.bits" not in draft.values:
            draft.set("quantization.bits", 4, key)
    if to_bool(draft.raw("full_finetune")):
        draft.set("adapter.method", "none", "full_finetune")
    if "adapter.method" not in draft.values and draft.lora_keys:
        draft.derive("adapter.method", "lora", tuple(sorted(_fields(draft))), "LoRA options are given")


def _fields(draft: Draft) -> set[str]:
    return {field for field in draft.values if field.startswith("adapter.")}


def targets(draft: Draft) -> None:
    """`all` and `all-linear` among the names mean every linear layer; a shell word list is split at spaces too."""
    value = draft.values.get("adapter.target_modules")
    if not isinstance(value, tuple):
        return
    names = tuple(part for name in value for part in name.split()) if draft.document.syntax == "shell" else value
    if names in (("all",), ("all-linear",), ("all_linear",)):
        draft.values["adapter.target_modules"] = "all-linear"
    elif names != value:
        draft.values["adapter.target_modules"] = names


def quantization(draft: Draft) -> None:
    """Bits from `bits` or the two switches; the compute dtype is left to the script."""
    bits = draft.values.get("quantization.bits")
    if bits is None:
        training_arguments.quantized(draft)
    elif bits in (4, 8):
        field = f"quantization.load_in_{bits:g}bit"
        if field not in draft.values:
            draft.derive(field, True, ("quantization.bits",), f"{bits:g} bits")
        draft.derive("quantization.method", "bnb", ("quantization.bits",), "bitsandbytes")


def _qlora_py(draft: Draft) -> None:
    """What artidoro/qlora 7f4e95a does in code: targets, compute dtype, length."""
    script = "qlora.py@7f4e95a: get_accelerate_model"
    draft.default("adapter.method", "lora", script, "full_finetune")
    if draft.values.get("adapter.method") == "lora":
        draft.default("adapter.target_modules", "all-linear", script)
        draft.default("adapter.bias", "none", script)
    if "method" not in draft.values:
        draft.derive("method", "sft", (), "qlora.py fine-tunes on instructions")
    if draft.values.get("quantization.bits") == 4:
        half = draft.values.get("precision.fp16")
        kind = "float16" if half else "bfloat16" if draft.values.get("precision.bf16") else "float32"
        draft.derive("quantization.compute_dtype", kind, ("precision.fp16", "precision.bf16"), "qlora.py")
        draft.derive("quantization.load_in_4bit", True, ("quantization.bits",), "4 bits")
        draft.derive("quantization.method", "bnb", ("quantization.bits",), "bitsandbytes")
    source, target = draft.raw("source_max_len"), draft.raw("target_max_len")
    if (
        isinstance(source, str | int)
        and isinstance(target, str | int)
        and str(source).isdigit()
        and str(target).isdigit()
    ):
        draft.derive("data.max_length", int(source) + int(target), (), "source_max_len + target_max_len")
