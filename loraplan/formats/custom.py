"""Hand-rolled configs: whatever sections and names a project chose, read by the names that everybody uses.

No framework stands behind them, so an absent key means nothing: no defaults, except in a section that is plainly
handed to `BitsAndBytesConfig` (`facts["bnb_section"]` is its dotted key). Numbers that PyYAML reads as text may be
converted by the script, so they only count as "works".
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from loraplan.document import Document, Entry, KeyPath, Mapping, Node, Scalar, Sequence
from loraplan.formats import training_arguments
from loraplan.formats.reading import Reading
from loraplan.formats.table import Draft, Versions
from loraplan.formats.values import to_bool
from loraplan.origin import Default, Explicit

SIGNATURE = "`lora_alpha` or `lora_r` anywhere, or a section `lora`, `peft`, `qlora`, `lora_config` or `bnb_config`"

_DEPTH = 5
_MAX_RUNS = 64
# Words of a section's name -> what its plain names (`r`, `name`, `lr`) mean.
_WORDS = {
    "lora": "lora", "qlora": "lora", "peft": "lora", "adapter": "lora", "dora": "lora",
    "bnb": "quant", "bitsandbytes": "quant", "quantization": "quant", "quant": "quant", "quantize": "quant",
    "model": "model", "base_model": "model",
    "training": "train", "train": "train", "trainer": "train", "sft": "train", "optimizer": "train", "optim": "train",
    "optimization": "train", "hyperparameters": "train", "args": "train", "arguments": "train", "finetuning": "train",
    "finetune": "train", "scheduler": "train",
    "data": "data", "dataset": "data", "tokenizer": "data", "tokenization": "data",
}  # fmt: skip
_ELSEWHERE = frozenset(
    "inference generation evaluation eval serving deployment security monitoring wandb logging prompt export merge rag"
    " preprocessing embedding embeddings retriever vllm ollama api server test benchmark safety reward teacher".split()
)
_LORA_SECTIONS = ("lora", "qlora", "peft", "lora_config", "peft_config", "lora_params", "qlora_config", "adapter")
_SIGNS = ("lora_alpha", "lora_r", "lora_rank")
_BESIDE = frozenset(("r", "rank", "target_modules", "modules_to_save", "task_type", "bias"))
_OTHER_TOOLS = frozenset(("jobs", "services", "stages", "repos", "compute_environment", "apiVersion", "lora_modules"))
_BNB = "transformers/utils/quantization_config.py@5.23.0: BitsAndBytesConfig"


class _Found(NamedTuple):
    path: KeyPath
    entry: Entry
    kind: str
    """Of the section: `lora`, `quant`, `model`, `train`, `data`, or empty."""
    beside: bool
    """A LoRA setting stands in the same mapping."""


def detect(root: Node, document: Document) -> str | None:
    """A LoRA setting by one of its common names, at any level, or a list of scenarios with one."""
    if not isinstance(root, Mapping) or _OTHER_TOOLS & set(root.keys()) or _only_values(root):
        return None
    for path, entry, kind, _ in _entries(root, everywhere=True):
        name = entry.key.text.lower()
        dotted = ".".join(map(str, path))
        if name in _SIGNS and not isinstance(entry.value, Mapping):
            return dotted
        if name in _LORA_SECTIONS and isinstance(entry.value, Mapping):
            inner = set(map(str.lower, entry.value.keys()))
            if inner & {"r", "rank", "alpha", "lora_alpha", "target_modules", "lora_r", "lora_rank"}:
                return f"section {dotted}"
        if kind == "quant" and name.startswith("bnb_4bit"):
            return dotted
    return None


def _only_values(root: Mapping) -> bool:
    """A file of `{key: {value: ...}}` pairs: a logged run, not a config that anybody edits."""
    inner = [entry.value for entry in root.entries if isinstance(entry.value, Mapping)]
    return len(inner) >= 3 and sum("value" in mapping for mapping in inner) > len(root.entries) // 2


def read(root: Node, document: Document, signature: str, versions: Versions) -> Iterable[Reading]:
    """One run; with `scenarios`, one for each scenario and each of its models."""
    if not isinstance(root, Mapping):
        return
    scenarios = root.get("scenarios")
    if not isinstance(scenarios, Sequence):
        yield from _runs(root, (), root, document, signature, versions, None)
        return
    for index, item in enumerate(scenarios.items[:_MAX_RUNS]):
        arguments = item.get("arguments") if isinstance(item, Mapping) else None
        if isinstance(item, Mapping) and isinstance(arguments, Mapping):
            name = item.get("name")
            label = name.text if isinstance(name, Scalar) else f"scenario {index + 1}"
            path: KeyPath = ("scenarios", index, "arguments")
            yield from _runs(arguments, path, root, document, signature, versions, label)


def _runs(
    scope: Mapping,
    path: KeyPath,
    root: Mapping,
    document: Document,
    signature: str,
    versions: Versions,
    name: str | None,
) -> Iterator[Reading]:
    """A mapping's run; a list of base models makes one run each."""
    models = scope.get("model_name_or_path") or scope.get("base_model") or scope.get("model")
    alternatives: tuple[Node | None, ...] = models.items[:_MAX_RUNS] if isinstance(models, Sequence) else (None,)
    for model in alternatives:
        draft = Draft("custom", "custom", root, document, signature, versions, scope=scope, scope_path=path)
        draft.hand_rolled = True
        draft.run_name = name
        if isinstance(model, Scalar):
            draft.run_name = f"{name}: {model.text}" if name else model.text
            draft.values["model.name"] = model.text
            draft.origins["model.name"] = Explicit(document.path, path, model.span, None, model.shared)
        yield _read(draft, scope)


