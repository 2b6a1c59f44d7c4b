"""litgpt finetune configs: one switch per module group, and batch sizes counted over all devices."""

from __future__ import annotations

from collections.abc import Iterable

from loraplan.document import Document, Mapping, Node
from loraplan.formats.components import (
    folder_name,
    forget_defaults,
    forgive,
    optimizer_defaults,
    optimizer_name,
    set_betas,
)
from loraplan.formats.reading import Reading
from loraplan.formats.table import Draft, Versions
from loraplan.formats.values import Unresolved

SIGNATURE = "`checkpoint_dir` with `lora_r` or `lora_query`, or `train.global_batch_size` with `data.class_path`"

_SOURCE = "litgpt/finetune/lora.py@0.5.13"
_LORA_SWITCHES = ("lora_query", "lora_key", "lora_value", "lora_projection", "lora_mlp", "lora_head")
_ON_BY_DEFAULT = ("lora_query", "lora_value")

# litgpt's own module names differ from transformers'; these are transformers' for the same weights, by the beginning
# of the model's name (litgpt/scripts/convert_hf_checkpoint.py@0.5.13 has both).
_LLAMA = {
    "lora_query": ("q_proj",), "lora_key": ("k_proj",), "lora_value": ("v_proj",), "lora_projection": ("o_proj",),
    "lora_mlp": ("gate_proj", "up_proj", "down_proj"), "lora_head": ("lm_head",),
}  # fmt: skip
_NEOX = {
    "lora_query": ("query_key_value",), "lora_key": ("query_key_value",), "lora_value": ("query_key_value",),
    "lora_projection": ("dense",), "lora_mlp": ("dense_h_to_4h", "dense_4h_to_h"), "lora_head": ("embed_out",),
}  # fmt: skip
_FALCON = {**_NEOX, "lora_head": ("lm_head",)}
_PHI2 = {**_LLAMA, "lora_projection": ("dense",), "lora_mlp": ("fc1", "fc2")}
_PHI3 = {
    **_LLAMA, "lora_query": ("qkv_proj",), "lora_key": ("qkv_proj",), "lora_value": ("qkv_proj",),
    "lora_mlp": ("gate_up_proj", "down_proj"),
}  # fmt: skip
_FAMILIES = (
    ("pythia", _NEOX), ("stablelm-base-alpha", _NEOX), ("stablelm-tuned-alpha", _NEOX), ("redpajama", _NEOX),
    ("dolly-v2", _NEOX), ("falcon-7b", _FALCON), ("falcon-40b", _FALCON), ("falcon-180b", _FALCON),
    ("phi-1", _PHI2), ("phi-2", _PHI2), ("phi-3", _PHI3), ("phi-4", _PHI3),
)  # fmt: skip

_QUANTIZE = {
    "bnb.nf4": (4, "nf4", False), "bnb.nf4-dq": (4, "nf4", True),
    "bnb.fp4": (4, "fp4", False), "bnb.fp4-dq": (4, "fp4", True),
    "bnb.int8-training": (8, None, None),
}  # fmt: skip
_PRECISION = {
    "bf16-true": ("bfloat16", True, False), "bf16-mixed": ("float32", True, False),
    "16-true": ("float16", False, True), "16-mixed": ("float32", False, True),
    "32-true": ("float32", False, False), "32": ("float32", False, False),
}  # fmt: skip


def detect(root: Node, document: Document) -> str | None:
    """The signature found, or None."""
    if not isinstance(root, Mapping):
        return None
    train, data = root.get("train"), root.get("data")
    if "checkpoint_dir" in root and ("lora_r" in root or any(switch in root for switch in _LORA_SWITCHES)):
        return "checkpoint_dir + lora_*"
    if isinstance(train, Mapping) and "global_batch_size" in train and "micro_batch_size" in train:
        if isinstance(data, Mapping) and "class_path" in data:
            return "train.global_batch_size + data.class_path"
        if "checkpoint_dir" in root:
            return "checkpoint_dir + train.global_batch_size"
    return None


