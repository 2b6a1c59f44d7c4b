"""What a training stack does to memory: facts of each framework and version, each with where it is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from loraplan.memory.head import LOSSES

if TYPE_CHECKING:
    from loraplan.formats.reading import Reading


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
    attention: str = "sdpa"
    """Where the config does not say (transformers since 4.36: sdpa, before: eager)."""
    packs_flat: bool = False
    """Packed sequences of all rows reach the model as one row; sdpa gets a mask over all its pairs."""
    boolean_mask: bool = True
    """sdpa's mask is boolean, so that each layer makes an addend of it (transformers since 4.53: masking_utils.py)."""
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
    autocast: bool = True
    """Whether the config's bf16 or fp16 means autocast at all."""
    pure_half: bool = False
    """Half-precision weights are trained without autocast, fp32 ones with it."""
    unties: bool = False
    """Tied embeddings are two parameters."""
    quantizes_head: bool = False
    reentrant: bool = False
    """Checkpointing is the reentrant one where the config does not say."""
    linear_experts: bool = False
    """Experts are linear layers that run one after another (most models before transformers 5)."""
    quantizes_experts: bool = False
    """Fused experts are quantized too (axolotl's `quantize_moe_experts`)."""
    host_experts: bool = False
    """Experts are kept and computed in host memory (KTransformers)."""
    fused_adam: bool = False
    """AdamW is torch's fused one where the config leaves it open."""
    checkpointing: bool = False
    """Whether checkpointing is on where the config does not say."""
    offloads: bool = False
    """Checkpointed inputs go to host memory."""
    dtype: str = "bfloat16"
    """Load dtype where the config does not say; `auto` is the checkpoint's own."""
    empties_cache: bool = False
    """The loop calls `empty_cache` between steps, so that blocks of other lengths do not stay."""
    fsdp_upcasts: bool = True
    """Sharded parameters that are trained are kept in fp32 under mixed precision."""
    holds_whole: bool = False
    """Under FSDP whole frozen weights stay beside the shards."""
    sources: tuple[tuple[str, str], ...] = ()


