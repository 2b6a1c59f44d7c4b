"""LLaMA-Factory's YAML, JSON and commands (version 0.9.5): the flat keys, and the sections of its `v1` launcher."""

from __future__ import annotations

from collections.abc import Iterable

from loraplan.document import Document, Mapping, Node
from loraplan.formats import training_arguments
from loraplan.formats.reading import Reading
from loraplan.formats.table import Draft, Versions
from loraplan.formats.values import Unresolved

SIGNATURE = "`model_name_or_path` with `stage`, `finetuning_type` or `template`; or `model` with `peft_config`"

_FLAT = ("stage", "finetuning_type", "template", "cutoff_len", "lora_rank")
_V1 = frozenset("model_class dist_config kernel_config quant_config train_dataset sample_backend init_config".split())
_TRAINING = ("learning_rate", "per_device_train_batch_size", "num_train_epochs", "max_steps", "bf16", "fp16")
_OPEN_INSTRUCT = frozenset(("use_lora", "dataset_mixer_list", "with_tracking", "use_qlora"))


def detect(root: Node, document: Document) -> str | None:
    """The flat form by its own key names, the v1 form by its plugin sections."""
    if not isinstance(root, Mapping):
        return None
    keys = set(root.keys())
    if "model" in keys and not isinstance(root.get("model"), Mapping):
        plugins = root.get("peft_config")
        if (isinstance(plugins, Mapping) and "name" in plugins) or len(keys & _V1) >= 2:
            return "model + peft_config" if plugins is not None else "model + " + ", ".join(sorted(keys & _V1)[:2])
        return None
    if "model_name_or_path" not in keys or keys & _OPEN_INSTRUCT:
        return None
    if document.syntax == "shell":
        call = root.call or ""
        ours = "llamafactory" in call or "train_bash" in call or ("finetuning_type" in keys and "template" in keys)
        return f"the command `{call}`" if ours else None
    found = [key for key in _FLAT if key in keys]
    if "finetuning_type" in found or "stage" in found or len(found) >= 2:
        return "model_name_or_path + " + found[0]
    if "template" in found and "dataset" in keys:
        return "model_name_or_path + template"
    return None


def read(root: Node, document: Document, signature: str, versions: Versions) -> Iterable[Reading]:
    """One run; files that only predict, export or merge carry `facts["no_training"]`."""
    if not isinstance(root, Mapping):
        return
    if "model_name_or_path" in root or "model" not in root:
        yield _flat(root, document, signature, versions)
    else:
        yield _v1(root, document, signature, versions)


def _flat(root: Mapping, document: Document, signature: str, versions: Versions) -> Reading:
    # 0.9.5 requires transformers <=5.6.0, so what later releases removed still works.
    draft = Draft("llamafactory", "llamafactory", root, document, signature, {"transformers": "5.6.0", **versions})
    draft.switch = "finetuning_type: lora"
    draft.fill()
    _targets(draft, "lora_target")
    if draft.raw("pissa_init") is True:
        draft.set("adapter.init", "pissa", "pissa_init")
    if draft.values.get("method") == "dpo" and draft.raw("pref_loss") in ("orpo", "simpo"):
        draft.set("method", draft.raw("pref_loss"), "pref_loss")
    if draft.values.get("method") != "dpo":
        draft.drop("loss.type")
    if draft.raw("pure_bf16") is True:
        draft.set("precision.bf16", True, "pure_bf16")
        draft.facts["pure_bf16"] = True
    _checkpointing(draft)
    _quantization(draft)
    if draft.raw("neat_packing") is True and "data.packing" not in draft.values:
        draft.set("data.packing", True, "neat_packing")
    training_arguments.settle(draft)
    draft.fill_defaults()
    _alpha(draft)
    if "data.packing" not in draft.values and "data.packing" not in draft.unreadable:
        packing = draft.values.get("method") == "pt"
        draft.default("data.packing", packing, "llamafactory/hparams/parser.py@0.9.5: on for stage pt alone", "packing")
    _no_training(draft)
    draft.facts["host_experts"] = draft.raw("use_kt") is True
    # `all` leaves the vision tower out while it is frozen (0.9.5 model/model_utils/misc.py find_all_linear_modules).
    draft.facts["vision_frozen"] = draft.raw("freeze_vision_tower") is not False
    draft.check_keys(near_only="llamafactory" not in versions)
    return draft.finish()


def _targets(draft: Draft, key: str) -> None:
    """`all` is every linear layer but the head; one name with regular-expression characters stays a tuple of one."""
    targets = draft.values.get("adapter.target_modules")
    if targets == ("all",):
        draft.set("adapter.target_modules", "all-linear", key)
    elif targets is None and "adapter.target_modules" not in draft.unreadable:
        row = next(row for row in draft.rows() if row["key"] == key)
        draft.default("adapter.target_modules", "all-linear", row["source"], key)


