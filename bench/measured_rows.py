"""From a measured row to the Plan, architecture and stack that its stated fields describe; no row is known by name."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from loraplan.arch.sources import resolve
from loraplan.arch.spec import ArchSpec
from loraplan.memory.stack import Stack, stack_for
from loraplan.plan import Plan, build
from loraplan.trace.setting import Setting

LORA = {
    "lora",
    "qlora",
    "gptq-lora",
    "dora",
    "rslora",
    "lora-fa",
    "lora_fa",
    "bdlora",
    "bd-lora",
    "qdora",
    "lora(mica init)",
}
FULL = {"full"}
_LITGPT = {
    "attn.q": ("q",), "attn.k": ("k",), "attn.v": ("v",), "attn.proj": ("o",), "lm_head": ("head",),
    "mlp.*": ("gate", "up", "down", "gate_up", "fc1", "fc2"),
}  # fmt: skip
_TORCHTUNE = {"output_proj": ("o",), "mlp": ("gate", "up", "down"), "w1": ("gate",), "w2": ("down",), "w3": ("up",)}


class Skipped(Exception):
    """A row that cannot be mapped, and why."""


class OutOfScope(Skipped):
    """A row of a method that is not estimated."""


class Case(NamedTuple):
    """A row as the estimator takes it."""

    plan: Plan
    arch: ArchSpec
    stack: Stack
    capped: bool
    """Only a cap on the length is known."""


def group(row: dict[str, Any]) -> str | None:
    """The group that a row is judged in; None for what is no reading or lacks too much."""
    quality, metric = row["quality"], row["metric"]
    if row["is_estimate"] or quality in ("bronze", "estimate", "gold-special"):
        return None
    if row["oom"] or quality.endswith("oom"):
        return "oom"
    if row["measured_bytes"] is None:
        return None
    if quality == "gold":
        if "reserved" in metric:
            return "gold_reserved"
        return "gold_allocated_1gpu" if row["num_gpus"] == 1 else "gold_allocated_multi"
    if quality == "silver":
        exact = row["source"] in ("qwen-readme-profiling", "trl-notebooks", "peft-docs-accelerate")
        return "silver" if exact else "silver_capped"
    return None


def case(row: dict[str, Any]) -> Case:
    """Map a row; raises Skipped."""
    method = row["method"].lower()
    if method not in LORA | FULL:
        raise OutOfScope(f"method {row['method']}")
    if row["model"] is None:
        raise Skipped("no model named")
    arch = resolve(row["model"], base_dir="/nowhere", online=False, problems=[])
    if arch is None:
        raise Skipped(f"architecture of {row['model']} unknown")
    if row["per_device_batch_size"] is None or row["seq_len_max"] is None:
        raise Skipped("batch or length not stated")
    values = _values(row, arch, method)
    return Case(build(values), arch, _stack(row), _length(row)[1])


def _values(row: dict[str, Any], arch: ArchSpec, method: str) -> dict[str, Any]:
    autocast = str(row["autocast"] or "").lower()
    if row["source"].startswith("ms-swift") and row["autocast"] is None:
        autocast = "bf16"  # ms-swift trains under bf16 autocast where the weights are bf16
    if "deepspeed" in str(row["optimizer"] or "").lower():
        autocast = "none"  # DeepSpeed holds the model in half precision, without autocast
    half = autocast.startswith(("bf16", "fp16", "true")) and "true)" not in autocast
    values: dict[str, Any] = {
        "model.name": row["model"],
        "model.dtype": row["base_dtype"].split()[0] if row["base_dtype"] else None,
        "model.attn_implementation": _attention(row),
        "optimizer.name": _optimizer(row),
        "batch.micro_batch_size": row["per_device_batch_size"],
        "batch.gradient_accumulation_steps": row["gradient_accumulation_steps"] or (2 if _accumulates(row) else 1),
        "data.max_length": _length(row)[0],
        "data.packing": _packed(row),
        "precision.bf16": half and "fp16" not in autocast.split("/")[0],
        "precision.fp16": half and autocast.startswith("fp16"),
        "precision.gradient_checkpointing": _checkpointing(row),
        "precision.activation_offloading": True if row["activation_offloading"] is True else None,
        "precision.compile": row["torch_compile"],
        "precision.fused_loss": _loss(row),
        "adapter.method": "none" if method in FULL else "lora",
    }
    if "unsloth" in str(row["gradient_checkpointing"]):
        values["precision.checkpointing_kind"] = "unsloth"
    values |= _quantization(row)
    values |= _distributed(row)
    if method not in FULL:
        values |= {
            "adapter.r": row["r"] or 8,
            "adapter.alpha": row["lora_alpha"] or 16,
            "adapter.dropout": row["lora_dropout"] or 0.0,
            "adapter.use_dora": method in ("dora", "qdora") or bool(_peft(row).get("use_dora")),
            "adapter.use_rslora": method == "rslora",
            **_targets(row, arch),
        }
        if method in ("lora-fa", "lora_fa"):
            values["adapter.method"] = "lora-fa"
    return values


def _accumulates(row: dict[str, Any]) -> bool:
    """litgpt's recipes accumulate to a global batch larger than the micro-batch (litgpt 0.5 config_hub/finetune)."""
    return str(row["source"]).startswith("litgpt")