_PEFT = ("adapter", "peft 0.21.2 tuners/tuners_utils.py `cast_adapter_dtype`: half-precision adapters become fp32")
_NO_CACHE = (
    "cache",
    "transformers 5.0.0 trainer.py: `use_cache` of the arguments, False, goes into the model's config",
)
_ADAM = ("fused_adam", "transformers 4.54.1 training_args.py: adamw_torch_fused with torch 2.8 and later")
_LOSS = ("loss", "transformers 5.23 loss/loss_utils.py `ForCausalLMLoss`")
_AUTO = ("dtype", "transformers 5.23 modeling_utils.py: `auto`, the checkpoint's own")
_TRANSFORMERS = Stack(
    "transformers + PEFT",
    upcast="all",
    cache=False,
    fused_adam=True,
    dtype="auto",
    sources=(
        _PEFT, _NO_CACHE, _ADAM, _LOSS, _AUTO,
        ("upcast", "peft 0.21.2 utils/other.py `prepare_model_for_kbit_training`, as PEFT's guides call it"),
    ),
)  # fmt: skip
_TRL = _TRANSFORMERS._replace(
    name="TRL",
    adapter_quantized="weights",
    upcast="",
    loss="tiled",
    checkpointing=True,
    packs_flat=True,
    dtype="float32",
    sources=(
        _PEFT, _NO_CACHE, _ADAM,
        ("packs_flat", "trl 1.16.0 trainer/sft_trainer.py `padding_free`; transformers 5.23 masking_utils.py"),
        ("adapter_quantized", "trl 1.16.0 trainer/sft_trainer.py: adapters of a quantized model are cast to bf16"),
        ("loss", "trl 1.16.0 trainer/utils.py `ChunkedLogProbFunction`: tiles of 4096 × 32768 logits"),
        ("checkpointing", "trl 1.16.0 trainer/base_config.py `gradient_checkpointing=True`"),
        ("dtype", "trl 1.16.0 trainer/utils.py: a model given by name is loaded in float32"),
    ),
)  # fmt: skip
STACKS: dict[str, Stack] = {
    "transformers": _TRANSFORMERS,
    "loraplan": _TRL,  # the bundled trainer is TRL's
    "trl": _TRL,
    "axolotl": _TRANSFORMERS._replace(
        name="axolotl",
        upcast="",
        dtype="bfloat16",
        fused_adapter=True,
        reentrant=True,
        sources=(
            _PEFT,
            _LOSS,
            ("cache", "axolotl 0.19 loaders/utils.py: use_cache False"),
            ("upcast", "axolotl 0.19 loaders/model.py `_convert_embedding_modules_dtype`: norms and ends back to bf16"),
            ("fused_adapter", "axolotl 0.19 utils/schemas/config.py: LoRA kernels are switched on for lora and qlora"),
            ("fused_adam", "axolotl 0.19 utils/schemas/training.py: adamw_torch_fused"),
        ),
    ),
    "llamafactory": _TRANSFORMERS._replace(
        name="LLaMA-Factory",
        upcast="",
        checkpointing=True,
        reentrant=True,
        dtype="bfloat16",
        sources=(
            _PEFT,
            _LOSS,
            _NO_CACHE,
            _ADAM,
            ("upcast", "llamafactory 0.9.5 model/model_utils/checkpointing.py: upcast_layernorm is off"),
            ("checkpointing", "llamafactory 0.9.5 hparams/model_args.py: disable_gradient_checkpointing False"),
        ),
    ),
    "ms-swift": _TRANSFORMERS._replace(
        name="ms-swift",
        upcast="",
        checkpointing=True,
        sources=(
            _PEFT,
            _LOSS,
            _NO_CACHE,
            _ADAM,
            ("upcast", "ms-swift 4.6.0: prepare_model_for_kbit_training is not called"),
            ("checkpointing", "ms-swift 4.6.0 trainers/arguments.py: gradient_checkpointing True"),
        ),
    ),
    "oumi": _TRL._replace(
        name="oumi",
        packs_flat=False,
        upcast="all",
        checkpointing=False,
        dtype="auto",
        autocast=False,
        fused_adam=False,
        sources=(
            _PEFT,
            ("upcast", "oumi 0.9 builders/models.py: prepare_model_for_kbit_training for q_lora"),
            ("autocast", "oumi 0.9 core/configs/params/training_params.py: mixed_precision_dtype NONE"),
        ),
    ),
    "unsloth": _TRANSFORMERS._replace(
        name="unsloth",
        upcast="",
        loss="unsloth",
        fused_norm=True,
        fused_rope=True,
        fused_adapter=True,
        checkpointing=True,
        offloads=True,
        linear_experts=True,
        dtype="bfloat16",
        sources=(
            _PEFT,
            ("linear_experts", "unsloth's 4-bit checkpoints hold experts as single layers"),
            ("loss", "unsloth_zoo 2026.10.9 fused_losses/fused_linear.py: rows × vocabulary in fp32 at a time"),
            ("fused_adapter", "unsloth 2026.10.9 kernels/fast_lora.py `LoRA_MLP`, `LoRA_QKV`, `LoRA_W`"),
            ("offloads", "unsloth_zoo 2026.10.9 gradient_checkpointing.py: inputs go to pinned host memory"),
        ),
    ),
    "torchtune": Stack(
        "torchtune",
        adapter="weights",
        adapter_quantized="weights",
        loss="chunked_logits",
        fused_norm=True,
        cache=False,
        input_cast=False,
        pure_half=True,
        fused_adam=True,
        fsdp_upcasts=False,
        sources=(
            ("adapter", "torchtune 0.6.1 recipes/lora_finetune_single_device.py: one dtype for all"),
            ("loss", "torchtune 0.6.1 modules/loss/ce_chunked_output_loss.py, 8 chunks, compiled"),
            ("fused_norm", "torchtune 0.6.1 modules/rms_norm.py, compiled"),
        ),
    ),
    "litgpt": Stack(
        "litgpt",
        adapter="weights",
        adapter_quantized="weights",
        loss="chunked_fp32",
        chunk=128,
        merged_query=True,
        repeats_kv=("*",),
        unties=True,
        quantizes_head=True,
        cache=False,
        input_cast=False,
        pure_half=True,
        fsdp_upcasts=False,
        holds_whole=True,
        sources=(
            ("holds_whole", "measured, not read: litgpt tutorials/resource-tables.md @ 8641822, six runs on 2 GPUs"),
            ("adapter", "litgpt 0.5.13 finetune/lora.py: bf16-true"),
            ("loss", "litgpt 0.5.13 finetune/lora.py lm_head_chunk_size=128, utils.py `chunked_cross_entropy`"),
            ("merged_query", "litgpt 0.5.13 lora.py `LoRAQKVLinear`"),
            ("unties", "litgpt 0.5 model.py: embedding and head are two parameters"),
            ("quantizes_head", "litgpt 0.5.13 finetune/lora.py: BitsandbytesPrecision without ignore_modules"),
        ),
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
        sources=(("adapter", "AnswerDotAI/fsdp_qlora @ 05ed9f2 train.py: precision bf16"),),
    ),
}


