"""georgian-io's LLM Finetuning Toolkit: one YAML whose values may be lists, each combination being a run."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice, product

from loraplan.document import Document, Mapping, Node, Scalar, Sequence
from loraplan.formats import training_arguments
from loraplan.formats.reading import Reading
from loraplan.formats.table import Draft, Versions

SIGNATURE = "`model.hf_model_ckpt` with sections `lora` and `training.training_args`"

_MAX_RUNS = 16
"""A grid beyond this many combinations is read no further: rules say the same of the rest."""
_SOURCE = "llmtune/pydantic_models/config_model.py@050e968: BitsAndBytesConfig"


def detect(root: Node, document: Document) -> str | None:
    """The model's key and the nested training arguments."""
    if not isinstance(root, Mapping):
        return None
    model, training = root.get("model"), root.get("training")
    if not isinstance(model, Mapping) or "hf_model_ckpt" not in model:
        return None
    nested = isinstance(training, Mapping) and isinstance(training.get("training_args"), Mapping)
    return "model.hf_model_ckpt + training.training_args" if nested or "lora" in root else None


def read(root: Node, document: Document, signature: str, versions: Versions) -> Iterable[Reading]:
    """Every combination of the values that are lists (lists of lists for the targets), up to a limit."""
    if not isinstance(root, Mapping):
        return
    draft = _draft(root, document, signature, versions)
    grid = _grid(draft)
    combinations = islice(product(*(items for _, items in grid)), _MAX_RUNS) if grid else [()]
    for combination in combinations:
        if grid:
            draft = _draft(root, document, signature, versions)
            draft.overrides = {key: node for (key, _), node in zip(grid, combination, strict=True)}
            draft.run_name = ", ".join(f"{key}={_text(node)}" for key, node in draft.overrides.items())
        yield _run(draft)


def _draft(root: Node, document: Document, signature: str, versions: Versions) -> Draft:
    return Draft("llm-toolkit", "llm_toolkit", root, document, signature, versions)


def _grid(draft: Draft) -> list[tuple[str, tuple[Node, ...]]]:
    """The keys that hold alternatives: any list, but for fields that are lists themselves only a list of lists."""
    grid: list[tuple[str, tuple[Node, ...]]] = []
    for row in draft.rows():
        node = draft.node(row["key"])
        if not isinstance(node, Sequence) or not node.items:
            continue
        if row["type"] in ("strs", "targets", "ints") and not isinstance(node.items[0], Sequence):
            continue
        grid.append((row["key"], node.items))
    return grid


def _text(node: Node) -> str:
    if isinstance(node, Scalar):
        return node.text
    return "[" + ", ".join(_text(item) for item in node.items) + "]" if isinstance(node, Sequence) else "{...}"


def _run(draft: Draft) -> Reading:
    draft.fill()
    draft.derive("method", "sft", (), "the toolkit fine-tunes on instructions")
    draft.derive("adapter.method", "lora", (), "the toolkit always trains LoRA")
    quantize = draft.raw("model.quantize")
    if quantize is True:
        draft.default("quantization.load_in_4bit", True, _SOURCE, "model.bitsandbytes.load_in_4bit")
        training_arguments.quantized(draft)
        if draft.values.get("quantization.bits") == 4:
            draft.default("quantization.quant_type", "nf4", _SOURCE, "model.bitsandbytes.bnb_4bit_quant_type")
            draft.default("quantization.double_quant", True, _SOURCE, "model.bitsandbytes.bnb_4bit_use_double_quant")
            draft.default(
                "quantization.compute_dtype", "bfloat16", _SOURCE, "model.bitsandbytes.bnb_4bit_compute_dtype"
            )
    elif quantize is None or quantize is False:
        for field in [name for name in draft.values if name.startswith("quantization.")]:
            draft.drop(field)
    training_arguments.settle(draft, ratio_steps=False)
    draft.fill_defaults()
    draft.check_keys(near_only=True)
    return draft.finish()
