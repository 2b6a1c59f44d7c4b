"""The calls in a Python script that describe a training run, gathered as sections of one mapping."""

from __future__ import annotations

import re
from collections.abc import Iterator

from loraplan.document import Entry, Mapping, Node, Scalar, Sequence, Span, walk
from loraplan.formats.table import Draft
from loraplan.origin import Explicit

# Class of the trainer's arguments -> the method it trains with; None where the class does not tell.
ARGUMENTS: dict[str, str | None] = {
    "SFTConfig": "sft", "DPOConfig": "dpo", "GRPOConfig": "grpo", "KTOConfig": "kto", "ORPOConfig": "orpo",
    "CPOConfig": "cpo", "RewardConfig": "reward", "RLOOConfig": "rloo", "PPOConfig": "ppo",
    "TrainingArguments": None, "Seq2SeqTrainingArguments": None, "UnslothTrainingArguments": None,
}  # fmt: skip
TRAINERS: dict[str, str | None] = {
    "SFTTrainer": "sft", "DPOTrainer": "dpo", "GRPOTrainer": "grpo", "KTOTrainer": "kto", "ORPOTrainer": "orpo",
    "CPOTrainer": "cpo", "RewardTrainer": "reward", "RLOOTrainer": "rloo", "PPOTrainer": "ppo",
    "Trainer": None, "Seq2SeqTrainer": None, "UnslothTrainer": None,
}  # fmt: skip
_NOT_MODELS = re.compile(r"(?:Tokenizer|Processor|Config|Extractor|Peft|Adapter|Dataset|Pipeline|VAE|Scheduler)")
_SLICE = re.compile(r"\[:([0-9]{1,12})\]$")
_MAX_NODES = 50_000


def calls(root: Node) -> Iterator[Mapping]:
    """Every call, in source order; those behind a resolved name come once, where they are written."""
    for index, (_, node) in enumerate(walk(root)):
        if index > _MAX_NODES:
            return
        if isinstance(node, Mapping) and node.call and not node.shared:
            yield node


def last_name(call: Mapping) -> str:
    """`transformers.TrainingArguments` -> `TrainingArguments`."""
    return (call.call or "").rpartition(".")[2]


def loads_model(call: Mapping) -> bool:
    """Whether a call is `SomeModel.from_pretrained`."""
    owner, _, name = (call.call or "").rpartition(".")
    return name == "from_pretrained" and bool(owner) and not _NOT_MODELS.search(owner)


def scope(sections: dict[str, Mapping | None], root: Mapping) -> Mapping:
    """The sections as one mapping, so that a table's keys are `LoraConfig.r` and the like."""
    entries = [
        Entry(Scalar(name, Span(call.span.start, call.span.start)), call)
        for name, call in sections.items()
        if call is not None
    ]
    return Mapping(tuple(entries), root.span)


def method(draft: Draft, arguments: Mapping | None, trainer: Mapping | None) -> None:
    """`method` from the classes of the trainer and its arguments."""
    for call, table in ((trainer, TRAINERS), (arguments, ARGUMENTS)):
        name = last_name(call) if call is not None else ""
        if table.get(name):
            draft.derive("method", table[name], (), f"the class {name}")
            return


def datasets(draft: Draft, found: list[Mapping]) -> None:
    """What `load_dataset` loads for training, with the cap that a split such as `train[:1000]` sets."""
    names: list[Scalar] = []
    caps: list[int] = []
    for call in found:
        if last_name(call) != "load_dataset":
            continue
        name, split = call.get("0") or call.get("path"), call.get("split")
        text = split.text if isinstance(split, Scalar) and split.tag == "str" else ""
        if isinstance(name, Scalar) and name.tag == "str" and not text.startswith(("test", "val", "eval")):
            names.append(name)
            cap = _SLICE.search(text)
            caps.extend([int(cap[1])] if cap else [])
    if not names:
        return
    place = Explicit(draft.document.path, ("load_dataset", "0"), names[0].span, None, names[0].shared)
    draft.values["data.datasets"] = tuple(dict.fromkeys(name.text for name in names))
    draft.origins["data.datasets"] = place
    if len(caps) == len(names) == 1:
        draft.values["data.max_samples"], draft.origins["data.max_samples"] = caps[0], place


def literal(node: Node | None) -> str | None:
    """A string that is written, or a name that stands for one."""
    return node.text if isinstance(node, Scalar) and node.tag == "str" else None


def unpositional(call: Mapping | None, names: tuple[str, ...]) -> Mapping | None:
    """The call with its first positional arguments under their parameters' names."""
    if call is None or "0" not in call:
        return call
    entries = [
        Entry(Scalar(names[int(key.text)], key.span), value)
        if key.text.isdecimal() and len(key.text) < 3 and int(key.text) < len(names)
        else Entry(key, value)
        for key, value in call.entries
    ]
    return Mapping(tuple(entries), call.span, call=call.call)


def is_known(node: Node | None) -> bool:
    """Whether a node's value is known without running the script."""
    return isinstance(node, Sequence | Mapping) or (isinstance(node, Scalar) and node.style != "expression")
