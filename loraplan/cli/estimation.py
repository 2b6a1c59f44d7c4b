"""The runs that `loraplan estimate` is asked about: from a config or from options alone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from loraplan.cli.output import fail

if TYPE_CHECKING:
    from loraplan.arch.spec import ArchSpec
    from loraplan.memory.stack import Stack
    from loraplan.plan import Plan


class Changes(NamedTuple):
    """What the command line sets over the config."""

    gpus: int | None = None
    strategy: str | None = None
    offload: bool = False
    seq: int | None = None
    batch: int | None = None
    r: int | None = None
    targets: str | None = None
    optimizer: str | None = None
    checkpointing: str | None = None
    packing: bool | None = None
    stack: str | None = None


class Run(NamedTuple):
    """One run to estimate."""

    plan: Plan
    arch: ArchSpec
    stack: Stack


def runs_of(
    path: str,
    model: str | None,
    changes: Changes,
    versions: tuple[tuple[str, str], ...],
    config_format: str | None,
    *,
    online: bool,
    isolated: bool,
) -> list[Run]:
    """Every run of a config; ends the program with a clear error where it cannot be read or its model is unknown."""
    from loraplan.context import Inputs
    from loraplan.document import DocumentError
    from loraplan.document.read import read_text
    from loraplan.engine import Checker, Overrides
    from loraplan.formats import NotAConfig
    from loraplan.memory.stack import stack_of
    from loraplan.rule import Skip
    from loraplan.settings import SettingsError

    checker = Checker(Inputs(model=model, versions=versions, online=online), Overrides(isolated=isolated))
    try:
        text = read_text("-") if path == "-" else None
        readings = checker.read("<stdin>" if path == "-" else path, text=text, format_name=config_format)[1]
        facts = [checker.facts(reading) for reading in readings]
    except NotAConfig as error:
        looked_for = error.looks_like or "; ".join(error.looked_for[:3])
        fail(f"{error.path}: not recognised as a training config ({looked_for})")
    except (DocumentError, SettingsError) as error:
        fail(str(error))
    found = []
    for reading, known in zip(readings, facts, strict=True):
        try:
            arch = known.arch()
        except Skip as skip:
            fail(f"{path}: {skip.reason}; --model names one that is known (loraplan models), or a directory")
        stack = _stack(changes.stack, known.versions) if changes.stack else stack_of(reading, known.versions)
        found.append(Run(_changed(reading.plan, changes), arch, stack))
    return found


def _stack(framework: str, versions: dict[str, str]) -> Stack:
    from loraplan.memory.stack import STACKS, stack_for

    if framework not in STACKS:
        fail(f"unknown stack `{framework}`; known: {', '.join(STACKS)}")
    return stack_for(framework, versions)


def runs_without_config(
    model: str, method: str, changes: Changes, versions: dict[str, str], *, online: bool
) -> list[Run]:
    """The run that the options describe."""
    from loraplan.arch.sources import resolve
    from loraplan.plan import build

    problems: list[str] = []
    arch = resolve(model, base_dir=".", online=online, problems=problems)
    if arch is None:
        reason = problems[0] if problems else f"the architecture of `{model}` is unknown"
        fail(f"{reason}; `loraplan models` lists those that are known, a directory with a config.json works too")
    quantized = method in ("qlora", "qdora")
    values: dict[str, Any] = {
        "model.name": model,
        "adapter.method": {"full": "none", "lora-fa": "lora-fa"}.get(method, "lora"),
        "batch.micro_batch_size": 1,
        "batch.gradient_accumulation_steps": 1,
        "data.max_length": min(2048, arch.max_positions or 2048),
        "data.packing": True,
        "precision.bf16": True,
        "precision.gradient_checkpointing": True,
    }
    if method != "full":
        values |= {
            "adapter.r": 16,
            "adapter.alpha": 32,
            "adapter.dropout": 0.0,
            "adapter.target_modules": "all-linear",
            "adapter.use_dora": method in ("dora", "qdora"),
            "adapter.use_rslora": method == "rslora",
        }
    if quantized:
        values |= {
            "quantization.bits": 4,
            "quantization.method": "bnb",
            "quantization.quant_type": "nf4",
            "quantization.double_quant": True,
            "quantization.compute_dtype": "bfloat16",
        }
    return [Run(_changed(build(values), changes), arch, _stack(changes.stack or "trl", versions))]


def _changed(plan: Plan, changes: Changes) -> Plan:
    """The plan with what the command line sets."""
    from loraplan.memory.options import swept, with_checkpointing, with_gpus

    for name, value in (("seq", changes.seq), ("batch", changes.batch), ("r", changes.r)):
        if value is not None:
            plan = swept(plan, name, value)
    if changes.gpus is not None or changes.strategy is not None:
        plan = with_gpus(plan, changes.gpus or plan.distributed.devices or 2, changes.strategy)
    if changes.offload:
        plan = replace(plan, distributed=replace(plan.distributed, offload=True))
    if changes.targets is not None:
        names = changes.targets.strip()
        targets = names if names == "all-linear" else tuple(part.strip() for part in names.split(",") if part.strip())
        plan = replace(plan, adapter=replace(plan.adapter, target_modules=targets))
    if changes.optimizer is not None:
        plan = replace(plan, optimizer=replace(plan.optimizer, name=changes.optimizer))
    if changes.checkpointing is not None:
        plan = with_checkpointing(plan, changes.checkpointing)
    if changes.packing is not None:
        plan = replace(plan, data=replace(plan.data, packing=changes.packing))
    return plan
