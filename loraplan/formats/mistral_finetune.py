"""mistral-finetune configs: `scaling` is the multiplier itself, and every linear layer is adapted."""

from __future__ import annotations

from collections.abc import Iterable

from loraplan.document import Document, Mapping, Node
from loraplan.formats.components import forget_defaults
from loraplan.formats.reading import Reading
from loraplan.formats.table import Draft, Versions
from loraplan.formats.values import Unresolved, to_bool

SIGNATURE = "`model_id_or_path` with `lora.rank`, `optim.pct_start` or `num_microbatches`"

_ARGS = "model/args.py@1943535d"
_MODEL = "model/lora.py@1943535d"
_TRAIN = "train.py@1943535d"


def detect(root: Node, document: Document) -> str | None:
    """The signature found, or None."""
    if not isinstance(root, Mapping) or "model_id_or_path" not in root:
        return None
    lora, optim = root.get("lora"), root.get("optim")
    if isinstance(lora, Mapping) and "rank" in lora:
        return "model_id_or_path + lora.rank"
    if isinstance(optim, Mapping) and "pct_start" in optim:
        return "model_id_or_path + optim.pct_start"
    return "model_id_or_path + num_microbatches" if "num_microbatches" in root else None


def read(root: Node, document: Document, signature: str, versions: Versions) -> Iterable[Reading]:
    """The one run that the file describes."""
    draft = Draft("mistral-finetune", "mistral_finetune", root, document, signature, versions)
    draft.fill()
    draft.switch = "lora.enable: true"
    lora = to_bool(draft.raw("lora.enable")) is not False
    if draft.has("lora.enable"):
        draft.set("adapter.method", "lora" if lora else "none", "lora.enable")
    else:
        draft.default("adapter.method", "lora", _ARGS, "lora.enable")
    if lora:
        draft.default("adapter.target_modules", "all-linear", _MODEL)
    draft.derive("method", "sft", (), "mistral-finetune trains on instructions or text")
    draft.default("schedule.name", "cosine", _TRAIN)
    draft.default("optimizer.name", "adamw_torch", _TRAIN)
    draft.default("optimizer.beta1", 0.9, _TRAIN)
    draft.default("optimizer.beta2", 0.95, _TRAIN)
    draft.default("precision.bf16", True, _TRAIN)
    names = [draft.raw(key) for key in ("data.instruct_data", "data.data")]
    found = tuple(name for name in names if isinstance(name, str) and name and not isinstance(name, Unresolved))
    if found:
        draft.set("data.datasets", found, "data.instruct_data" if found[0] == names[0] else "data.data")
    draft.fill_defaults()
    for field in ("run.eval_steps", "run.save_steps"):  # 0 switches them off
        if not draft.values.get(field):
            draft.drop(field)
    if not lora:
        forget_defaults(draft, "adapter")
    yield draft.finish()
