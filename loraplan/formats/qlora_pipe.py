"""qlora-pipe TOML configs: pipeline-parallel training with bitsandbytes settings passed through."""

from __future__ import annotations

from collections.abc import Iterable

from loraplan.document import Document, Mapping, Node
from loraplan.formats.components import dtype_name, optimizer_name, set_at
from loraplan.formats.reading import Reading
from loraplan.formats.table import Draft, Versions
from loraplan.formats.values import to_bool, to_float

SIGNATURE = "`model` with `pipeline_stages` or `micro_batch_size_per_gpu`, and `lora_rank` or an `[optimizer]` table"

_SOURCE = "train.py@a0956d85"
_MOST_LAYERS = 1024


def detect(root: Node, document: Document) -> str | None:
    """The signature found, or None."""
    if not isinstance(root, Mapping) or "model" not in root:
        return None
    if "pipeline_stages" in root or "micro_batch_size_per_gpu" in root:
        if "lora_rank" in root:
            return "lora_rank + pipeline_stages"
        if "full_fine_tune" in root or isinstance(root.get("optimizer"), Mapping):
            return "pipeline_stages + optimizer"
    return None


def read(root: Node, document: Document, signature: str, versions: Versions) -> Iterable[Reading]:
    """The one run that the file describes."""
    draft = Draft("qlora-pipe", "qlora_pipe", root, document, signature, versions)
    draft.fill()
    draft.switch = "full_fine_tune = false"
    full = to_bool(draft.raw("full_fine_tune")) is True
    if draft.has("full_fine_tune"):
        draft.set("adapter.method", "none" if full else "lora", "full_fine_tune")
    else:
        draft.default("adapter.method", "lora", _SOURCE, "full_fine_tune")
    _layers(draft)
    _quantization(draft)
    _training(draft)
    _data(draft)
    if full:
        draft.drop("adapter.target_modules")
    else:
        draft.fill_defaults()
    draft.check_keys(near_only=True)
    yield draft.finish()


def _layers(draft: Draft) -> None:
    """`"16:31,40:47"`: ranges with both ends included."""
    spec = draft.raw("layers_to_transform")
    if not isinstance(spec, str):
        return
    layers: list[int] = []
    for part in spec.split(","):
        first, _, last = part.partition(":")
        if not first.strip().isdecimal() or not last.strip().isdecimal() or len(first) > 6 or len(last) > 6:
            return
        layers += range(int(first), min(int(last), int(first) + _MOST_LAYERS) + 1)
    draft.set("adapter.layers_to_transform", tuple(layers[:_MOST_LAYERS]), "layers_to_transform")


def _quantization(draft: Draft) -> None:
    for bits, field in ((4, "quantization.load_in_4bit"), (8, "quantization.load_in_8bit")):
        if draft.values.get(field) is True:
            key = f"quantization.bnb.{field.rpartition('.')[2]}"
            draft.set("quantization.bits", bits, key if draft.has(key) else field.rpartition(".")[2])
            draft.derive("quantization.method", "bnb", ("quantization.bits",), "the bnb table")
            break
    else:
        if not draft.has("quantization"):
            draft.derive("quantization.bits", 16, (), "no quantization table")
    compute = draft.values.get("quantization.compute_dtype")
    if compute is not None:
        draft.values["quantization.compute_dtype"] = dtype_name(compute) or compute


def _training(draft: Draft) -> None:
    method = draft.raw("rl.method")
    if isinstance(method, str):
        draft.set("method", method.lower(), "rl.method")
    else:
        draft.derive("method", "sft", (), "no rl table")
    draft.set("optimizer.name", optimizer_name(draft.raw("optimizer.type")), "optimizer.type")
    warmup = draft.values.get("schedule.warmup_steps")
    name = draft.raw("lr_scheduler")
    if name in (None, "constant", "none"):  # warmup is a scheduler of its own here, whatever follows it
        name = "constant_with_warmup" if warmup else "constant"
    if draft.has("lr_scheduler"):
        draft.set("schedule.name", str(name), "lr_scheduler")
    else:
        draft.default("schedule.name", str(name), _SOURCE, "lr_scheduler")
    draft.default("schedule.warmup_steps", 0, _SOURCE, "warmup_steps")
    kind = dtype_name(draft.raw("model_weight_dtype"))
    draft.set("model.dtype", kind, "model_weight_dtype")
    checkpointing = draft.raw("activation_checkpointing")
    if checkpointing == "unsloth":
        draft.set("precision.checkpointing_kind", "unsloth", "activation_checkpointing")
        draft.set("precision.gradient_checkpointing", True, "activation_checkpointing")
    else:
        draft.set("precision.gradient_checkpointing", to_bool(checkpointing), "activation_checkpointing")


def _data(draft: Draft) -> None:
    sections = draft.raw("datasets")
    if not isinstance(sections, list):
        return
    names = [section.get("dataset_path") for section in sections if isinstance(section, dict)]
    draft.set("data.datasets", tuple(name for name in names if isinstance(name, str)) or None, "datasets")
    lengths = [to_float(section.get("sequence_len")) for section in sections if isinstance(section, dict)]
    known = [length for length in lengths if length is not None]
    if known:
        longest = max(known)
        set_at(draft, "data.max_length", int(longest), ("datasets", lengths.index(longest), "sequence_len"))