def _read(draft: Draft, scope: Mapping) -> Reading:
    found = list(_entries(scope))
    keys: dict[str, str] = {}
    rows = draft.table["keys"]
    by_name: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_name.setdefault(row["key"], []).append(row)
    best: dict[str, int] = {}
    for path, entry, kind, beside in found:
        for row in by_name.get(entry.key.text.lower(), ()):
            if not _fits(row, kind, len(path), beside=beside):
                continue
            field, rank = row["field"], rows.index(row) if row["field"] == "model.name" else 0
            if field in draft.values and (field not in best or best[field] <= rank):
                continue
            if _store(draft, row, path, entry):
                best[field] = rank
                keys[field] = ".".join(map(str, path))
    _switches(draft, scope, found)
    _quantization(draft, scope)
    training_arguments.settle(draft, ratio_steps=False)
    reading = draft.finish()
    reading.keys.update(keys)
    for dotted in keys.values():
        prefix = dotted.rpartition(".")[0]
        section = draft.node(prefix) if prefix else None
        if isinstance(section, Mapping):
            reading.sections[prefix] = section
    return reading


def _store(draft: Draft, row: dict[str, Any], path: KeyPath, entry: Entry) -> bool:
    """One entry as its field; a mapping or a list where a scalar belongs is some other thing of that name."""
    node, field = entry.value, row["field"]
    lists = row["type"] in ("targets", "strs", "ints")
    if (isinstance(node, Mapping) and row["type"] != "numbers") or (isinstance(node, Sequence) and not lists):
        return False
    if row.get("lora"):
        draft.lora_keys.setdefault(".".join(map(str, path)), entry.key.span)
    issues = len(draft.value_issues)
    value = draft.convert(node, row["type"], field)
    if field == "precision.gradient_checkpointing" and isinstance(value, str):
        value = _checkpointing(draft, value)
    if field == "adapter.target_modules" and isinstance(value, str) and "," in value and not set(value) & set("()[]|*"):
        value = tuple(part.strip() for part in value.split(",") if part.strip())  # the script splits it
    if value is None or value == ():
        if row["type"] == "bool":
            del draft.value_issues[issues:]  # a word where others write true or false
        return False
    draft.values[field] = value
    place = Explicit(draft.document.path, draft.scope_path + path, node.span, entry.key.span, node.shared)
    draft.origins[field] = place
    if field == "precision.gradient_checkpointing" and "precision.checkpointing_kind" in draft.values:
        draft.origins["precision.checkpointing_kind"] = place
    return True


def _checkpointing(draft: Draft, value: str) -> bool | None:
    flag = to_bool(value)
    if flag is None and value.lower() in ("unsloth", "offload"):
        draft.values["precision.checkpointing_kind"] = value.lower()
        return True
    return flag


def _fits(row: dict[str, Any], kind: str, depth: int, *, beside: bool) -> bool:
    where = row["where"]
    if where in ("any", kind) or (beside and where == "lora" and row["key"] in _BESIDE):
        return True
    return depth == 1 and where in ("flat", "top")


