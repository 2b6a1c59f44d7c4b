"""An estimate for programs; the schema is `loraplan/schema/estimate-v1.schema.json`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from loraplan.devices import Device
from loraplan.memory.fit import fit
from loraplan.memory.options import Option
from loraplan.memory.term import Estimate, Range

VERSION = 1


def values(found: Estimate, device: Device | None, options: Iterable[Option] = ()) -> dict[str, Any]:
    """One run. Every size is whole bytes."""
    result: dict[str, Any] = {
        "stack": found.stack,
        "gpus": found.gpus,
        "peak_phase": found.peak.name,
        "allocated": _range(found.allocated),
        "reserved": _range(found.reserved),
        "device": _range(found.device),
        "host_bytes": found.host,
        "in_evidence": found.in_evidence,
        "phases": [
            {
                "name": phase.name,
                "bytes": phase.bytes,
                "terms": [
                    {"name": term.name, "bytes": term.bytes, "formula": term.formula, "source": term.source}
                    for term in phase.terms
                ],
            }
            for phase in found.phases
        ],
        "symbols": dict(found.symbols),
        "assumptions": list(found.assumptions),
        "unknown": [
            {"what": item.what, "remedy": item.remedy, "low": item.low, "high": item.high} for item in found.unknown
        ],
        "gpu": None,
        "options": [
            {
                "quantization": item.quantization,
                "checkpointing": item.checkpointing,
                "optimizer": item.optimizer,
                "current": item.current,
                "device": _range(item.estimate.device),
                "fit": None if device is None else fit(item.estimate, device).word,
            }
            for item in options
        ],
    }
    if device is not None:
        verdict = fit(found, device)
        result["gpu"] = {
            "name": device.name,
            "usable_bytes": verdict.usable,
            "fit": verdict.word,
            "free_bytes": verdict.free,
        }
    return result


def _range(found: Range) -> dict[str, int]:
    return {"low": found.low, "expected": found.expected, "high": found.high}
