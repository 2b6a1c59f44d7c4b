"""Sections that a fix may create: what their framework does with one that holds no more than the new key.

A section whose presence turns something on, or that its framework wants whole, is created only with what keeps the
training as it was; where that is not known, the fix is not written.
"""

from __future__ import annotations

from typing import Any

from loraplan.document import Mapping, find
from loraplan.document.layout import Written
from loraplan.fixing.spelling import spellings
from loraplan.formats.reading import Reading
from loraplan.plan import get

Companions = dict[str, Any]
"""Keys that a new section needs besides the one that is set."""

_NONE: Companions = {}
_MADE: dict[str, dict[str, Companions]] = {
    # cli/config.py and loaders/model.py@0.19.0: dicts that are handed on, or added to what is built from other keys.
    "axolotl": {"gradient_checkpointing_kwargs": _NONE, "bnb_config_kwargs": _NONE},
    # transformers/training_args.py@5.23.0: a dict of keyword arguments; the names before 5.23 are aliases.
    "trl": {"gradient_checkpointing_kwargs": _NONE, "activation_checkpointing_kwargs": _NONE},
    "hf-args": {"gradient_checkpointing_kwargs": _NONE, "activation_checkpointing_kwargs": _NONE},
    "chatglm": {
        "training_args.gradient_checkpointing_kwargs": _NONE, "training_args.activation_checkpointing_kwargs": _NONE,
    },
    "python": {"args.gradient_checkpointing_kwargs": _NONE, "args.activation_checkpointing_kwargs": _NONE},
    # oumi/core/configs@0.9: dataclasses with a default for every key, merged by OmegaConf.
    "oumi": {
        "training": _NONE, "training.gradient_checkpointing_kwargs": _NONE, "peft": _NONE, "fsdp": _NONE,
    },
    # ludwig/schema/lr_scheduler.py, optimizers.py@0.11.0: every key has a default, `decay` is none.
    "ludwig": {"trainer.learning_rate_scheduler": _NONE, "trainer.gradient_clipping": _NONE},
    # nemo_automodel/recipes/llm/train_ft.py, components/optim/optimizer.py@0.7.0: without the section the rate is
    # constant from the first step on, with it the style is cosine after a warmup.
    "nemo-automodel": {
        "lr_scheduler": {"lr_decay_style": "constant", "lr_warmup_steps": 0}, "clip_grad_norm": _NONE,
    },
    # litgpt/finetune/lora.py@0.5.13: jsonargparse overlays the defaults; the optimizer is "AdamW" where none is named.
    "litgpt": {"train": _NONE, "eval": _NONE, "optimizer": {"class_path": "torch.optim.AdamW"},
               "optimizer.init_args": _NONE},
    # mlx_lm/lora.py@0.32.2: the section replaces the default as a whole.
    "mlx-lm": {"lora_parameters": {"rank": "adapter.r", "dropout": "adapter.dropout", "scale": "adapter.scaling"}},
    # unsloth_cli/config.py@2026.10.9: models with a default for every key.
    "unsloth": {"training": _NONE, "lora": _NONE},
}  # fmt: skip


def section_of(reading: Reading, key: str) -> tuple[Mapping | None, tuple[str, ...]]:
    """The innermost mapping in the file on the way to a dotted key, and the names that are left from there."""
    names = tuple(key.split("."))
    for depth in range(len(names) - 1, -1, -1):
        prefix = ".".join(names[:depth])
        section = reading.sections.get(prefix)
        if section is None and "" in reading.sections and prefix:
            found = find(reading.sections[""], names[:depth])
            section = found if isinstance(found, Mapping) else None
        if section is not None:
            return section, names[depth:]
    return None, names


def created(
    reading: Reading, key: str, below: tuple[str, ...], leaves: dict[str, Written]
) -> dict[str, Written] | None:
    """What stands below the first name of `below` once the keys `leaves` beside a dotted key are set.

    None where a section on the way must not be created.
    """
    names = key.split(".")
    inner = leaves
    for depth in range(len(names) - 1, len(names) - len(below), -1):
        beside = companions(reading, ".".join(names[:depth]))
        if beside is None:
            return None
        spelt = {name: next(spellings(value, reading.document.syntax)) for name, value in beside.items()}
        inner = {**spelt, **inner}
        if depth > len(names) - len(below) + 1:
            inner = {names[depth - 1]: inner}
    return inner


def companions(reading: Reading, prefix: str) -> Companions | None:
    """What a section is created with; None where it must not be created."""
    if reading.format == "loraplan":
        return {}
    found = _MADE.get(reading.format, {}).get(prefix)
    if found is None or reading.format != "mlx-lm":
        return found
    values = {key: get(reading.plan, field) for key, field in found.items()}
    return None if None in values.values() else values