def _peft(row: dict[str, Any]) -> dict[str, Any]:
    return (row["other_measured"] or {}).get("peft_config_nondefault") or {}


def _optimizer(row: dict[str, Any]) -> str | None:
    name = row["optimizer"]
    if name is None:
        return None
    if "fused into backward" in name:
        return "adamw_fused_backward"
    return (
        name.split(" (")[0].split(" + ")[0].replace("torch AdamW", "adamw").replace("torch.optim.AdamW", "adamw_torch")
    )


def _attention(row: dict[str, Any]) -> str | None:
    if row["attention_impl"] is None:
        return None
    text = str(row["attention_impl"]).lower()
    if "eager" in text or "no flash" in text:
        return "eager"
    return "flash_attention_2" if "flash" in text or "xformers" in text else "sdpa"


def _packed(row: dict[str, Any]) -> bool:
    text = f"{row['padding']} {row['seq_len_shape']}".lower()
    return (
        "packed" in text
        or "sample_packing" in text
        or "exactly" in text
        or "padding-free" in text
        or (row["padding"] == "none")
    )


def _checkpointing(row: dict[str, Any]) -> bool | None:
    value = row["gradient_checkpointing"]
    return value if isinstance(value, bool) or value is None else True


def _loss(row: dict[str, Any]) -> str | None:
    text = str(row["fused_loss"] or "").lower()
    if row["source"] == "unsloth-notebooks":
        return None  # as the stack's version does
    if "fused-linear" in text or "cut" in text or "unsloth" in text:
        return "linear"
    if "liger" in text:
        return "liger"
    if "fused triton" in text:
        return "fused" if _transformers(row) >= (4, 46) else "fused_replace"
    if text.startswith("none") and row["source"] == "trl-notebooks":
        return "pad"
    return None


def _transformers(row: dict[str, Any]) -> tuple[int, ...]:
    text = _versions(row).get("transformers", "5.23")
    return tuple(int(part) for part in re.findall(r"\d+", text)[:2])


def _versions(row: dict[str, Any]) -> dict[str, str]:
    known = row["library_versions"] or {}
    return {name.removesuffix("-version"): str(version) for name, version in known.items()}


def _quantization(row: dict[str, Any]) -> dict[str, Any]:
    text = str(row["quantization"] or "none").lower()
    if text.startswith("none"):
        return {"quantization.bits": 16}
    bits = 8 if "8" in text.split("(")[0] else 4
    method = "gptq" if "gptq" in text else "awq" if "awq" in text else "nf4tensor" if "torchao" in text else "bnb"
    return {
        "quantization.bits": bits,
        "quantization.method": method,
        "quantization.double_quant": row["double_quant"],
        "quantization.compute_dtype": row["bnb_compute_dtype"] or (row["base_dtype"] or "bfloat16").split()[0],
    }


def _distributed(row: dict[str, Any]) -> dict[str, Any]:
    gpus, text = row["num_gpus"] or 1, str(row["sharding"] or "none").lower()
    if gpus == 1:
        return {"distributed.devices": 1, "distributed.strategy": "single"}
    strategy = "ddp"
    if "zero-3" in text:
        strategy = "zero3"
    elif "zero-2" in text:
        strategy = "zero2"
    elif "fsdp2" in text:
        strategy = "fsdp2"
    elif "fsdp" in text and '"ddp"' not in text:
        strategy = "fsdp"
    elif "device_map" in text:
        raise Skipped("naive pipeline over GPUs (device_map)")
    return {
        "distributed.devices": gpus,
        "distributed.strategy": strategy,
        "distributed.offload": True if "offload" in text and "no cpu offload" not in text else None,
    }


