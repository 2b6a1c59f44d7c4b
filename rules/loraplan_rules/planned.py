"""What the memory rules share: sizes in words, and the changes that make a run fit, smallest first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from loraplan.memory.fit import fit
from loraplan.memory.model import estimate
from loraplan.memory.options import QUANTIZATIONS, with_checkpointing
from loraplan.memory.shares import gib, shares
from loraplan.memory.stack import Stack, stack_of
from loraplan.memory.term import Phase
from loraplan.plan import Plan
from loraplan.rule import Context, Fix, Set

if TYPE_CHECKING:
    from loraplan.devices import Device

size = gib
_FEW = 3
_BITSANDBYTES = frozenset(("trl", "transformers", "axolotl", "llamafactory", "ms-swift", "unsloth"))
"""Frameworks whose optimizer names include bitsandbytes' paged ones."""


def stack(ctx: Context) -> Stack:
    """The stack of the run, at the versions known for it."""
    known = {name: ctx.version(name) for name in ("transformers", "trl", "unsloth")}
    return stack_of(ctx.reading, {name: version for name, version in known.items() if version})


def breakdown(phase: Phase) -> str:
    """`weights 15.0 GiB, activations 4.10 GiB and logits 3.20 GiB`: the largest shares of a phase."""
    largest = sorted(shares(phase).items(), key=lambda share: -share[1])[:_FEW]
    return ", ".join(f"{name} {gib(value)}" for name, value in largest)


def remedies(plan: Plan, ctx: Context, device: Device) -> tuple[str, Fix | None]:
    """The smallest single changes that make the run fit, else the fewest together; and a fix with the first of them."""
    singles: list[tuple[str, Fix | None, int]] = []
    known = stack(ctx)
    for title, changes, change in _candidates(plan, ctx, known):
        estimated = estimate(change(plan), ctx.arch, device, stack=known)
        if fit(estimated, device).word == "fits":
            singles.append((title, _fix(title, changes), estimated.allocated.expected))
    if singles:
        words = "; or ".join(f"{title} ({gib(need)})" for title, _, need in singles[:_FEW])
        return words, next((fix for _, fix, _ in singles if fix is not None), None)
    titles: list[str] = []
    together: list[Set] = []
    changed, complete = plan, True
    for title, changes, change in _candidates(plan, ctx, known, halving=False):
        titles.append(title)
        together.extend(changes)
        complete = complete and bool(changes)
        changed = change(changed)
        estimated = estimate(changed, ctx.arch, device, stack=known)
        if fit(estimated, device).word == "fits":
            words = f"{', '.join(titles[:-1])} and {titles[-1]}"
            fix = _fix(words, tuple(together)) if complete else None
            return f"{words} ({gib(estimated.allocated.expected)})", fix
    return "take a card with more memory, or a smaller model: no change of this config makes it fit", None


def _fix(title: str, changes: tuple[Set, ...]) -> Fix | None:
    """None where a change is not one of the plan's fields."""
    return Fix(title, changes, "unsafe") if changes else None


def _candidates(
    plan: Plan, ctx: Context, known: Stack, *, halving: bool = True
) -> Iterator[tuple[str, tuple[Set, ...], Callable[[Plan], Plan]]]:
    """(imperative, its changes, the change), those that cost least first. `halving`: every smaller micro-batch."""
    key = ctx.key
    on = plan.precision.gradient_checkpointing
    if not (known.checkpointing if on is None else on):
        title = f"set {key('precision.gradient_checkpointing')} to true"
        yield title, (Set("precision.gradient_checkpointing", True),), lambda now: with_checkpointing(now, "on")
    rows, steps = plan.batch.micro_batch_size or 1, plan.batch.gradient_accumulation_steps or 1
    smaller = [rows >> shift for shift in range(1, rows.bit_length()) if rows % (1 << shift) == 0]
    for less in smaller if halving else smaller[-1:]:
        more = steps * rows // less
        yield (
            f"set {key('batch.micro_batch_size')} to {less} and {key('batch.gradient_accumulation_steps')} to {more}",
            (Set("batch.micro_batch_size", less), Set("batch.gradient_accumulation_steps", more)),
            partial(_with, section="batch", micro_batch_size=less, gradient_accumulation_steps=more),
        )
    if "8" not in (plan.optimizer.name or "") and ctx.reading.framework in _BITSANDBYTES:
        title = f"set {key('optimizer.name')} to paged_adamw_8bit"
        changes = (Set("optimizer.name", "paged_adamw_8bit"),)
        yield title, changes, partial(_with, section="optimizer", name="paged_adamw_8bit")
    if plan.adapter.method == "lora" and (plan.quantization.bits or 16) >= 16 and not ctx.arch.prequantized:
        title = f"set {key('quantization.load_in_4bit')} to true"
        quantize: tuple[Set, ...] = (Set("quantization.load_in_4bit", True),)
        if ctx.reading.framework == "axolotl":  # which quantizes for `adapter: qlora` only
            title, quantize = f"set adapter to qlora and {title.removeprefix('set ')}", ()
        nf4 = QUANTIZATIONS["nf4 + double"]
        yield title, quantize, lambda now: replace(now, quantization=nf4)
    length = plan.data.max_length
    while length is not None and length >= 1024:
        length //= 2
        yield (
            f"set {key('data.max_length')} to {length}",
            (Set("data.max_length", length),),
            partial(_with, section="data", max_length=length),
        )


def _with(plan: Plan, *, section: str, **values: object) -> Plan:
    return replace(plan, **{section: replace(getattr(plan, section), **values)})
