"""What a training stack does to memory: facts of each framework and version, each with where it is written."""

from __future__ import annotations

from typing import Any, NamedTuple


class Stack(NamedTuple):
    """The facts of one stack. `sources` says where each is written; what it does not name is PyTorch's own way."""

    name: str
    adapter: str = "float32"
    """dtype of the adapters: `float32`, or `weights` for that of the base weights."""
    adapter_quantized: str = "float32"
    """The same over a quantized base."""
    upcast: str = ""
    """What is cast to fp32 over a quantized base: `norms`, `all` (norms, embeddings, head) or nothing."""
    loss: str = "pad"
    """A key of `loraplan.memory.head.LOSSES`."""
    chunk: int = 0
    """Positions for each piece of a chunked loss."""
    keeps_logits: bool = False
    """The model's output is held through the backward."""
    repeats_kv: tuple[str, ...] = ()
    """Model types whose attention expands keys and values to all heads before a flash kernel; `*` is all."""
    cache: bool = True
    """Training without checkpointing fills a key-value cache (`use_cache`)."""
    fused_norm: bool = False
    fused_rope: bool = False
    fused_mlp: bool = False
    fused_adapter: bool = False
    input_cast: bool = True
    quantized_input: bool = False
    """4-bit products keep their input (bitsandbytes before 0.42)."""
    merged_query: bool = False
    """q, k and v are one layer with one adapter."""
    autocast: bool | None = None
    """Whether half precision means autocast; None: as the config's bf16/fp16 says."""
    linear_experts: bool = False
    """Experts are linear layers that run one after another (most models before transformers 5)."""
    fused_adam: bool = False
    """AdamW is torch's fused one where the config leaves it open."""
    checkpointing: bool = False
    """Whether checkpointing is on where the config does not say."""
    offloads: bool = False
    """Checkpointed inputs go to host memory."""
    compiled: bool = False
    dtype: str = "bfloat16"
    """Load dtype where the config does not say."""
    fsdp_upcasts: bool = True
    """Sharded parameters that are trained are kept in fp32 under mixed precision."""
    sources: tuple[tuple[str, str], ...] = ()


_PEFT = ("adapter", "peft 0.21.2 peft_model.py `autocast_adapter_dtype=True`: half-precision adapters become fp32")
_CACHE = ("cache", "transformers 5.23 configuration_utils.py `use_cache=True`; switched off by gradient checkpointing")
_TRANSFORMERS = Stack(
    "transformers + PEFT",
    upcast="all",
    sources=(
        _PEFT,
        _CACHE,
        ("upcast", "peft 0.21.2 utils/other.py `prepare_model_for_kbit_training`"),
        ("loss", "transformers 5.23 loss/loss_utils.py `ForCausalLMLoss`"),
        ("fused_adam", "transformers 5.23 training_args.py `default_optim = adamw_torch_fused`"),
    ),
    fused_adam=True,
)
_TRL = _TRANSFORMERS._replace(
    name="TRL",
    adapter_quantized="weights",
    upcast="",
    loss="chunked",
    chunk=256,
    checkpointing=True,
    sources=(
        _PEFT,
        ("adapter_quantized", "trl 1.16.0 trainer/sft_trainer.py: adapters of a quantized model are cast to bf16"),
        ("loss", "trl 1.16.0 trainer/sft_trainer.py: log-probabilities in chunks, no full logits"),
        ("checkpointing", "trl 1.16.0 trainer/sft_config.py `gradient_checkpointing=True`"),
    ),
)
STACKS: dict[str, Stack] = {
    "transformers": _TRANSFORMERS,
    "trl": _TRL,
    "axolotl": _TRANSFORMERS._replace(name="axolotl", upcast="norms"),
    "llamafactory": _TRANSFORMERS._replace(name="LLaMA-Factory", upcast="", checkpointing=True, cache=False),
    "ms-swift": _TRANSFORMERS._replace(name="ms-swift", upcast="", checkpointing=True, cache=False),
    "oumi": _TRL._replace(name="oumi", checkpointing=False),
    "unsloth": _TRANSFORMERS._replace(
        name="unsloth",
        upcast="",
        loss="linear",
        fused_norm=True,
        fused_rope=True,
        fused_mlp=True,
        fused_adapter=True,
        cache=False,
        checkpointing=True,
        offloads=True,
    ),
    "torchtune": Stack(
        "torchtune",
        adapter="weights",
        adapter_quantized="weights",
        loss="chunked_logits",
        fused_norm=True,
        cache=False,
        input_cast=False,
        autocast=False,
        fused_adam=True,
        fsdp_upcasts=False,
    ),
    "litgpt": Stack(
        "litgpt",
        adapter="weights",
        adapter_quantized="weights",
        loss="chunked_fp32",
        chunk=128,
        merged_query=True,
        repeats_kv=("*",),
        cache=False,
        input_cast=False,
        autocast=False,
        fsdp_upcasts=False,
    ),
    "fsdp_qlora": Stack(
        "fsdp_qlora",
        adapter="weights",
        adapter_quantized="weights",
        loss="replace",
        keeps_logits=True,
        cache=False,
        autocast=False,
        fsdp_upcasts=False,
    ),
}


def stack_for(framework: str, versions: dict[str, str] | None = None, **changes: Any) -> Stack:
    """The stack of a framework at the given package versions (the newest where none is given), with changes."""
    found = STACKS.get(framework) or STACKS.get(framework.replace("hf-", "")) or _TRANSFORMERS
    known = versions or {}
    transformers, trl = _release(known.get("transformers")), _release(known.get("trl"))
    if transformers is not None and found.loss in ("pad", "chunked") and (trl or (0,)) < (1,):
        loss = "replace" if transformers < (4, 46) else "shift" if transformers < (4, 50) else "pad"
        found = found._replace(loss=loss, chunk=0)
        if found.name == "TRL":
            found = found._replace(adapter_quantized="float32", upcast="norms", checkpointing=False)
    if transformers is not None and transformers < (4, 48):
        found = found._replace(repeats_kv=("mistral", "mixtral"))
    if transformers is not None and transformers < (5,):
        found = found._replace(linear_experts=True)
    if transformers is not None and transformers < (4, 57):
        found = found._replace(fused_adam=False)
    return found._replace(**changes)


def _release(version: str | None) -> tuple[int, ...] | None:
    """The leading numbers of a version."""
    if not version:
        return None
    numbers = []
    for part in version.split("+")[0].split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(int(digits))
    return tuple(numbers) or None