_WORDS: dict[str, tuple[str, ...]] = {
    "adapter": ("float32", "weights"),
    "adapter_quantized": ("float32", "weights"),
    "upcast": ("", "norms", "all"),
    "loss": tuple(LOSSES),
    "attention": ("sdpa", "eager", "flash_attention_2"),
    "dtype": ("auto", "float32", "bfloat16", "float16"),
}


_PLAIN = frozenset(("peft", "custom", "qlora.py", "llm-toolkit", "chatglm"))
"""Formats of scripts on transformers and PEFT themselves."""


def stack_for(framework: str, versions: dict[str, str] | None = None, **changes: Any) -> Stack:
    """The stack of a framework at the given package versions (the newest where none is given), with changes.

    A framework whose facts are not known is taken for transformers + PEFT, and its name says so.
    """
    found = STACKS.get(framework, _TRANSFORMERS)
    known = versions or {}
    transformers, trl, unsloth = (_release(known.get(name)) for name in ("transformers", "trl", "unsloth"))
    if found.name == "TRL":
        found = _trl_of(found, trl, transformers)
    if found.name == "unsloth" and unsloth is not None and unsloth < (2026,):
        # Its own cross-entropy on whole logits, and in 2025 chunks that fill half of the card's free memory.
        found = found._replace(loss="own_fused" if unsloth < (2025,) else "fused")
    if transformers is not None:
        found = _of_transformers(found, transformers)
    if framework not in STACKS and framework not in _PLAIN:
        found = found._replace(name=f"{found.name}, for want of {framework}'s facts")
    return found._replace(**changes)


def with_facts(stack: Stack, facts: dict[str, str]) -> Stack:
    """A stack with some facts set from text; raises ValueError naming what is wrong."""
    changes: dict[str, Any] = {}
    for name, text in facts.items():
        if name in ("name", "sources") or name not in Stack._fields:
            known = ", ".join(field for field in Stack._fields if field not in ("name", "sources"))
            raise ValueError(f"`{name}` is no fact of a stack; known: {known}")
        before = getattr(stack, name)
        if isinstance(before, bool):
            if text.lower() not in ("true", "false"):
                raise ValueError(f"{name}: `{text}` is neither true nor false")
            changes[name] = text.lower() == "true"
        elif isinstance(before, int):
            if not text.isdigit():
                raise ValueError(f"{name}: `{text}` is no whole number")
            changes[name] = int(text)
        elif isinstance(before, tuple):
            changes[name] = tuple(part for part in text.split("+") if part)
        else:
            allowed = _WORDS.get(name)
            if allowed is not None and text not in allowed:
                raise ValueError(f"{name}: `{text}` is none of {', '.join(word or 'nothing' for word in allowed)}")
            changes[name] = text
    sources = tuple((name, "said by the user") for name in facts)
    kept = tuple(source for source in stack.sources if source[0] not in facts)
    return stack._replace(**changes, sources=kept + sources)


def stack_of(reading: Reading, versions: dict[str, str]) -> Stack:
    """The stack of a config that was read, at the versions known for it."""
    own = {reading.framework: reading.version} if reading.version else {}
    facts = {name: True for name in ("host_experts", "quantizes_experts") if reading.facts.get(name)}
    return stack_for(reading.facts.get("stack", reading.framework), {**versions, **own}, **facts)


def _trl_of(found: Stack, trl: tuple[int, ...] | None, transformers: tuple[int, ...] | None) -> Stack:
    """TRL at a version; one of before 1.0 where only transformers is known and older than 5."""
    if trl is None and transformers is not None and transformers < (5,):
        trl = (0, 20)
    if trl is None or trl >= (1, 15):
        return found
    if trl < (0, 18) or (transformers is not None and transformers < (4, 53)):
        found = found._replace(packs_flat=False)
    if trl >= (1, 7):
        return found._replace(loss="chunked", chunk=256)
    found = found._replace(loss="pad", chunk=0)
    if trl < (0, 27):
        found = found._replace(dtype="auto")
    if trl < (0, 26):
        found = found._replace(adapter_quantized="float32", upcast="norms")
    return found._replace(checkpointing=False) if trl < (0, 23) else found


def _of_transformers(found: Stack, release: tuple[int, ...]) -> Stack:
    """What a release of transformers changes."""
    if found.loss == "pad" and release < (4, 49):
        found = found._replace(loss="replace" if release < (4, 46) else "shift")
    if release < (5,):
        found = found._replace(
            linear_experts=True, reentrant=True, cache=found.cache or found.name == _TRANSFORMERS.name
        )
    if release < (4, 54):
        found = found._replace(fused_adam=False)
    if release < (4, 53):
        found = found._replace(boolean_mask=False)
    if release < (4, 36):
        found = found._replace(attention="eager")
    if release < (4, 48):
        found = found._replace(repeats_kv=("mistral", "mixtral"))
    return found


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
