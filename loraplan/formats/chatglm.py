"""ChatGLM3's and GLM-4's YAML: `training_args` of transformers and `peft_config` of PEFT side by side."""

from __future__ import annotations

from collections.abc import Iterable

from loraplan.document import Document, Mapping, Node
from loraplan.formats import training_arguments
from loraplan.formats.peft import adapter
from loraplan.formats.reading import Reading
from loraplan.formats.table import Draft, Versions
from loraplan.formats.values import Unresolved

SIGNATURE = "sections `training_args` and `data_config`, with `peft_config` or `max_input_length`"


def detect(root: Node, document: Document) -> str | None:
    """Both sections, and one of the keys that only this script reads beside them."""
    if not isinstance(root, Mapping):
        return None
    if not isinstance(root.get("training_args"), Mapping) or not isinstance(root.get("data_config"), Mapping):
        return None
    if isinstance(root.get("peft_config"), Mapping):
        return "training_args + peft_config"
    return "training_args + max_input_length" if "max_input_length" in root else None


def read(root: Node, document: Document, signature: str, versions: Versions) -> Iterable[Reading]:
    """One run; the base model is named on the command line."""
    if not isinstance(root, Mapping):
        return
    draft = Draft("chatglm", "chatglm", root, document, signature, versions)
    draft.switch = "peft_config: {peft_type: LORA}"
    draft.fill()
    kind = draft.raw("peft_config.peft_type")
    if isinstance(kind, str) and not isinstance(kind, Unresolved):
        draft.set("adapter.method", kind.lower(), "peft_config.peft_type")
    else:
        draft.default("adapter.method", "none", draft.table["source"], "peft_config.peft_type")
    adapter(draft, "peft_config.")
    draft.derive("method", "sft", (), "the script fine-tunes on conversations")
    lengths = [draft.raw(key) for key in ("max_input_length", "max_output_length")]
    if all(isinstance(length, int) and not isinstance(length, bool) for length in lengths):
        # ChatGLM3 00930ac finetune_demo/finetune_hf.py process_batch
        draft.derive("data.max_length", sum(lengths) + 1, (), "max_input_length + max_output_length + 1")
    training_arguments.settle(draft)
    training_arguments.parallel(draft, "training_args.deepspeed", "training_args.fsdp", "training_args.fsdp_config")
    draft.fill_defaults()
    draft.check_keys(near_only=True)
    yield draft.finish()
