"""How each format says which modules LoRA adapts, and whether PEFT is what reads it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from loraplan.document import Mapping, Scalar, Sequence, Span, walk

if TYPE_CHECKING:
    from loraplan.formats.reading import Reading
    from loraplan.plan import Plan
    from loraplan.rule import Context

OWN_LORA = frozenset(("torchtune", "litgpt", "nemo-automodel", "mlx-lm", "mistral-finetune"))
"""Formats whose framework has its own LoRA layers. Their module names are translated when they are read, so PEFT's
matching, and what it reports, says nothing about them."""

STRING_TARGETS = frozenset(("peft", "python", "trl", "axolotl", "loraplan", "chatglm"))
"""Formats that hand a string on to PEFT as it stands (the others split it, or accept a list only)."""

TABLE_TARGETS = frozenset(("peft", "python", "trl", "oumi", "ludwig", "chatglm", "llm-toolkit", "loraplan"))
"""Formats in which absent targets reach PEFT as they are, and so mean its table for the architecture. Elsewhere the
framework fills them in, or an unknown script does (LLaVA's and QLoRA's look for all linear layers)."""

_WIDEN = {
    "axolotl": "set lora_target_linear: true",
    "llamafactory": "set lora_target: all",
    "litgpt": "set lora_mlp: true and lora_projection: true",
    "torchtune": "set apply_lora_to_mlp: true",
    "nemo-automodel": "set match_all_linear: true",
    "mlx-lm": "remove lora_parameters.keys, which leaves all linear layers",
    "h2o-llmstudio": "leave lora_target_modules empty, which adapts all linear layers",
    "qlora-pipe": "remove target_modules, which leaves all linear layers",
    "xtuner": "leave target_modules unset, which adapts all linear layers",
}
_SWITCHES = frozenset(("torchtune", "litgpt"))
_LISTS_ONLY = frozenset(("oumi", "ludwig", "unsloth", "open-instruct"))


def made_by_peft(reading: Reading) -> bool:
    """Whether the adapter is PEFT's own, so that PEFT's matching of names holds."""
    return reading.format not in OWN_LORA and not reading.facts.get("own_lora")


def judgeable(plan: Plan, reading: Reading) -> bool:
    """Whether PEFT's matching says what is adapted: the adapter is PEFT's, and the targets are those it gets.

    NeMo-Automodel's own layers stand under transformers' names, and its globs are read as one expression.
    """
    if not made_by_peft(reading) and reading.format != "nemo-automodel":
        return False
    return plan.adapter.target_modules is not None or (reading.format in TABLE_TARGETS and not reading.hand_rolled)


def trained(reading: Reading) -> bool:
    """Whether the file describes an adapter that is trained already: `save_pretrained` writes `inference_mode: true`.

    Advice about training comes too late for it, and an edit would change what the trained weights mean.
    """
    if not reading.facts.get("trained_adapter") or not isinstance(reading.root, Mapping):
        return False
    mode = reading.root.get("inference_mode")
    return isinstance(mode, Scalar) and mode.text.lower() == "true"


def widen(reading: Reading) -> str:
    """What a user of this format does to adapt every linear layer, as an imperative."""
    if reading.format in _WIDEN:
        return _WIDEN[reading.format]
    key = reading.key("adapter.target_modules")
    if reading.format in _LISTS_ONLY or reading.hand_rolled:
        return f"add the MLP projections to {key} (gate_proj, up_proj, down_proj in Llama-like models)"
    return f"set {key} to all-linear"


def takes_all_linear(reading: Reading) -> bool:
    """Whether `all-linear` is a value that this format's key takes, or that its switches can say."""
    if reading.format in _SWITCHES:
        return True
    return made_by_peft(reading) and not reading.hand_rolled and reading.format not in (*_LISTS_ONLY, "h2o-llmstudio")


def legible(targets: tuple[str, ...] | str | None) -> bool:
    """Whether the entries can be module names: not a list in a list's clothing, nor a value known only at run time."""
    return isinstance(targets, str) or not any(mark in name for name in targets or () for mark in "[](){}'\"$ ")


def target_span(reading: Reading, name: str) -> Span:
    """Where one entry of the target list stands; the whole value where it cannot be told apart."""
    whole = reading.span("adapter.target_modules")
    if reading.explicit("adapter.target_modules") is None:
        return whole
    for _, node in walk(reading.root):
        if isinstance(node, Sequence) and node.span == whole:
            for item in node.items:
                if isinstance(item, Scalar) and item.text == name:
                    return item.span
    text = reading.document.text
    start = text.find(name, whole.start, whole.end)
    while start >= 0:
        end = start + len(name)
        if not _continues(text[start - 1 : start]) and not _continues(text[end : end + 1]):
            return Span(start, end)
        start = text.find(name, end, whole.end)
    return whole


def _continues(character: str) -> bool:
    return character.isalnum() or character in ("_", ".")


def adapted(plan: Plan, ctx: Context) -> tuple[str, ...]:
    """The last names of the modules that are adapted, as far as they are known; in the order they were written."""
    targets = plan.adapter.target_modules
    names = tuple(name.rpartition(".")[2] for name in targets) if isinstance(targets, tuple) else ()
    if ctx.arch_or_none is None or not judgeable(plan, ctx.reading):
        return names
    found = dict.fromkeys(module.name.rpartition(".")[2] for module in ctx.matched.modules)
    return tuple(name for name in dict.fromkeys((*names, *found)) if name in found) or names


def parameters(plan: Plan, ctx: Context, r: float, *, everywhere: bool) -> int | None:
    """LoRA parameters at rank `r`, with the plan's targets or on every linear layer; None without an architecture."""
    from loraplan.arch.match import match

    arch = ctx.arch_or_none
    if arch is None or not judgeable(plan, ctx.reading):
        return None
    adapter = replace(plan.adapter, r=r, rank_pattern=None, use_dora=None)
    if everywhere:
        adapter = replace(adapter, target_modules="all-linear", target_parameters=None)
    return match(adapter, arch).parameters(adapter)
