"""Spellings that several frameworks share, in the Plan's terms: dtypes, optimizer classes, local model folders."""

from __future__ import annotations

from typing import Any

from loraplan.document import KeyPath, Mapping, find
from loraplan.formats.table import Draft
from loraplan.formats.values import Unresolved
from loraplan.origin import Default, Explicit

_DTYPES = {
    "bf16": "bfloat16", "bfloat16": "bfloat16",
    "fp16": "float16", "float16": "float16", "f16": "float16", "half": "float16",
    "fp32": "float32", "float32": "float32", "f32": "float32", "float": "float32",
    "fp64": "float64", "float64": "float64", "f64": "float64", "double": "float64",
    "auto": "auto",
}  # fmt: skip

# class name in lower case -> (name under torch or another library, name under bitsandbytes), as transformers'
# `OptimizerNames` spells them (transformers 5.23.0 training_args.py).
_OPTIMIZERS = {
    "adamw": ("adamw_torch", "adamw_bnb_32bit"),
    "adamw8bit": ("adamw_torch_8bit", "adamw_bnb_8bit"),
    "adamw4bit": ("adamw_torch_4bit", "adamw_torch_4bit"),
    "pagedadamw": ("paged_adamw_32bit", "paged_adamw_32bit"),
    "pagedadamw32bit": ("paged_adamw_32bit", "paged_adamw_32bit"),
    "pagedadamw8bit": ("paged_adamw_8bit", "paged_adamw_8bit"),
    "lion8bit": ("lion_8bit", "lion_8bit"),
    "pagedlion8bit": ("paged_lion_8bit", "paged_lion_8bit"),
    "sgd": ("sgd", "sgd"),
    "adam": ("adam", "adam"),
    "adafactor": ("adafactor", "adafactor"),
}

_TORCH_SOURCE = "torch/optim/{}.py@2.13.0"
# Keyword defaults of the optimizer classes, where a config that names only the class leaves the rest to them.
_CLASS_DEFAULTS: dict[str, tuple[str, str, str, dict[str, float]]] = {
    "torch.optim.AdamW": (
        "torch", "2.13.0", _TORCH_SOURCE.format("adamw"), {"lr": 1e-3, "weight_decay": 1e-2, "beta2": 0.999},
    ),
    "torch.optim.Adam": (
        "torch", "2.13.0", _TORCH_SOURCE.format("adam"), {"lr": 1e-3, "weight_decay": 0.0, "beta2": 0.999},
    ),
    "torch.optim.SGD": ("torch", "2.13.0", _TORCH_SOURCE.format("sgd"), {"lr": 1e-3, "weight_decay": 0.0}),
}  # fmt: skip
_CLASS_FIELDS = {"lr": "learning_rate", "weight_decay": "weight_decay", "beta2": "beta2"}


def dtype_name(value: Any) -> str | None:
    """`bf16`, `torch.bfloat16` -> `bfloat16`; None for what is no dtype."""
    if not isinstance(value, str) or isinstance(value, Unresolved):
        return None
    return _DTYPES.get(value.lower().rpartition(".")[2])


def optimizer_name(component: Any, fused: Any = None) -> str | None:
    """`torch.optim.AdamW` -> `adamw_torch`, `bitsandbytes.optim.PagedAdamW8bit` -> `paged_adamw_8bit`."""
    if not isinstance(component, str) or isinstance(component, Unresolved) or not component:
        return None
    module, _, leaf = component.rpartition(".")
    names = _OPTIMIZERS.get(leaf.lower())
    if names is None:
        return leaf.lower()
    name = names[1 if module.split(".")[0] in ("bitsandbytes", "bnb") else 0]
    return "adamw_torch_fused" if name == "adamw_torch" and fused is True else name


def optimizer_defaults(draft: Draft, component: Any, section: str) -> None:
    """What the optimizer's class fills in for the keywords that `section` does not pass."""
    known = _CLASS_DEFAULTS.get(component) if isinstance(component, str) else None
    if known is None:
        return
    framework, version, source, keywords = known
    for keyword, value in keywords.items():
        field = f"optimizer.{_CLASS_FIELDS[keyword]}"
        if field not in draft.values and field not in draft.unreadable:
            draft.values[field] = value
            draft.origins[field] = Default(framework, version, source, f"{section}.{keyword}")


def set_betas(draft: Draft, key: str) -> None:
    """`betas: [0.9, 0.95]` as two fields."""
    value = draft.raw(key)
    if isinstance(value, list) and len(value) == 2:
        for name, beta in zip(("optimizer.beta1", "optimizer.beta2"), value, strict=True):
            if isinstance(beta, int | float) and not isinstance(beta, bool):
                draft.set(name, beta, key)


def forget_defaults(draft: Draft, *sections: str) -> None:
    """Drop the defaults of sections that this run does not use: without an adapter, its default rank is no fact."""
    for field in [name for name, origin in draft.origins.items() if isinstance(origin, Default)]:
        if field.partition(".")[0] in sections and field != "adapter.method":
            draft.drop(field)


def forgive(draft: Draft, *words: str) -> None:
    """Drop the issues of values that the framework takes as words of their own: `auto` for a batch size."""
    draft.value_issues = [issue for issue in draft.value_issues if issue.text not in words]


def folder_name(path: Any, *skip: str) -> str | None:
    """The last meaningful part of a path: `/tmp/Llama-2-7b-hf/` -> `Llama-2-7b-hf`; parts in `skip` do not count."""
    if not isinstance(path, str) or isinstance(path, Unresolved):
        return None
    parts = [part for part in path.replace("\\", "/").split("/") if part and part not in skip]
    return parts[-1] if parts else None


def set_at(draft: Draft, field: str, value: Any, path: KeyPath) -> None:
    """A field from a key path that goes through a list: `("datasets", 0, "sequence_len")`."""
    node = find(draft.scope, path)
    if value is None or node is None:
        return
    holder = find(draft.scope, path[:-1])
    entry = holder.entry(str(path[-1])) if isinstance(holder, Mapping) else None
    draft.values[field] = value
    draft.origins[field] = Explicit(
        draft.document.path, path, node.span, entry.key.span if entry else None, node.shared
    )
