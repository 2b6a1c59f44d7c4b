"""mlx-lm LoRA configs: `scale` is the multiplier itself, and only the last `num_layers` blocks are adapted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from loraplan.document import Document, Mapping, Node
from loraplan.formats.components import forget_defaults
from loraplan.formats.reading import Reading
from loraplan.formats.table import Draft, Versions
from loraplan.formats.values import Unresolved, to_bool, to_float

SIGNATURE = "`lora_parameters`, `fine_tune_type`, or `iters` with `num_layers` or `lora_layers`"

_SOURCE = "mlx_lm/lora.py@0.32.2"
_TUNER = "mlx_lm/tuner/utils.py@0.32.2"
_SCHEDULES = {"cosine_decay": "cosine", "linear_schedule": "linear", "exponential_decay": "exponential"}


def detect(root: Node, document: Document) -> str | None:
    """The signature found, or None."""
    if not isinstance(root, Mapping) or isinstance(root.get("model"), Mapping):
        return None
    own = {"iters", "adapter_path", "num_layers", "lora_layers", "steps_per_report", "steps_per_eval", "val_batches"}
    shared = own & set(root.keys())
    for key in ("lora_parameters", "fine_tune_type"):
        if key in root and (shared or "model" in root):
            return key
    if "iters" in shared and shared & {"num_layers", "lora_layers", "adapter_path"}:
        return "iters + num_layers"
    return None


def read(root: Node, document: Document, signature: str, versions: Versions) -> Iterable[Reading]:
    """The one run that the file describes."""
    draft = Draft("mlx-lm", "mlx_lm", root, document, signature, versions)
    draft.fill()
    lora = _adapter(draft)
    draft.derive("method", "sft", (), "mlx_lm.lora trains on text or chats")
    _quantization(draft)
    _training(draft)
    draft.fill_defaults()
    _steps(draft)
    if not lora:
        forget_defaults(draft, "adapter")
        draft.lora_keys.clear()  # an example config keeps `lora_parameters` beside `fine_tune_type: full`
    draft.check_keys(near_only=True)
    yield draft.finish()


def _adapter(draft: Draft) -> bool:
    kind = draft.raw("fine_tune_type")
    kind = kind.lower() if isinstance(kind, str) else None
    lora = kind in (None, "lora", "dora")
    if kind is None:
        draft.default("adapter.method", "lora", _SOURCE, "fine_tune_type")
    else:
        draft.set("adapter.method", "lora" if lora else "none", "fine_tune_type")
    if not lora:
        return False
    if kind is None:
        draft.default("adapter.use_dora", False, _SOURCE, "fine_tune_type")
    else:
        draft.set("adapter.use_dora", kind == "dora", "fine_tune_type")
    if not draft.has("lora_parameters"):
        # The section is one default: written, it must be whole (lora.py fills in nothing below it).
        draft.default("adapter.r", 8, _SOURCE, "lora_parameters.rank")
        draft.default("adapter.dropout", 0.0, _SOURCE, "lora_parameters.dropout")
        draft.default("adapter.scaling", 20.0, _SOURCE, "lora_parameters.scale")
    draft.default("adapter.target_modules", "all-linear", _TUNER, "lora_parameters.keys")
    for key in ("num_layers", "lora_layers"):
        count = draft.raw(key)
        if isinstance(count, int) and not isinstance(count, bool):
            draft.facts["last_layers"] = None if count == -1 else count
            break
    else:
        draft.facts["last_layers"] = 16
    return True


def _quantization(draft: Draft) -> None:
    """mlx-lm trains on quantized weights as the model repository stores them; its name says how many bits."""
    name = draft.values.get("model.name")
    if not isinstance(name, str):
        return
    words = name.lower().replace("_", "-").split("-")
    for bits in (4, 8):
        if f"{bits}bit" in words:
            draft.set("quantization.bits", bits, "model")
            draft.derive("quantization.method", "mlx", ("model.name",), "the model's name")


def _training(draft: Draft) -> None:
    if isinstance(path := draft.raw("data"), str) and not isinstance(path, Unresolved):
        draft.set("data.datasets", (path,), "data")
    if (masked := to_bool(draft.raw("mask_prompt"))) is not None:
        draft.set("data.train_on_prompt", not masked, "mask_prompt")
    else:
        draft.default("data.train_on_prompt", True, _SOURCE, "mask_prompt")
    schedule = draft.raw("lr_schedule")
    if isinstance(schedule, dict):
        name = schedule.get("name")
        if isinstance(name, str):
            draft.set("schedule.name", _SCHEDULES.get(name, name), "lr_schedule.name")
        _peak_rate(draft, schedule.get("arguments"))
        draft.default("schedule.warmup_steps", 0, _TUNER, "lr_schedule.warmup")
    else:
        draft.default("schedule.name", "constant", _SOURCE, "lr_schedule")
        draft.default("schedule.warmup_steps", 0, _SOURCE, "lr_schedule")


def _peak_rate(draft: Draft, arguments: Any) -> None:
    """With a schedule, its first argument is the peak rate and `learning_rate` is not read."""
    rate = to_float(arguments[0]) if isinstance(arguments, list) and arguments else None
    draft.set("optimizer.learning_rate", rate, "lr_schedule.arguments")


def _steps(draft: Draft) -> None:
    """`iters` counts batches; the optimizer steps once every `grad_accumulation_steps` of them."""
    iters, accumulation = draft.values.get("schedule.max_steps"), draft.values.get("batch.gradient_accumulation_steps")
    if isinstance(iters, int) and isinstance(accumulation, int) and accumulation > 1:
        draft.derive(
            "schedule.max_steps", max(iters // accumulation, 1), ("batch.gradient_accumulation_steps",),
            "iters // grad_accumulation_steps",
        )  # fmt: skip