def _targets(row: dict[str, Any], arch: ArchSpec) -> dict[str, Any]:
    names = row["target_modules"]
    if isinstance(names, str):
        return {"adapter.target_modules": "all-linear" if "all" in names.lower() else (names,)}
    if not names:
        return {"adapter.target_modules": ("q_proj", "v_proj")}
    saved = tuple(
        name.strip().split()[0] for entry in names if entry.startswith("modules_to_save:")
        for name in entry.removeprefix("modules_to_save:").split("(")[0].split(",")
    )  # fmt: skip
    roles: list[str] = []
    plain: list[str] = []
    for entry in (name for name in names if not name.startswith("modules_to_save:")):
        known = _LITGPT.get(entry)
        if known is None and row["source"] == "torchtune":
            inner = re.findall(r"output_proj|mlp|w[123]", entry)
            known = tuple(role for word in inner for role in _TORCHTUNE[word] if not (word == "mlp" and "w" in entry))
        if known:
            roles += known
        else:
            plain.append(entry)
    for module in arch.modules:
        fused = module.role == "qkv" and set(roles) & {"q", "k", "v"}
        if module.kind in ("Linear", "Conv1D") and (module.role in roles or fused):
            plain.append(module.name.rpartition(".")[2])
    return {"adapter.target_modules": tuple(dict.fromkeys(plain)), "adapter.modules_to_save": saved or None}


def _length(row: dict[str, Any]) -> tuple[int, bool]:
    """(tokens of a sequence, whether that is only a cap)."""
    text = str(row["seq_len_shape"] or "").lower()
    found = re.search(r"exactly (?:\d+ x )?(\d+)", text)
    if found:
        return int(found.group(1)), False
    exact = "padded to this length" in text or "inputs of length" in text or "packed" in text
    characters = re.search(r"len\(.*?\)<=(\d+) chars", text)
    if characters:
        # The text is cut at a number of characters: the densest mathematics has about two of them to a token.
        return min(row["seq_len_max"], int(characters.group(1)) // 2), False
    return row["seq_len_max"], not exact


def _stack(row: dict[str, Any]) -> Stack:
    source, versions = row["source"], _versions(row)
    if source == "loraplan-gpu":
        return stack_of(Setting(**row["other_measured"]["setting"]))
    notes = row["notes"] or ""
    if source == "fms-acceleration":
        stack = stack_for("trl", versions)
        fused = "foak" in notes or "fast-kernels" in notes
        # Its own loader for quantized bases leaves out the upcasts of peft (accelerated-*).
        upcast = "norms" if "baseline" in notes else ""
        return stack._replace(
            fused_norm=fused, fused_rope=fused, fused_adapter=fused and "accelerated" in notes, upcast=upcast,
            adapter_quantized="float32",
        )  # fmt: skip
    if source in ("litgpt-resource-tables", "litgpt-config-hub"):
        release = [int(part) for part in re.findall(r"\d+", versions.get("bitsandbytes", "0.45"))[:2]]
        return stack_for("litgpt", quantized_input=release < [0, 42])
    if source == "torchtune":
        return stack_for("torchtune", **({} if "chunked" in str(row["fused_loss"]).lower() else {"loss": "pad"}))
    if source == "fsdp_qlora":
        return stack_for("fsdp_qlora", reentrant="--reentrant_checkpointing True" in notes)
    if source == "peft-metamath":
        return stack_for("transformers", versions, keeps_logits=True, fused_adam=False, cache=True, empties_cache=True)
    if source == "ms-swift-benchmark":
        return stack_for("ms-swift", {"transformers": "4.37", **versions})
    if source == "axolotl-examples":
        return stack_for("axolotl")
    if source == "unsloth-notebooks":
        return stack_for("unsloth", versions)
    if source == "trl-notebooks":
        return stack_for("trl", versions, dtype="bfloat16")
    if source == "qwen-readme-profiling":
        return stack_for("transformers", {"transformers": "4.31", **versions})
    if source == "hf-blog-4bit-thresholds":  # May 2023
        return stack_for("trl", {"transformers": "4.30", "trl": "0.4"})
    return stack_for("transformers", versions)


def stack_of(setting: Setting) -> Stack:
    """transformers + PEFT as the setting runs them."""
    adapter = "float32" if setting.adapter == "float32" else "weights"
    return stack_for(
        "transformers",
        adapter=adapter,
        adapter_quantized=adapter,
        upcast="all" if setting.upcast else "",
        loss="pad" if setting.loss == "unfused" else "tiled",
        keeps_logits=setting.outputs_kept,
        cache=setting.cache,
        fused_adam=False,
        autocast=setting.autocast,
        reentrant=setting.checkpointing == "reentrant",
    )