def read(root: Node, document: Document, signature: str, versions: Versions) -> Iterable[Reading]:
    """The one run that the file describes."""
    draft = Draft("litgpt", "litgpt", root, document, signature, versions)
    draft.fill()
    forgive(draft, "auto")
    lora = _is_lora(draft)
    pretrain = draft.has("model_name") and not draft.has("checkpoint_dir")
    _model(draft)
    if lora:
        _targets(draft)
        _quantization(draft)
    else:
        draft.derive("adapter.method", "none", (), "no lora_* key: a full fine-tuning config")
        draft.switch = "lora_r: 8, and the command litgpt finetune_lora"
    draft.derive("method", "pt" if pretrain else "sft", (), "the recipe")
    _optimizer(draft)
    _precision(draft)
    _data(draft)
    if not pretrain:
        draft.fill_defaults()
        draft.default("schedule.name", "cosine", _SOURCE)
        _devices(draft)
    if not lora:
        forget_defaults(draft, "adapter", "run")
    draft.check_keys()
    yield draft.finish()


def _is_lora(draft: Draft) -> bool:
    """LoRA by its own keys; else by the names of the file and its output, since every LoRA key may be left out."""
    key = next((name for name in ("lora_r", *_LORA_SWITCHES, "lora_alpha", "lora_dropout") if draft.has(name)), None)
    if key is not None:
        draft.derive("adapter.method", "lora", (), f"{key} is a key of litgpt finetune_lora")
        return True
    file = folder_name(draft.document.path) or ""
    output = draft.raw("out_dir")
    hinted = draft.has("quantize") or "lora" in file or (isinstance(output, str) and "lora" in output)
    if hinted and "adapter" not in file:
        draft.derive("adapter.method", "lora", (), "quantize, the file's or the output's name: finetune_lora")
        return True
    return False


def _model(draft: Draft) -> None:
    path = draft.raw("checkpoint_dir")
    if isinstance(path, str) and not isinstance(path, Unresolved):
        draft.set("model.name", _hub_id(path), "checkpoint_dir")
    elif isinstance(name := draft.raw("model_name"), str):
        draft.set("model.name", name, "model_name")


def _hub_id(path: str) -> str:
    """`checkpoints/google/gemma-2b` -> `google/gemma-2b`: litgpt downloads into that folder."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if "checkpoints" in parts:
        parts = parts[parts.index("checkpoints") + 1 :]
        return "/".join(parts) if len(parts) == 2 else path
    return path


def switches(model: str | None) -> dict[str, tuple[str, ...]]:
    """Switch -> transformers' names of the modules that it adapts in a model."""
    leaf = (folder_name(model) or "").lower()
    return next((table for prefix, table in _FAMILIES if leaf.startswith(prefix)), _LLAMA)


def _targets(draft: Draft) -> None:
    """litgpt's switches as transformers' module names; `facts["litgpt_targets"]` keeps the switches that are on."""
    names = switches(draft.values.get("model.name"))
    on: list[str] = []
    written: str | None = None
    for switch in _LORA_SWITCHES:
        value = draft.raw(switch)
        if value is True:
            written = written or switch
        if value is True or (value is None and switch in _ON_BY_DEFAULT):
            on.append(switch)
    targets = tuple(dict.fromkeys(name for switch in on for name in names[switch]))
    first = written or next((switch for switch in _LORA_SWITCHES if draft.has(switch)), None)
    if first is not None:
        draft.set("adapter.target_modules", targets, first)
    else:
        draft.default("adapter.target_modules", targets, _SOURCE, "lora_query")
    draft.facts["litgpt_targets"] = tuple(on)


def _quantization(draft: Draft) -> None:
    value = draft.raw("quantize")
    if value in (None, ""):
        draft.default("quantization.bits", 16, _SOURCE, "quantize")
        return
    known = _QUANTIZE.get(value) if isinstance(value, str) else None
    if known is None:
        return
    bits, kind, double = known
    draft.set("quantization.bits", bits, "quantize")
    draft.set("quantization.method", "bnb", "quantize")
    draft.set("quantization.quant_type", kind, "quantize")
    draft.set("quantization.double_quant", double, "quantize")
    precision = draft.raw("precision")
    if isinstance(precision, str) and precision in _PRECISION and bits == 4:
        draft.derive("quantization.compute_dtype", _PRECISION[precision][0], ("model.dtype",), "litgpt's precision")


