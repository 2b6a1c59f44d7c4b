"""ms-swift: `swift sft|pt|rlhf` in launch scripts, and the same keys in YAML or JSON (version 4.6.0)."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from loraplan.document import Document, Mapping, Node, Scalar
from loraplan.formats import shell_commands, training_arguments
from loraplan.formats.reading import Reading
from loraplan.formats.table import Draft, Versions
from loraplan.formats.values import Unresolved, to_bool, to_float

SIGNATURE = "the command `swift sft|pt|rlhf`; or `model` with `tuner_type`, `train_type` or `sft_type`"

_COMMAND = re.compile(r"(?:^|[\s/])swift (sft|pt|rlhf)\b|swift[./]cli[./](sft|pt|rlhf)\b")
_SWITCHES = ("tuner_type", "train_type", "sft_type")
_MARKS = frozenset(
    "torch_dtype split_dataset_ratio lora_rank target_modules attn_impl rlhf_type quant_bits use_hf model_author"
    " add_version load_from_cache_file dataset_num_proc max_length".split()
)
_CAP = re.compile(r"#([0-9]{1,12})$")
_METHODS = frozenset("dpo orpo simpo kto cpo rm ppo grpo gkd".split())
_MEGATRON = {
    "lr": "optimizer.learning_rate",
    "lr_warmup_fraction": "schedule.warmup_ratio",
    "lr_warmup_iters": "schedule.warmup_steps",
    "micro_batch_size": "batch.micro_batch_size",
    "global_batch_size": "batch.global_batch_size",
    "tensor_model_parallel_size": "distributed.tensor_parallel",
    "context_parallel_size": "distributed.context_parallel",
}
"""Of `megatron sft` what a plan has a field for (swift/megatron/arguments/megatron_args.py@4.6.0)."""
_ARGUMENTS = "swift/trainers/arguments.py@4.6.0: __post_init__"


def detect(root: Node, document: Document) -> str | None:
    """The command, or in YAML and JSON a flat `model` with the key that names the tuner."""
    if not isinstance(root, Mapping):
        return None
    if document.syntax == "shell":
        return f"the command `{root.call}`" if _COMMAND.search(root.call or "") else None
    if not isinstance(root.get("model"), Scalar) and not isinstance(root.get("model_id_or_path"), Scalar):
        return None
    switch = next((key for key in _SWITCHES if key in root), None)
    if switch is not None:
        return f"model + {switch}"
    marks = [key for key in root.keys() if key in _MARKS]  # noqa: SIM118 - a Mapping, no dict
    return f"model + {marks[0]}" if len(marks) >= 3 and "dataset" in root and "learning_rate" in root else None


def read(root: Node, document: Document, signature: str, versions: Versions) -> Iterable[Reading]:
    """One run."""
    assert isinstance(root, Mapping)
    draft = Draft("ms-swift", "ms_swift", root, document, signature, versions)
    draft.switch = "tuner_type: lora"
    draft.fill()
    _method(draft, root)
    if draft.values.get("method") in ("sft", "pt"):
        draft.drop("loss.type")  # a loss of its own plugins
    _tuner(draft)
    _quantization(draft)
    _data(draft)
    if document.syntax == "shell":
        shell_commands.launch(draft)
    megatron = len([key for key in _MEGATRON if key in root]) >= 2
    if megatron:
        _megatron(draft, root)
    training_arguments.settle(draft)
    rate = 1e-5 if draft.values.get("adapter.method") == "none" else 1e-4
    draft.default("optimizer.learning_rate", rate, "swift/arguments/sft_args.py@4.6.0: _init_override", "learning_rate")
    draft.fill_defaults()
    if not megatron:
        _accumulation(draft)
        draft.check_keys(near_only=True)
    yield draft.finish()


def _megatron(draft: Draft, root: Mapping) -> None:
    """Megatron-SWIFT shares the keys for model, data and LoRA; those for training and the LoRA layers are its own."""
    for key, field in _MEGATRON.items():
        value = to_float(draft.raw(key))
        if isinstance(value, int) or not key.endswith("size"):
            draft.set(field, value, key)
    if "recompute_granularity" in root:
        on = str(draft.raw("recompute_granularity")).lower() != "none"
        draft.set("precision.gradient_checkpointing", on, "recompute_granularity")
    draft.facts |= {"own_lora": True, "stack": "megatron-swift"}
    # Defaults of transformers do not hold for these.
    draft.unreadable |= {
        "schedule.name", "schedule.warmup_ratio", "schedule.warmup_steps", "batch.micro_batch_size",
        "batch.eval_batch_size", "batch.gradient_accumulation_steps", "precision.gradient_checkpointing",
        "optimizer.name", "optimizer.max_grad_norm",
    }  # fmt: skip


def _method(draft: Draft, root: Mapping) -> None:
    match = _COMMAND.search(root.call or "")
    command = (match[1] or match[2]) if match else None
    kind = draft.raw("rlhf_type")
    if isinstance(kind, str) and kind in _METHODS:
        draft.set("method", kind, "rlhf_type")
    elif command == "rlhf":
        if not draft.has("rlhf_type"):
            draft.default("method", "dpo", "swift/arguments/rlhf_args.py@4.6.0: rlhf_type", "rlhf_type")
    elif command:
        draft.derive("method", command, (), f"the command `{root.call}`")


def _tuner(draft: Draft) -> None:
    key = next((name for name in _SWITCHES if draft.has(name)), None)
    kind = draft.raw(key) if key else None
    if isinstance(kind, str) and not isinstance(kind, Unresolved) and key:
        draft.set("adapter.method", "none" if kind == "full" else kind.lower(), key)
    elif key is None:
        source = "swift/arguments/base_args/base_args.py@4.6.0"
        draft.default("adapter.method", "lora", source, "tuner_type")
    regex = draft.raw("target_regex")
    if isinstance(regex, str) and regex and not isinstance(regex, Unresolved):
        draft.set("adapter.target_modules", regex, "target_regex")
        return
    for old, new in (("target_modules", "target_modules"), ("lora_target_modules", "lora_target_modules")):
        names = shell_commands.words(draft.node(old))
        if names:
            whole = [name for name in names if name.lower() in ("all-linear", "all")]
            draft.set("adapter.target_modules", "all-linear" if whole and len(names) == 1 else tuple(names), new)
            return


def _quantization(draft: Draft) -> None:
    """Bits count only together with a method (quant_args.py get_quantization_config), or under unsloth."""
    method, bits = draft.raw("quant_method"), to_float(draft.raw("quant_bits"))
    if draft.raw("tuner_backend") == "unsloth" and bits in (4, 8):  # swift/model/register.py@4.6.0
        draft.set("quantization.method", "bnb", "quant_bits")
        draft.set("quantization.bits", bits, "quant_bits")
        draft.derive(f"quantization.load_in_{bits:g}bit", True, ("quantization.bits",), f"{bits:g} bits under unsloth")
        return
    if isinstance(method, str) and not isinstance(method, Unresolved) and bits is not None:
        draft.set("quantization.method", method.lower(), "quant_method")
        draft.set("quantization.bits", bits, "quant_bits")
        if method == "bnb" and bits in (4, 8):
            draft.derive(f"quantization.load_in_{bits:g}bit", True, ("quantization.bits",), f"{bits:g} bits")
        if method == "bnb" and bits == 4:
            source = "swift/arguments/base_args/quant_args.py@4.6.0"
            draft.default("quantization.quant_type", "nf4", source, "bnb_4bit_quant_type")
            draft.default("quantization.double_quant", True, source, "bnb_4bit_use_double_quant")
            if "quantization.compute_dtype" not in draft.values and "model.dtype" in draft.values:
                kind = draft.values["model.dtype"]
                draft.derive("quantization.compute_dtype", kind, ("model.dtype",), "the model's torch_dtype")
    kind = draft.values.get("model.dtype")
    if kind in ("bfloat16", "float16", "float32"):
        # model_args.py _init_mixed_precision: both follow torch_dtype where they are not written
        how = "ms-swift sets it from torch_dtype"
        if "precision.bf16" not in draft.values:
            draft.derive("precision.bf16", kind == "bfloat16", ("model.dtype",), how)
        if "precision.fp16" not in draft.values:
            draft.derive("precision.fp16", kind != "bfloat16", ("model.dtype",), how)


def _data(draft: Draft) -> None:
    """`id#500` takes 500 examples."""
    listed = shell_commands.words(draft.node("dataset"))
    if listed:
        caps = [_CAP.search(name) for name in listed]
        draft.set("data.datasets", tuple(_CAP.sub("", name) for name in listed), "dataset")
        if all(caps):
            draft.set("data.max_samples", sum(int(cap[1]) for cap in caps if cap), "dataset")
    held_out = shell_commands.words(draft.node("val_dataset"))
    if held_out:
        draft.set("data.eval_datasets", tuple(_CAP.sub("", name) for name in held_out), "val_dataset")
    if (held_out or draft.values.get("data.val_size")) and not draft.has("eval_strategy"):
        source = "swift/arguments/sft_args.py@4.6.0: _init_eval_strategy"
        draft.default("run.eval_strategy", draft.values.get("run.save_strategy", "steps"), source, "eval_strategy")
    if isinstance(draft.node("max_epochs"), Scalar) and (epochs := to_float(draft.raw("max_epochs"))) is not None:
        draft.set("schedule.epochs", epochs, "max_epochs")
    if to_bool(draft.raw("use_liger_kernel")):
        draft.set("precision.fused_loss", "liger", "use_liger_kernel")


def _accumulation(draft: Draft) -> None:
    """Absent, it fills the batch up to 16 examples."""
    size = draft.values.get("batch.micro_batch_size")
    devices = draft.values.get("distributed.devices", 1)
    if isinstance(size, int) and size > 0:
        steps = max(1, math.ceil(16 / size / devices))
        draft.default("batch.gradient_accumulation_steps", steps, _ARGUMENTS, "gradient_accumulation_steps")
