"""A run as one row of measured peak memory, the form in which estimates are calibrated."""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any

from loraplan.arch.sources import resolve
from loraplan.training.outcome import Outcome
from loraplan_trainer.fields.outcomes import quantized_bits

FILE_NAME = "measured.jsonl"
_METRICS = {
    "cuda": "torch.cuda.max_memory_allocated of the main process, by phase, the highest of them",
    "rss": "resident set size of the trainer's process (ru_maxrss), Python and libraries included",
}


def row(outcome: Outcome) -> dict[str, Any] | None:
    """The row; None where no memory was measured."""
    peak, source = outcome.peak, outcome.memory_source
    if peak is None or source is None:
        return None
    manifest = outcome.manifest
    plan, adapter = manifest.plan, manifest.plan.adapter
    bits = quantized_bits(plan)
    training = next((item for item in outcome.data if item.role == "train"), None)
    packed = bool(plan.data.packing)
    method = "full" if adapter.method == "none" else "qlora" if bits == 4 else "lora"
    longest = training.longest if training is not None else None
    cap = plan.data.max_length
    return {
        "id": f"loraplan-{_digest(outcome)}",
        "source": "loraplan-train",
        "source_repo_or_paper": f"LoRAPlan {manifest.versions.get('loraplan', '')}".strip(),
        "source_path": str(outcome.directory),
        "commit": manifest.git.commit if manifest.git else None,
        "quality": "gold" if source == "cuda" else "silver",
        "model": plan.model.name,
        "arch": _arch(plan.model.name),
        "method": method,
        "r": adapter.r,
        "lora_alpha": adapter.alpha,
        "lora_dropout": adapter.dropout,
        "target_modules": list(adapter.target_modules)
        if isinstance(adapter.target_modules, tuple)
        else adapter.target_modules,
        "base_dtype": plan.model.dtype or "float32",
        "adapter_dtype": None if adapter.autocast_adapter_dtype is False else "float32",
        "quantization": {4: plan.quantization.quant_type or "fp4", 8: "int8"}.get(bits or 16, "none"),
        "double_quant": plan.quantization.double_quant if bits == 4 else None,
        "bnb_compute_dtype": plan.quantization.compute_dtype if bits == 4 else None,
        "autocast": "bf16" if plan.precision.bf16 else "fp16" if plan.precision.fp16 else "none",
        "optimizer": plan.optimizer.name,
        "optimizer_kwargs": None,
        "per_device_batch_size": plan.batch.micro_batch_size,
        "gradient_accumulation_steps": plan.batch.gradient_accumulation_steps,
        "seq_len_max": cap if packed else min(filter(None, (cap, longest)), default=None),
        "seq_len_shape": f"packed to {cap}" if packed else "padded to the longest of a batch",
        "seq_len_mean": training.tokens / training.rows if training and training.tokens and training.rows else None,
        "padding": "none (packed)" if packed else "right, to the longest of a batch",
        "gradient_checkpointing": plan.precision.gradient_checkpointing is not False,
        "activation_offloading": plan.precision.activation_offloading,
        "attention_impl": plan.model.attn_implementation,
        "fused_loss": plan.precision.fused_loss or "TRL's chunked loss",
        "torch_compile": plan.precision.compile,
        "num_gpus": manifest.processes if source == "cuda" else 0,
        "sharding": plan.distributed.strategy if manifest.processes > 1 else "none",
        "gpu_name": outcome.start.device if outcome.start and source == "cuda" else None,
        "library_versions": outcome.start.versions if outcome.start else manifest.versions,
        "metric": _METRICS[source],
        "measured_bytes": peak,
        "measured_original": f"{peak} bytes",
        "measured_is_approximate": False,
        "other_measured": {
            "peak_by_phase": outcome.memory,
            "predicted_bytes": manifest.predicted.total if manifest.predicted else None,
            "tokens_per_s": outcome.tokens_per_s,
        },
        "trainable_params": outcome.model.trainable if outcome.model else None,
        "total_params": outcome.model.parameters if outcome.model else None,
        "is_estimate": False,
        "oom": outcome.failed is not None and outcome.failed.kind == "out_of_memory",
        "notes": f"{outcome.state} after step {outcome.end.step if outcome.end else 0}",
    }


def line(values: dict[str, Any]) -> str:
    """The row as a line of JSON."""
    return json.dumps(values, ensure_ascii=False, allow_nan=False)


def _digest(outcome: Outcome) -> str:
    manifest = outcome.manifest
    said = f"{manifest.created}{outcome.directory}{manifest.plan!r}"
    return hashlib.sha256(said.encode()).hexdigest()[:12]


def _arch(name: str | None) -> dict[str, Any] | None:
    """The sizes that an estimate needs, where the model's config is known offline."""
    found = None if name is None else resolve(name, base_dir=os.getcwd())
    if found is None:
        return None
    return {
        "hidden_size": found.hidden_size,
        "num_layers": found.num_layers,
        "vocab_size": found.vocab_size,
        "source": found.source,
    }
