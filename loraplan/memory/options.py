"""The same run with other choices: quantization, checkpointing, optimizer; and sweeps over batch and length."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from loraplan.arch.spec import ArchSpec
from loraplan.devices import Device
from loraplan.memory.model import estimate
from loraplan.memory.stack import Stack
from loraplan.memory.term import Estimate
from loraplan.plan import Plan, Quantization

QUANTIZATIONS: dict[str, Quantization] = {
    "16-bit": Quantization(bits=16),
    "int8": Quantization(bits=8, method="bnb", load_in_8bit=True),
    "nf4": Quantization(bits=4, method="bnb", load_in_4bit=True, quant_type="nf4", double_quant=False),
    "nf4 + double": Quantization(bits=4, method="bnb", load_in_4bit=True, quant_type="nf4", double_quant=True),
}
CHECKPOINTING = ("off", "on", "offload")
OPTIMIZERS = ("adamw", "adamw_8bit", "paged_adamw_8bit")


class Option(NamedTuple):
    """One combination and its estimate."""

    quantization: str
    checkpointing: str
    optimizer: str
    estimate: Estimate
    current: bool
    """Whether it is the run as it is configured."""


def options(plan: Plan, arch: ArchSpec, stack: Stack, device: Device | None = None) -> Iterator[Option]:
    """Every combination; full fine-tuning has no quantized ones."""
    full = plan.adapter.method in ("none", "full")
    now = (quantization_of(plan, arch), checkpointing_of(plan, stack))
    for name, quantization in QUANTIZATIONS.items():
        if full and quantization.bits != 16:
            continue
        for checkpointing in CHECKPOINTING:
            for optimizer in OPTIMIZERS:
                changed = with_checkpointing(
                    replace(plan, optimizer=replace(plan.optimizer, name=optimizer)), checkpointing
                )
                if name != now[0]:
                    changed = replace(changed, quantization=quantization)
                found = estimate(changed, arch, device, stack=stack)
                same = (name, checkpointing) == now and _same_optimizer(plan.optimizer.name, optimizer)
                yield Option(name, checkpointing, optimizer, found, same)


def with_checkpointing(plan: Plan, kind: str) -> Plan:
    """The plan with checkpointing `off`, `on` or `offload`."""
    precision = replace(
        plan.precision,
        gradient_checkpointing=kind != "off",
        checkpointing_kind="offload" if kind == "offload" else None,
        activation_offloading=kind == "offload",
    )
    return replace(plan, precision=precision)


def quantization_of(plan: Plan, arch: ArchSpec) -> str:
    """Which of the table's quantizations the plan has; its method's name where it is none of them."""
    quantization = plan.quantization
    bits = quantization.bits or (4 if quantization.load_in_4bit else 8 if quantization.load_in_8bit else 16)
    if bits >= 16:
        return arch.prequantized if arch.prequantized and quantization.method is None else "16-bit"
    if quantization.method not in (None, "bnb", "bitsandbytes"):
        return str(quantization.method)
    return "int8" if bits == 8 else "nf4 + double" if quantization.double_quant else "nf4"


def checkpointing_of(plan: Plan, stack: Stack) -> str:
    """Which of the table's kinds of checkpointing the plan has."""
    on = plan.precision.gradient_checkpointing
    if not (stack.checkpointing if on is None else on):
        return "off"
    offloads = stack.offloads or plan.precision.activation_offloading
    return (
        "offload" if offloads or plan.precision.checkpointing_kind in ("unsloth", "offload", "offload_disk") else "on"
    )


def _same_optimizer(name: str | None, other: str) -> bool:
    text = (name or "adamw").lower()
    kind = ("paged_" if "paged" in text else "") + ("adamw_8bit" if "8" in text else "adamw")
    return kind == other


class Axis(NamedTuple):
    """A swept quantity and its values."""

    name: str
    values: tuple[int, ...]


AXES = ("seq", "batch", "r", "gpus")
_MOST = 64


def axes(text: str) -> tuple[Axis, ...]:
    """`seq=512..8192,batch=1..8`: doubling from the first to the last value; `seq=512,1024` lists them.

    Raises ValueError with what is wrong.
    """
    found: list[Axis] = []
    for part in text.replace(";", ",").split(","):
        name, equals, value = part.strip().partition("=")
        if not equals:
            if not found:
                raise ValueError(f"`{part.strip()}` has no name; write for example seq=512..8192,batch=1..8")
            name, value = found[-1].name, part.strip()
        if name not in AXES:
            raise ValueError(f"`{name}` cannot be swept; {', '.join(AXES)} can")
        values = _span(name, value)
        if found and found[-1].name == name:
            found[-1] = Axis(name, found[-1].values + values)
        else:
            found.append(Axis(name, values))
    if len(found) > 2 or len({axis.name for axis in found}) != len(found):
        raise ValueError("sweep one or two different quantities")
    if any(len(axis.values) > _MOST for axis in found):
        raise ValueError(f"at most {_MOST} values each")
    return tuple(found)


def _span(name: str, text: str) -> tuple[int, ...]:
    first, dots, last = text.partition("..")
    if not first.strip().isdigit() or (dots and not last.strip().isdigit()):
        raise ValueError(f"{name}: `{text}` is no whole number or range such as 512..8192")
    low, high = int(first), int(last) if dots else int(first)
    if low < 1 or high < low or high > 1 << 24:
        raise ValueError(f"{name}: `{text}` must rise from 1 or more to at most {1 << 24}")
    values = [low]
    while values[-1] * 2 <= high:
        values.append(values[-1] * 2)
    if values[-1] != high:
        values.append(high)
    return tuple(values)


def swept(plan: Plan, name: str, value: int) -> Plan:
    """The plan with one quantity set."""
    match name:
        case "seq":
            return replace(plan, data=replace(plan.data, max_length=value))
        case "batch":
            return replace(plan, batch=replace(plan.batch, micro_batch_size=value))
        case "r":
            return replace(plan, adapter=replace(plan.adapter, r=value))
    return with_gpus(plan, value, None)


def with_gpus(plan: Plan, gpus: int, strategy: str | None) -> Plan:
    """The plan on so many GPUs; without a strategy DDP where there are several and the plan names none."""
    named = strategy or plan.distributed.strategy
    if gpus > 1 and named in (None, "single"):
        named = "ddp"
    return replace(plan, distributed=replace(plan.distributed, devices=gpus, strategy=named))
