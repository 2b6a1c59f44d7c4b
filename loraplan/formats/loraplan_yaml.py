"""LoRAPlan's own config, `loraplan.yaml`: the Plan's field names, nested by section; no defaults stand behind it."""

from __future__ import annotations

from collections.abc import Iterable

from loraplan.document import Document, Mapping, Node
from loraplan.formats.reading import Reading
from loraplan.formats.table import Draft, Versions
from loraplan.plan import SECTIONS, field_names

SIGNATURE = "a `loraplan: 1` key, or only LoRAPlan's own sections (`model`, `adapter`, `optimizer`, ...)"

VERSION = 1
"""Of the file format; a file states it under `loraplan`."""


def detect(root: Node, document: Document) -> str | None:
    """The signature found, or None."""
    if not isinstance(root, Mapping):
        return None
    if "loraplan" in root:
        return "loraplan"
    keys = set(root.keys())
    if not keys or not keys <= {*SECTIONS, "method"} or not keys & {"adapter", "model"}:
        return None
    fields = field_names()
    for section in keys - {"method"}:
        node = root.get(section)
        if not isinstance(node, Mapping):
            return None
        if any(f"{section}.{entry.key.text}" not in fields for entry in node.entries):
            return None
    return "the Plan's sections"


def read(root: Node, document: Document, signature: str, versions: Versions) -> Iterable[Reading]:
    """The one run that the file describes."""
    draft = Draft("loraplan", "loraplan", root, document, signature, versions)
    draft.fill()
    draft.switch = "adapter.method: lora"
    if "adapter.method" not in draft.values and isinstance(draft.node("adapter"), Mapping):
        draft.derive("adapter.method", "lora", (), "there is an adapter section")
    for bits, field in ((4, "quantization.load_in_4bit"), (8, "quantization.load_in_8bit")):
        if draft.values.get(field) is True and "quantization.bits" not in draft.values:
            draft.derive("quantization.bits", bits, (field,), field.rpartition(".")[2])
    draft.check_keys()
    yield draft.finish()
