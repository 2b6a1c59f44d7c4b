"""axolotl's YAML (version 0.19.0): flat keys, an empty value meaning an absent one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from loraplan.document import Document, Mapping, Node, Sequence
from loraplan.formats import training_arguments
from loraplan.formats.reading import Reading
from loraplan.formats.table import Draft, Versions
from loraplan.formats.values import Unresolved, to_float

SIGNATURE = "`base_model` with `datasets`, or with two of `adapter`, `sequence_len`, `micro_batch_size`, `lora_r`"

_OWN = frozenset(
    "adapter sequence_len micro_batch_size val_set_size lora_target_linear lora_target_modules sample_packing"
    " num_epochs dataset_prepared_path pretraining_dataset test_datasets special_tokens wandb_project rl lora_r".split()
)
_OTHERS = frozenset(("task", "llm_backbone", "params", "peft_config", "data", "trainer", "finetuning_type"))
# axolotl 0.19.0 utils/schemas/enums.py LEGACY_ATTN_FLAG_TO_IMPL, in its order.
_ATTENTION = {
    "xformers_attention": "xformers",
    "sage_attention": "sage",
    "flex_attention": "flex_attention",
    "flash_attention": "flash_attention_2",
    "sdp_attention": "sdpa",
    "eager_attention": "eager",
}
_FUSED = {
    "cut_cross_entropy": "cut_cross_entropy",
    "chunked_cross_entropy": "chunked",
    "liger_fused_linear_cross_entropy": "liger",
    "liger_cross_entropy": "liger",
    "unsloth_cross_entropy_loss": "unsloth",
}
_CUT = ".CutCrossEntropyPlugin"
_CONFIG = "axolotl/utils/schemas/config.py@0.19.0"
_MODEL = "axolotl/loaders/model.py@0.19.0"
_WARMUP = "axolotl/core/builders/base.py@0.19.0: min(int(0.03 * steps), 100), so capped at 100 steps"


def detect(root: Node, document: Document) -> str | None:
    """`base_model` as text, with data or enough of axolotl's own key names."""
    if not isinstance(root, Mapping) or isinstance(root.get("base_model"), Mapping | None):
        return None
    keys = set(root.keys())
    own = keys & _OWN
    if keys & _OTHERS:
        return None
    data = root.get("datasets") or root.get("pretraining_dataset")
    if isinstance(data, Sequence) and own:
        return "base_model + datasets"
    if "model_name_or_path" in keys or "method" in keys:
        return None
    if len(own) >= 2 and own & {"sequence_len", "micro_batch_size", "lora_target_linear", "dataset_prepared_path"}:
        return "base_model + " + " + ".join(sorted(own)[:3])
    return None


def read(root: Node, document: Document, signature: str, versions: Versions) -> Iterable[Reading]:
    """One run; how axolotl resolves its keys is in `utils/config/__init__.py` and the loaders."""
    if not isinstance(root, Mapping):
        return
    draft = Draft("axolotl", "axolotl", root, document, signature, versions)
    draft.switch = "adapter: lora"
    draft.fill()
    _method(draft)
    _adapter(draft)
    _precision(draft)
    _quantization(draft)
    _schedule(draft)
    _data(draft)
    _evaluation(draft)
    _attention(draft)
    training_arguments.parallel(draft)
    if draft.values.get("distributed.strategy") == "fsdp" and draft.raw("fsdp_version") == 2:
        draft.derive("distributed.strategy", "fsdp2", ("distributed.fsdp",), "fsdp_version is 2")
    training_arguments.settle(draft, ratio_steps=False)
    draft.fill_defaults()
    plugins = draft.raw("plugins")
    foreign = [name for name in plugins if not str(name).startswith("axolotl.")] if isinstance(plugins, list) else []
    draft.check_keys(near_only=bool(foreign))
    yield draft.finish()


def _method(draft: Draft) -> None:
    """`method` from the trainer that axolotl picks."""
    kind = draft.raw("rl")
    if isinstance(kind, str) and kind:
        draft.set("method", kind.lower(), "rl")
    elif draft.raw("reward_model") is True:
        draft.set("method", "reward", "reward_model")
    elif draft.raw("process_reward_model") is True:
        draft.set("method", "prm", "process_reward_model")
    elif draft.raw("pretraining_dataset"):
        draft.set("method", "pt", "pretraining_dataset")
    elif _types(draft) == {"completion"}:
        draft.derive("method", "pt", ("data.datasets",), "every dataset is of type completion")
    elif draft.raw("num_labels") and "classification" in str(draft.raw("model_type")).lower():
        draft.derive("method", "cls", ("model.task",), "model_type is a classifier")
    else:
        draft.derive("method", "sft", (), "no `rl` and no reward model")


def _types(draft: Draft) -> set[str]:
    datasets = draft.raw("datasets")
    return (
        {str(item.get("type")) for item in datasets if isinstance(item, dict)} if isinstance(datasets, list) else set()
    )


