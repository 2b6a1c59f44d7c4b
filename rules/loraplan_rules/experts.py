"""Mixture-of-experts models: what is adapted of experts and routers, by the version of transformers."""

from __future__ import annotations

from dataclasses import replace

from loraplan.arch.match import Matched, linear_leaf_names, match
from loraplan.arch.spec import ArchSpec, Module
from loraplan.plan import Plan
from loraplan.rule import Context

_LIST_THEMSELVES = frozenset(("axolotl", "llamafactory", "ms-swift", "xtuner", "h2o-llmstudio", "qlora-pipe"))
"""Formats whose framework writes out the names of all linear layers, so that PEFT never sees `all-linear`."""
_ALWAYS_FUSED = frozenset(("gpt_oss", "llama4", "llama4_text"))
"""Model types whose experts are parameters in transformers 4 too (4.57.1 modeling files)."""


def selected(plan: Plan, ctx: Context) -> Matched:
    """What PEFT adapts, with `all-linear` as the framework passes it on."""
    if plan.adapter.target_modules != "all-linear" or ctx.reading.format not in _LIST_THEMSELVES:
        return ctx.matched
    return match(replace(plan.adapter, target_modules=linear_leaf_names(ctx.arch)), ctx.arch)


def fused(ctx: Context) -> bool | None:
    """Whether the experts are fused into parameters; None where that depends on an unknown transformers version."""
    if ctx.arch.model_type in _ALWAYS_FUSED:
        return True
    major = (ctx.version("transformers") or "").partition(".")[0]
    return int(major) >= 5 if major.isdecimal() else None


def parameters(arch: ArchSpec) -> tuple[Module, ...]:
    """The weights of fused experts."""
    return tuple(m for m in arch.modules if m.kind == "Parameter" and m.part == "expert" and len(m.shape) == 3)


def short_names(modules: tuple[Module, ...]) -> tuple[str, ...]:
    """The last three parts of the names: what `target_parameters` is usually given."""
    return tuple(dict.fromkeys(".".join(m.name.split(".")[-3:]) for m in modules))
