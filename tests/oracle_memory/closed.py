"""The closed form's phases of a traced setting, in the trace's terms."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from loraplan.arch.families import describe
from loraplan.memory.model import estimate
from loraplan.memory.term import Estimate
from loraplan.plan import build
from loraplan.trace.setting import Setting

sys.path.append(str(Path(__file__).parents[2] / "bench"))
from measured_rows import stack_of

NOT_TRACED = ("cuBLAS workspaces", "one matrix before quantization")
"""Terms of what libraries allocate inside, and of loading, which precedes the trace."""


def closed_form(config: dict[str, Any], setting: Setting) -> Estimate:
    """The estimate of the run that the setting traces."""
    arch = describe(config)
    assert arch is not None
    attention = "eager" if setting.attention == "eager" else "sdpa"
    plan = build(
        {
            "model.name": "oracle",
            "model.dtype": setting.base,
            "model.attn_implementation": attention,
            "optimizer.name": "adamw_torch_fused" if setting.optimizer == "adamw_fused" else "adamw",
            "batch.micro_batch_size": setting.batch,
            "batch.gradient_accumulation_steps": 1,
            "data.max_length": setting.sequence,
            "data.packing": not setting.padded,
            "precision.bf16": setting.autocast,
            "precision.gradient_checkpointing": setting.checkpointing != "off",
            "precision.use_reentrant": setting.checkpointing == "reentrant",
            "adapter.method": "lora" if setting.rank else "full",
            "adapter.r": setting.rank,
            "adapter.alpha": setting.alpha,
            "adapter.dropout": setting.dropout,
            "adapter.target_modules": setting.targets,
            "adapter.use_dora": setting.dora,
            "adapter.use_rslora": setting.rslora,
            "quantization.bits": 4 if setting.nf4 else 16,
            "quantization.method": "bnb" if setting.nf4 else None,
            "quantization.double_quant": setting.double_quantized if setting.nf4 else None,
            "quantization.compute_dtype": "bfloat16" if setting.nf4 else None,
            "distributed.devices": 1,
            "distributed.strategy": "single",
        }
    )
    return estimate(plan, arch, stack=stack_of(setting))


def phases(found: Estimate) -> dict[str, int]:
    """Bytes of each phase that an operation of the step accounts for."""
    return {
        phase.name: sum(term.bytes for term in phase.terms if term.name not in NOT_TRACED) for phase in found.phases
    }