def _adapter(draft: Draft) -> None:
    """The adapter's kind, all-linear targets, LoftQ; the rest is in the table."""
    kind = draft.raw("adapter")
    if isinstance(kind, str) and not isinstance(kind, Unresolved) and kind:
        draft.set("adapter.method", {"lora": "lora", "qlora": "lora"}.get(kind.lower(), kind.lower()), "adapter")
    elif draft.has("adapter") and not isinstance(kind, Unresolved):
        draft.set("adapter.method", "none", "adapter")
    else:
        draft.default("adapter.method", "none", "axolotl/utils/schemas/peft.py@0.19.0", "adapter")
    if draft.raw("lora_target_linear") is True:
        draft.set("adapter.target_modules", "all-linear", "lora_target_linear")
    if "adapter.target_modules" in draft.values and draft.values["adapter.target_modules"] == ():
        draft.drop("adapter.target_modules")
    if draft.raw("peft.loftq_config.loftq_bits"):
        draft.set("adapter.loftq_config", True, "peft.loftq_config")
        if "adapter.init" not in draft.values:
            draft.set("adapter.init", "loftq", "peft.loftq_config")
    if draft.values["adapter.method"] == "lora":
        draft.default("adapter.bias", "none", "axolotl/loaders/adapter.py@0.19.0: _build_peft_lora_config")


def _precision(draft: Draft) -> None:
    """bf16, fp16, tf32, checkpointing (axolotl 0.19.0 utils/config/__init__.py resolve_dtype)."""
    written = draft.raw("bf16") if draft.raw("bf16") is not None else None
    half = draft.values.get("precision.fp16") is True
    auto = written is None or str(written).lower() == "auto"
    draft.facts["bf16_auto"] = auto and not half
    if auto and half:
        draft.derive("precision.bf16", False, ("precision.fp16",), "fp16 is on and bf16 is auto")
    elif written is not None:
        flag = str(written).lower() not in ("false", "no", "off", "0", "")
        draft.set("precision.bf16", flag, "bf16")
        if draft.raw("bf16") == "full":
            draft.facts["pure_bf16"] = True
    elif draft.raw("bfloat16") is True:
        draft.set("precision.bf16", True, "bfloat16")
    else:
        draft.default("precision.bf16", True, f"{_CONFIG}: `auto`, on where the GPU has bf16", "bf16")
    tf32 = draft.raw("tf32")
    if isinstance(tf32, bool):
        draft.set("precision.tf32", tf32, "tf32")
    _checkpointing(draft)
    for key in ("activation_offloading", "torch_compile"):
        value = draft.raw(key)
        if value is not None and not isinstance(value, Unresolved):
            field = "precision.activation_offloading" if key == "activation_offloading" else "precision.compile"
            if value != "auto":
                draft.set(field, value is True or (isinstance(value, str) and value.lower() not in ("false", "")), key)
    for key, name in _FUSED.items():
        if draft.raw(key) is True:
            draft.set("precision.fused_loss", name, key)
            break
    else:
        plugins = draft.raw("plugins")
        listed = isinstance(plugins, list) and any(str(name).endswith(_CUT) for name in plugins)
        if listed and draft.raw("cut_cross_entropy") is not False:  # integrations/cut_cross_entropy/args.py: on
            draft.set("precision.fused_loss", "cut_cross_entropy", "plugins")


def _checkpointing(draft: Draft) -> None:
    value = draft.raw("gradient_checkpointing")
    if isinstance(value, Unresolved):
        return
    if isinstance(value, str) and value.lower() not in ("true", "false", "yes", "no"):
        draft.set("precision.gradient_checkpointing", True, "gradient_checkpointing")
        draft.set("precision.checkpointing_kind", value.lower(), "gradient_checkpointing")
    elif value is not None:
        flag = value is True or str(value).lower() in ("true", "yes", "1")
        draft.set("precision.gradient_checkpointing", flag, "gradient_checkpointing")
    else:
        draft.default("precision.gradient_checkpointing", False, _CONFIG, "gradient_checkpointing")


def _quantization(draft: Draft) -> None:
    """What the loader builds: with `adapter: qlora` it hard-codes NF4, double quantization and the compute dtype."""
    four, eight = draft.values.get("quantization.load_in_4bit"), draft.values.get("quantization.load_in_8bit")
    if draft.raw("gptq") is True:
        draft.set("quantization.method", "gptq", "gptq")
    elif four and str(draft.raw("adapter")).lower() == "qlora":
        training_arguments.quantized(draft)
        source = f"{_MODEL}: hard-coded, only bnb_config_kwargs overrides it"
        draft.default("quantization.quant_type", "nf4", source, "bnb_config_kwargs.bnb_4bit_quant_type")
        draft.default("quantization.double_quant", True, source, "bnb_config_kwargs.bnb_4bit_use_double_quant")
        draft.default("quantization.quant_storage", "bfloat16", source, "bnb_config_kwargs.bnb_4bit_quant_storage")
        if "quantization.compute_dtype" not in draft.values:
            kind = _dtype(draft)
            draft.derive(
                "quantization.compute_dtype", kind, ("precision.bf16", "precision.fp16"), "axolotl's torch dtype"
            )
    elif eight and not four:
        training_arguments.quantized(draft)
    draft.facts["quantizes_experts"] = draft.raw("quantize_moe_experts") is True
    # The loader quantizes to 4 bits for `adapter: qlora` alone; beside `adapter: lora` the switch does nothing.
    draft.facts["load_in_4bit_ignored"] = bool(four) and str(draft.raw("adapter")).lower() == "lora"
    if "model.dtype" not in draft.values:
        kind = _dtype(draft)
        if eight and kind == "float32":
            kind = "float16"  # utils/config/__init__.py resolve_dtype
        draft.derive("model.dtype", kind, ("precision.bf16", "precision.fp16"), "axolotl loads the base model in it")


