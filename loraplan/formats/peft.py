"""PEFT's own `adapter_config.json`: an adapter's settings as `save_pretrained` writes them or `from_pretrained` reads.

It holds the adapter alone: no training settings are in it, and none are assumed.
"""

from __future__ import annotations

from collections.abc import Iterable

from loraplan.document import Document, Mapping, Node
from loraplan.formats.reading import Reading
from loraplan.formats.table import Draft, Versions

SIGNATURE = "a top-level `peft_type`"
_LORA_FIELDS = ("r", "lora_alpha", "target_modules", "lora_dropout", "base_model_name_or_path", "task_type")


def detect(root: Node, document: Document) -> str | None:
    """A top-level `peft_type`, with nothing beside it that belongs to a training config."""
    if not isinstance(root, Mapping) or "peft_type" not in root:
        return None
    if document.syntax == "yaml" and not any(key in root for key in _LORA_FIELDS):
        return None
    return None if "training_args" in root or "learning_rate" in root else "peft_type"


def read(root: Node, document: Document, signature: str, versions: Versions) -> Iterable[Reading]:
    """The adapter's settings; `facts["trained_adapter"]` says that no run is described."""
    if not isinstance(root, Mapping):
        return
    draft = Draft("peft", "peft", root, document, signature, versions)
    draft.fill()
    adapter(draft, "")
    kind = draft.raw("peft_type")
    method = kind.lower() if isinstance(kind, str) else "lora"
    draft.set("adapter.method", method, "peft_type")
    if method == "lora":
        draft.fill_defaults()
        draft.check_keys(near_only=True)  # later versions add fields, scripts add notes of their own
    draft.facts["trained_adapter"] = True
    yield draft.finish()


def adapter(draft: Draft, prefix: str) -> None:
    """What PEFT's keys mean beyond their value: `loftq_config` that is filled, the task."""
    loftq = draft.raw(f"{prefix}loftq_config")
    if isinstance(loftq, dict) and loftq:
        draft.set("adapter.loftq_config", True, f"{prefix}loftq_config")
    task = draft.values.get("adapter.task_type")
    if isinstance(task, str) and task in _TASKS:
        draft.derive("model.task", _TASKS[task], ("adapter.task_type",), "the adapter's task type")


_TASKS = {
    "CAUSAL_LM": "causal_lm",
    "SEQ_CLS": "sequence_classification",
    "TOKEN_CLS": "token_classification",
    "SEQ_2_SEQ_LM": "seq2seq_lm",
    "QUESTION_ANS": "question_answering",
    "FEATURE_EXTRACTION": "feature_extraction",
}
