"""Asks one other tool for its estimates; runs in the environment where that tool is installed, without LoRAPlan.

`{"tool": NAME, "settings": [...]}` on standard input, `{"version": ..., "answers": [...]}` on standard output. An
answer has bytes by counter (`allocated`, `reserved`, `device`: as far as the tool tells them apart) and what it could
not be told (`approximated`), or `refused` with the tool's reason.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

Setting = dict[str, Any]
Answer = dict[str, Any]

MIB = 1024**2
GIB = 1024**3
# The fused projections of a model stand for the separate ones that these tools know.
_PROJECTIONS = {
    "q": ("q_proj",), "k": ("k_proj",), "v": ("v_proj",), "o": ("o_proj",), "qkv": ("q_proj", "k_proj", "v_proj"),
    "gate": ("gate_proj",), "up": ("up_proj",), "down": ("down_proj",), "gate_up": ("gate_proj", "up_proj"),
    "fc1": ("up_proj",), "fc2": ("down_proj",),
}  # fmt: skip


def fitcheck(setting: Setting) -> Answer:
    """fitcheck-llm: the five formulas are what is allocated, its overhead is fragmentation and a fixed context."""
    from fitcheck import GpuSpec, ModelConfig, TrainingConfig, config_parser, estimate

    if setting["experts"]:
        raise ValueError("refuses mixtures of experts")
    if setting["multimodal"]:
        raise ValueError("refuses multimodal models")
    shape = {
        "hidden_size": setting["hidden"], "num_hidden_layers": setting["layers"],
        "num_attention_heads": setting["heads"], "num_key_value_heads": setting["kv_heads"],
        "intermediate_size": setting["inner"], "vocab_size": setting["vocab"], "head_dim": setting["head_dim"],
        "tie_word_embeddings": setting["tied"],
    }  # fmt: skip
    try:  # its own test of what it can model, which it makes only of what it reads from the hub
        derived = config_parser._count_params(config_parser._parse_fields(shape))  # noqa: SLF001
        config_parser._reconcile_param_count(setting["model"], setting["parameters"], derived)  # noqa: SLF001
    except ValueError:
        raise ValueError("refuses the architecture: its formulas miss the number of parameters by over 2 %") from None
    model = ModelConfig(
        name=setting["model"],
        num_params=setting["parameters"],
        num_layers=setting["layers"],
        num_kv_heads=setting["kv_heads"],
        **{name: shape[name] for name in shape if name not in ("num_hidden_layers", "num_key_value_heads")},
    )
    approximated = _unsaid(setting, loss=False, dora=False)
    quantization = {4: "nf4", 8: "int8", 16: "none"}[setting["bits"]]
    double = setting["double_quant"] and quantization == "nf4"
    optimizer = {"adamw": "adamw", "adamw_8bit": "adam8bit", "paged_adamw_8bit": "adam8bit", "sgd": "sgd"}.get(
        setting["optimizer"]
    )
    if optimizer is None:
        optimizer, approximated = "adamw", [*approximated, f"optimizer {setting['optimizer']} as adamw"]
    targets = _targets(setting)
    full = setting["method"] == "full"
    gpu = GpuSpec("a card", (setting["vram_gib"] or 80) * 1024, (setting["vram_gib"] or 80) * 1024)
    report = estimate(
        model,
        TrainingConfig(
            precision=setting["dtype"],
            quantization=quantization,
            double_quant=double,
            optimizer=optimizer,
            optimizer_dtype=setting["state_dtype"],
            batch_size=setting["batch"],
            seq_len=setting["length"],
            lora_rank=None if full else setting["r"],
            lora_targets=targets or ["q_proj"],
            grad_checkpoint=setting["checkpointing"],
            flash_attn=setting["attention"] != "eager",
            grad_accum_steps=setting["accumulation"],
        ),
        gpu,
    )
    # overhead_db.DEFAULT_OVERHEAD_PROFILE, which every card but the T4 gets: 500 MiB of context
    return {
        "allocated": (report.total_mib - report.overhead_mib) * MIB,
        "reserved": (report.total_mib - 500) * MIB,
        "device": report.total_mib * MIB,
        "approximated": approximated,
    }


def canifinetune(setting: Setting) -> Answer:
    """canifinetune: its safety margin is left out everywhere, its share of the card only where tensors are counted."""
    from canifinetune.estimator import EstimateRequest, estimate

    if setting["multimodal"]:
        raise ValueError("knows no vision towers")
    approximated = _unsaid(setting, loss=setting["loss"] == "liger", dora=False)
    scopes = {
        ("q_proj", "v_proj"): "conservative",
        ("k_proj", "o_proj", "q_proj", "v_proj"): "attention",
        ("down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"): "all_linear",
    }
    targets = tuple(sorted(_targets(setting)))
    scope = scopes.get(targets)
    if scope is None:
        mlp = {"gate_proj", "up_proj", "down_proj"} & set(targets)
        scope = "all_linear" if mlp else "conservative" if set(targets) <= {"q_proj", "v_proj"} else "attention"
        if setting["method"] != "full":
            approximated = [*approximated, f"targets as {scope}"]
    names = {"adamw": "adamw_torch", "adamw_8bit": "adamw_8bit", "paged_adamw_8bit": "paged_adamw_8bit", "sgd": "sgd"}
    optimizer = names.get(setting["optimizer"])
    if optimizer is None:
        optimizer, approximated = "adamw_torch", [*approximated, f"optimizer {setting['optimizer']} as adamw_torch"]
    four = "nf4_double_quant" if setting["double_quant"] else "nf4"
    quantized = setting["bits"] < 16
    request = EstimateRequest(
        model_id=setting["model"],
        method="full" if setting["method"] == "full" else "qlora" if quantized else "lora",
        seq_len=setting["length"],
        micro_batch_size=setting["batch"],
        gradient_accumulation_steps=setting["accumulation"],
        base_dtype=setting["dtype"],
        quantization={4: four, 8: "int8"}.get(setting["bits"], "none") if quantized else "none",
        lora_rank=setting["r"] or 8,
        lora_alpha=setting["alpha"] or 16,
        lora_dropout=setting["dropout"],
        lora_target_scope=scope,
        optimizer=optimizer,
        gradient_checkpointing=setting["checkpointing"],
        attention_implementation=setting["attention"],
        loss_backend="liger" if setting["loss"] == "liger" else "stock",
        gpu_vram_gb=setting["vram_gib"] or 80,
        use_network=False,
        override={
            "family": setting["family"],
            "hidden_size": setting["hidden"],
            "num_hidden_layers": setting["layers"],
            "num_attention_heads": setting["heads"],
            "num_key_value_heads": setting["kv_heads"],
            "intermediate_size": setting["inner"],
            "vocab_size": setting["vocab"],
            "total_params": setting["parameters"],
            "tie_word_embeddings": setting["tied"],
            "num_local_experts": setting["experts"] or 1,
            "num_experts_per_tok": setting["experts_per_token"] or 1,
        },
    )
    memory = estimate(request).memory
    reserved = (memory.total_estimated_gb - memory.safety_margin_gb) * GIB
    allocated = reserved - memory.cuda_overhead_gb * GIB
    return {"allocated": allocated, "reserved": reserved, "device": reserved, "approximated": approximated}


def peft_doctor(setting: Setting) -> Answer:
    """peft-doctor: parameters, width and depth are given exactly; rank, targets and kernels it does not ask for."""
    from peft_doctor.estimator import estimate_vram_gb

    if setting["bits"] == 8:
        raise ValueError("knows 4-bit bases only")
    report = estimate_vram_gb(
        setting["model"],
        seq_len=setting["length"],
        batch_size=setting["batch"],
        qlora=setting["bits"] == 4,
        lora=setting["method"] != "full",
        gradient_checkpointing=setting["checkpointing"],
        params_billion=setting["parameters"] / 1e9,
        hidden_size=setting["hidden"],
        num_layers=setting["layers"],
    )
    parts = next(issue.details for issue in report.issues if issue.code == "estimate.total_vram")
    total = report.metadata["estimated_total_gb"] * GIB
    return {
        "allocated": total - parts["overhead_gb"] * GIB,
        "reserved": total,
        "device": total,
        "approximated": _unsaid(setting, loss=False, dora=False),
    }


TOOLS: dict[str, tuple[str, Callable[[Setting], Answer]]] = {
    "fitcheck-llm": ("fitcheck-llm", fitcheck),
    "canifinetune": ("canifinetune", canifinetune),
    "peft-doctor": ("peft-doctor", peft_doctor),
}
"""Name -> (its distribution, what asks it)."""


def _targets(setting: Setting) -> list[str]:
    found = (name for role in setting["targets"] for name in _PROJECTIONS.get(role, ()))
    return list(dict.fromkeys(found))


def _unsaid(setting: Setting, *, loss: bool, dora: bool) -> list[str]:
    """What the run has and the tool cannot be told. `loss`, `dora`: whether it can be told those."""
    found = []
    if setting["loss"] and not loss:
        found.append(f"{setting['loss']} loss as an ordinary one")
    if setting["dora"] and not dora:
        found.append("DoRA as LoRA")
    if setting["quantizer"] not in ("bnb", None):
        found.append(f"{setting['quantizer']} as nf4")
    return found


def answer(tool: str, setting: Setting) -> Answer:
    """One estimate, or why there is none."""
    try:
        found = TOOLS[tool][1](setting)
    except ValueError as error:  # what all three raise, pydantic's included; anything else is a fault of this file
        return {"refused": str(error).splitlines()[0][:200]}
    return {key: round(value) if isinstance(value, float) else value for key, value in found.items()}


def main() -> int:
    """Answer what standard input asks."""
    asked = json.load(sys.stdin)
    with contextlib.redirect_stdout(io.StringIO()):
        answers = [answer(asked["tool"], setting) for setting in asked["settings"]]
    json.dump({"version": version(TOOLS[asked["tool"]][0]), "answers": answers}, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