def _dtype(draft: Draft) -> str:
    """What the base is loaded in: `float16` asks for that without mixed precision (resolve_dtype)."""
    kind = training_arguments.compute_dtype(draft)
    return "float16" if kind == "float32" and draft.raw("float16") is True else kind


def _schedule(draft: Draft) -> None:
    """The schedule's floor, warm-up where none is written, and accumulation from the discouraged `batch_size`."""
    _floor(draft)
    if "schedule.warmup_ratio" not in draft.values and "schedule.warmup_steps" not in draft.values:
        draft.default("schedule.warmup_ratio", 0.03, _WARMUP, "warmup_ratio")
        draft.facts["warmup_default"] = "min(3%, 100 steps)"
    total, micro = draft.raw("batch_size"), draft.values.get("batch.micro_batch_size")
    accumulation = "batch.gradient_accumulation_steps"
    whole = isinstance(total, int) and isinstance(micro, int) and not isinstance(total, bool) and 0 < micro <= total
    if whole and accumulation not in draft.values:
        draft.derive(accumulation, total // micro, ("batch.micro_batch_size",), f"batch_size {total} / {micro}")
    micro = draft.values.get("batch.micro_batch_size")
    if micro is not None and "batch.eval_batch_size" not in draft.values:
        draft.derive("batch.eval_batch_size", micro, ("batch.micro_batch_size",), "defaults to micro_batch_size")


def _floor(draft: Draft) -> None:
    """`cosine_min_lr_ratio`: axolotl's cosine to a floor is transformers' `cosine_with_min_lr`, step for step.

    Both in axolotl/utils/schedulers.py@0.19.0 and transformers/optimization.py@5.23.0.
    """
    ratio, name = to_float(draft.raw("cosine_min_lr_ratio")), draft.values.get("schedule.name", "cosine")
    if not ratio or name != "cosine":
        return
    draft.set("schedule.args", {"min_lr_rate": float(ratio)}, "cosine_min_lr_ratio")
    draft.derive("schedule.name", "cosine_with_min_lr", ("schedule.args",), "cosine down to cosine_min_lr_ratio")


def _evaluation(draft: Draft) -> None:
    """`eval_steps` says when, and early stopping loads the best checkpoint; core/builders/base.py and causal.py@0.19.0.

    Preference trainers know neither early stopping nor grouping by length.
    """
    every, saved = draft.values.get("run.eval_steps"), draft.values.get("run.save_steps")
    held_out = bool(draft.values.get("data.val_size")) != bool(draft.values.get("data.eval_datasets"))
    if held_out and every and "run.eval_strategy" not in draft.values:
        draft.derive("run.eval_strategy", "steps", ("run.eval_steps",), "eval_steps is set")
    if draft.has("rl") and draft.values.get("method") not in ("sft", "pt"):
        draft.drop("run.early_stopping_patience")
        draft.drop("data.sampling")
    elif draft.values.get("run.early_stopping_patience") and held_out and every and saved and saved % every == 0:
        source = ("run.early_stopping_patience",)
        draft.derive("run.load_best_model_at_end", True, source, "axolotl loads the best checkpoint then")


def _data(draft: Draft) -> None:
    for key, field in (("datasets", "data.datasets"), ("test_datasets", "data.eval_datasets")):
        names = paths(draft.raw(key))
        if names:
            draft.set(field, names, key)
    pretraining = paths(draft.raw("pretraining_dataset"))
    if pretraining and "data.datasets" not in draft.values:
        draft.set("data.datasets", pretraining, "pretraining_dataset")
    if str(draft.raw("model_type")).endswith("ForSequenceClassification"):
        draft.derive("model.task", "sequence_classification", (), "model_type")


def paths(value: Any) -> tuple[str, ...]:
    """The `path` (or `name`, `id`) of every dataset in a list of mappings or names."""
    if isinstance(value, str) and value and not isinstance(value, Unresolved):
        return (value,)
    names: list[str] = []
    for item in value if isinstance(value, list) else []:
        name = item.get("path") or item.get("id") or item.get("name") if isinstance(item, dict) else item
        if isinstance(name, str) and not isinstance(name, Unresolved):
            names.append(name)
    return tuple(names)


def _attention(draft: Draft) -> None:
    if "model.attn_implementation" in draft.values:
        return
    for key, name in _ATTENTION.items():
        if draft.raw(key) is True:
            draft.set("model.attn_implementation", name, key)
            return