def _entries(scope: Mapping, *, everywhere: bool = False) -> Iterator[_Found]:
    """Entries with their path and kind of section, nearer to the root first, sections of other concerns left out."""
    queue: deque[tuple[Mapping, KeyPath, str]] = deque([(scope, (), "")])
    while queue:
        mapping, path, kind = queue.popleft()
        beside = any(sign in mapping for sign in _SIGNS)
        for entry in mapping.entries:
            here: KeyPath = (*path, entry.key.text)
            yield _Found(here, entry, kind, beside)
            if len(here) >= _DEPTH:
                continue
            name = entry.key.text.lower()
            if isinstance(entry.value, Mapping) and not _ELSEWHERE & set(name.split("_")):
                queue.append((entry.value, here, _kind(name) or kind))
            elif everywhere and isinstance(entry.value, Sequence):
                for index, item in enumerate(entry.value.items[:_MAX_RUNS]):
                    if isinstance(item, Mapping):
                        queue.append((item, (*here, index), kind))


def _kind(name: str) -> str | None:
    return _WORDS.get(name) or next((_WORDS[word] for word in name.split("_") if word in _WORDS), None)


def _switches(draft: Draft, scope: Mapping, found: list[_Found]) -> None:
    """`method: qlora`, `mixed_precision: bf16`, flash attention switches, and whether LoRA is on."""
    for path, entry, kind, _ in found:
        if not isinstance(entry.value, Scalar):
            continue
        name, value = entry.key.text.lower(), entry.value.text.lower()
        place = Explicit(draft.document.path, draft.scope_path + path, entry.value.span, entry.key.span)
        words = name in ("method", "peft_method", "finetuning_type", "peft_type", "adapter", "fine_tuning_method")
        if words and (kind in ("", "lora", "train") or len(path) == 1):
            if value in ("lora", "qlora", "dora"):
                draft.values["adapter.method"], draft.origins["adapter.method"] = "lora", place
            if value == "qlora" and "quantization.bits" not in draft.values:
                draft.values["quantization.bits"], draft.origins["quantization.bits"] = 4, place
        elif name == "mixed_precision" and value in ("bf16", "fp16"):
            field = f"precision.{value}"
            if field not in draft.values:
                draft.values[field], draft.origins[field] = True, place
        elif name in ("use_flash_attention", "use_flash_attn", "use_flash_attention_2") and to_bool(value):
            field = "model.attn_implementation"
            if field not in draft.values:
                draft.values[field], draft.origins[field] = "flash_attention_2", place
        elif _turns_lora_off(name, kind) and to_bool(value) is False:
            draft.values["adapter.method"], draft.origins["adapter.method"] = "none", place
    if draft.values.get("adapter.r") == 0 and "actor_rollout_ref" in scope:
        draft.values["adapter.method"] = "none"  # verl's way to say that there is no adapter
        draft.origins["adapter.method"] = draft.origins.pop("adapter.r")
        del draft.values["adapter.r"]
    if "adapter.method" not in draft.values and draft.lora_keys:
        fields = tuple(sorted(name for name in draft.values if name.startswith("adapter.")))
        draft.derive("adapter.method", "lora", fields, "LoRA settings are given")


def _turns_lora_off(name: str, kind: str) -> bool:
    return name in ("use_lora", "use_peft", "enable_lora") or (kind == "lora" and name in ("enabled", "enable", "use"))


def _quantization(draft: Draft, scope: Mapping) -> None:
    """Bits, and BitsAndBytesConfig's own defaults in a section that only it can be meant for."""
    quantize = draft.raw("quantize")
    if "quantization.quant_type" in draft.values and quantize is True and "quantization.bits" not in draft.values:
        draft.derive("quantization.bits", 4, ("quantization.quant_type",), "quantize with bnb_4bit settings")
    if "quantization.bits" not in draft.values:
        training_arguments.quantized(draft)
    elif draft.values.get("quantization.load_in_4bit"):
        draft.derive("quantization.method", "bnb", ("quantization.load_in_4bit",), "bitsandbytes switches")
    if draft.values.get("quantization.bits") != 4:
        return
    for path, entry, _, _ in _entries(scope):
        section = entry.value
        if not isinstance(section, Mapping) or _kind(entry.key.text.lower()) != "quant":
            continue
        if "load_in_4bit" not in section or not any(item.key.text.startswith("bnb_4bit_") for item in section.entries):
            continue
        dotted = ".".join(map(str, path))
        draft.facts["bnb_section"] = dotted
        for field, key, value in (
            ("quantization.quant_type", "bnb_4bit_quant_type", "fp4"),
            ("quantization.compute_dtype", "bnb_4bit_compute_dtype", "float32"),
            ("quantization.double_quant", "bnb_4bit_use_double_quant", False),
        ):
            if field not in draft.values and field not in draft.unreadable:
                draft.values[field] = value
                draft.origins[field] = Default("transformers", "5.23.0", _BNB, f"{dotted}.{key}")
        return