def _alpha(draft: Draft) -> None:
    """LoRA alpha is twice the rank where absent or 0 (llamafactory 0.9.5 hparams/finetuning_args.py __post_init__)."""
    if draft.values.get("adapter.alpha") == 0:
        draft.drop("adapter.alpha")
    rank = draft.values.get("adapter.r")
    if rank is not None:
        source = "llamafactory/hparams/finetuning_args.py@0.9.5: __post_init__, lora_rank * 2"
        draft.default("adapter.alpha", rank * 2, source, "lora_alpha")


def _checkpointing(draft: Draft) -> None:
    """On unless disabled, whatever `gradient_checkpointing` says (0.9.5 model/model_utils/checkpointing.py)."""
    draft.drop("precision.gradient_checkpointing")
    disabled = draft.raw("disable_gradient_checkpointing")
    if isinstance(disabled, bool):
        draft.set("precision.gradient_checkpointing", not disabled, "disable_gradient_checkpointing")
    elif not isinstance(disabled, Unresolved):
        source = "llamafactory/hparams/model_args.py@0.9.5"
        draft.default("precision.gradient_checkpointing", True, source, "disable_gradient_checkpointing")
    if draft.raw("use_unsloth_gc") is True:
        draft.set("precision.checkpointing_kind", "unsloth", "use_unsloth_gc")


def _quantization(draft: Draft) -> None:
    """bitsandbytes on the fly where `quantization_bit` is set, computing in the training dtype."""
    bits = draft.values.get("quantization.bits")
    kind = training_arguments.compute_dtype(draft)
    if bits is None:
        for field in ("quantization.quant_type", "quantization.double_quant", "quantization.method"):
            draft.drop(field)
            draft.unreadable.add(field)
    else:
        if bits in (4, 8) and draft.values.get("quantization.method", "bnb") == "bnb":
            draft.derive(f"quantization.load_in_{bits:g}bit", True, ("quantization.bits",), "bitsandbytes")
        if bits != 4:
            draft.unreadable |= {"quantization.quant_type", "quantization.double_quant"}
        elif kind != "float32":
            draft.derive("quantization.compute_dtype", kind, ("precision.bf16", "precision.fp16"), "the compute dtype")
    if kind != "float32":
        draft.derive("model.dtype", kind, ("precision.bf16", "precision.fp16"), "the model is loaded in it")


def _no_training(draft: Draft) -> None:
    """Whether the file only predicts, evaluates, exports, serves or tokenizes."""
    only = _true(draft, "do_predict", "do_eval") or bool(draft.raw("infer_backend"))
    # Written for `tokenized_path` to be filled (examples/README.md, Preprocess Dataset): nothing says how to train.
    tokenizes = bool(draft.raw("tokenized_path")) and not any(map(draft.has, _TRAINING))
    if draft.raw("export_dir") or (only and draft.raw("do_train") is not True) or tokenizes:
        draft.facts["no_training"] = True


def _true(draft: Draft, *keys: str) -> bool:
    return any(draft.raw(key) is True for key in keys)


def _v1(root: Mapping, document: Document, signature: str, versions: Versions) -> Reading:
    draft = Draft("llamafactory", "llamafactory_v1", root, document, signature, versions)
    draft.switch = "peft_config: {name: lora}"
    draft.fill()
    name = draft.values.get("adapter.method")
    if name == "lora":
        _targets(draft, "peft_config.target_modules")
    train = str(draft.raw("train_dataset") or document.path).lower()
    hint = next((kind for kind in ("dpo", "sft", "rm") if kind in train), None)
    if hint:
        draft.derive("method", {"rm": "reward"}.get(hint, hint), ("data.datasets",), "the dataset's name")
    bits = draft.values.get("quantization.bits")
    if bits in (4, 8):
        draft.derive(f"quantization.load_in_{bits:g}bit", True, ("quantization.bits",), "bitsandbytes")
        draft.derive("quantization.method", "bnb", ("quantization.bits",), "the only backend")
    if bits != 4:
        draft.unreadable |= {"quantization.quant_type", "quantization.double_quant", "quantization.compute_dtype"}
    strategy = str(draft.raw("dist_config.config_file") or "")
    if draft.values.get("distributed.strategy") == "deepspeed":
        stage = training_arguments.zero_stage(strategy)
        draft.set("distributed.strategy", stage or "deepspeed", "dist_config.name")
    if "padding_free" in str(draft.raw("batching_strategy")).lower():
        draft.set("data.padding_free", True, "batching_strategy")
    training_arguments.settle(draft, ratio_steps=False)
    draft.fill_defaults()
    draft.facts["launcher"] = "v1"
    if draft.raw("peft_config.export_dir"):
        draft.facts["no_training"] = True
    draft.check_keys(near_only="llamafactory" not in versions)
    return draft.finish()