def _optimizer(draft: Draft) -> None:
    """`optimizer` is a class name or `class_path` with `init_args`; a quantized base always gets a paged AdamW."""
    value = draft.raw("optimizer")
    key = "optimizer"
    if isinstance(value, dict):
        value, key = value.get("class_path"), "optimizer.class_path"
    elif draft.has("train.learning_rate"):
        set_betas(draft, "optimizer.init_args.betas")
    if value is None:
        value = "AdamW"
    if not isinstance(value, str) or isinstance(value, Unresolved):
        return
    path = value if "." in value else f"torch.optim.{value}"
    if draft.values.get("quantization.bits") in (4, 8):
        draft.derive(
            "optimizer.name", "paged_adamw_32bit", ("quantization.bits",), "litgpt pairs bitsandbytes with PagedAdamW"
        )
    elif draft.has("optimizer"):
        draft.set("optimizer.name", optimizer_name(path), key)
    else:
        draft.default("optimizer.name", optimizer_name(path), _SOURCE, "optimizer")
    set_betas(draft, "optimizer.init_args.betas")
    optimizer_defaults(draft, path, "optimizer.init_args")


def _precision(draft: Draft) -> None:
    value = draft.raw("precision")
    if isinstance(value, str) and value in _PRECISION:
        dtype, bf16, fp16 = _PRECISION[value]
        draft.set("model.dtype", dtype, "precision")
        draft.set("precision.bf16", bf16, "precision")
        draft.set("precision.fp16", fp16, "precision")


def _data(draft: Draft) -> None:
    data = draft.raw("data")
    if isinstance(data, str):
        draft.set("data.datasets", (data,), "data")
    elif isinstance(data, dict):
        for key in ("init_args.json_path", "init_args.repo_id", "class_path"):
            value = draft.raw(f"data.{key}")
            if isinstance(value, str) and not isinstance(value, Unresolved):
                draft.set("data.datasets", (value,), f"data.{key}")
                break
    masked = draft.raw("data.init_args.mask_prompt")
    if isinstance(masked, bool):
        draft.set("data.train_on_prompt", not masked, "data.init_args.mask_prompt")
    fraction, epochs = draft.raw("train.lr_warmup_fraction"), draft.values.get("schedule.epochs")
    if isinstance(fraction, int | float) and isinstance(epochs, int | float) and epochs > 0:
        draft.set("schedule.warmup_ratio", fraction / epochs, "train.lr_warmup_fraction")


def _devices(draft: Draft) -> None:
    """Devices over all nodes, and the accumulation that litgpt works out from the global batch."""
    devices, nodes = draft.values.get("distributed.devices"), draft.raw("num_nodes")
    if not isinstance(devices, int) or devices < 1:
        draft.drop("distributed.devices")
        return
    if isinstance(nodes, int) and not isinstance(nodes, bool) and 1 < nodes < 2**31:
        devices *= nodes
        draft.derive("distributed.devices", devices, (), "devices x num_nodes")
    draft.derive(
        "distributed.strategy", "single" if devices == 1 else "fsdp2", ("distributed.devices",), "litgpt's choice"
    )
    draft.derive(
        "precision.gradient_checkpointing", devices > 1, ("distributed.devices",), "litgpt checkpoints only under FSDP"
    )
    total, micro = draft.values.get("batch.global_batch_size"), draft.values.get("batch.micro_batch_size")
    if isinstance(total, int) and isinstance(micro, int) and micro > 0 and total // devices // micro > 0:
        draft.derive(
            "batch.gradient_accumulation_steps", total // devices // micro,
            ("batch.global_batch_size", "batch.micro_batch_size", "distributed.devices"),
            "global_batch_size // devices // micro_batch_size",
        )  # fmt: skip
