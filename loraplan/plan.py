"""The canonical training plan: what any framework's config means, in the field's standard terms. None is unknown.

Plain values only; where each came from is a side table (`loraplan.origin`). Rules read `plan.adapter.r`.
"""

from dataclasses import field, fields
from functools import cache
from typing import Any, ClassVar

from loraplan.record import record

_FORBID: dict[str, Any] = {"extra": "forbid"}


@record()
class Model:
    """The base model and how it is loaded."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _FORBID
    name: str | None = None
    revision: str | None = None
    trust_remote_code: bool | None = None
    dtype: str | None = None
    """Load dtype: `float32`, `bfloat16`, `float16` or `auto`."""
    attn_implementation: str | None = None
    """`eager`, `sdpa`, `flash_attention_2`, `flash_attention_3`, `flex_attention`, `xformers` or a kernel's name."""
    task: str | None = None
    """`causal_lm`, `sequence_classification`, `token_classification`, `seq2seq_lm`, `vision_language`, ..."""
    max_position_embeddings: int | None = None


@record()
class Adapter:
    """The PEFT method and its settings, with PEFT's meaning of every field (peft 0.21 `LoraConfig`)."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _FORBID
    method: str | None = None
    """`lora`, `none` (full fine-tuning, or LoRA switched off), or another PEFT method's name in lower case."""
    r: float | None = None
    alpha: float | None = None
    scaling: float | None = None
    """The multiplier itself, where the format gives it instead of alpha (mlx-lm `scale`, mistral-finetune)."""
    dropout: float | None = None
    bias: str | None = None
    lora_bias: bool | None = None
    target_modules: tuple[str, ...] | str | None = None
    """A tuple of suffixes, or a string: `all-linear` or a regular expression (PEFT's fullmatch)."""
    exclude_modules: tuple[str, ...] | str | None = None
    target_parameters: tuple[str, ...] | None = None
    modules_to_save: tuple[str, ...] | None = None
    layers_to_transform: tuple[int, ...] | None = None
    layers_pattern: tuple[str, ...] | str | None = None
    rank_pattern: dict[str, float] | None = None
    alpha_pattern: dict[str, float] | None = None
    trainable_token_indices: tuple[int, ...] | None = None
    ensure_weight_tying: bool | None = None
    fan_in_fan_out: bool | None = None
    use_rslora: bool | None = None
    use_dora: bool | None = None
    init: str | None = None
    """`init_lora_weights` as a lower-case string: `true`, `gaussian`, `pissa`, `olora`, `loftq`, ..."""
    loftq_config: bool | None = None
    loraplus_lr_ratio: float | None = None
    autocast_adapter_dtype: bool | None = None
    task_type: str | None = None
    resume_from: str | None = None
    """A trained adapter that the run continues from."""


@record()
class Quantization:
    """Storage of the base weights while training."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _FORBID
    bits: float | None = None
    """4 or 8 when quantized, 16 when plainly not, None when unknown."""
    method: str | None = None
    """`bnb`, `gptq`, `awq`, `hqq`, `aqlm`, `eetq`, `torchao`, `nf4tensor`, `fp8`, ..."""
    load_in_4bit: bool | None = None
    load_in_8bit: bool | None = None
    quant_type: str | None = None
    double_quant: bool | None = None
    compute_dtype: str | None = None
    quant_storage: str | None = None
    llm_int8_threshold: float | None = None


@record()
class Optimizer:
    """Optimizer and its hyperparameters; `learning_rate` is the peak rate."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _FORBID
    name: str | None = None
    learning_rate: float | None = None
    weight_decay: float | None = None
    beta1: float | None = None
    beta2: float | None = None
    epsilon: float | None = None
    max_grad_norm: float | None = None
    args: str | None = None
    """Settings of one optimizer's own, as transformers' `optim_args` has them: `rank=64,scale=0.5`."""
    target_modules: tuple[str, ...] | str | None = None
    """Modules whose gradients GaLore and APOLLO project: suffixes, a regular expression or `all-linear`."""


@record()
class Schedule:
    """Learning-rate schedule and length of the run. `max_steps` counts optimizer steps; it is None when unlimited."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _FORBID
    name: str | None = None
    warmup_ratio: float | None = None
    warmup_steps: float | None = None
    """Optimizer steps; under transformers 5 a value below 1 is a ratio, and the reader moves it to `warmup_ratio`."""
    epochs: float | None = None
    max_steps: int | None = None
    args: dict[str, float | str] | None = None
    """Arguments of transformers' schedule of that name: `min_lr_rate`, `num_decay_steps`, `num_cycles`, `power`, ..."""


@record()
class Loss:
    """The loss, where the method leaves a choice."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _FORBID
    type: tuple[str, ...] | None = None
    """`nll` or `dft` of supervised fine-tuning; `sigmoid`, `ipo`, `hinge`, ... of DPO, several of which add up."""
    weights: tuple[float, ...] | None = None
    """One for each of several types."""
    beta: float | None = None
    """How near the reference model holds the trained one: of DPO, KTO and their kin, or the weight of the KL term."""
    label_smoothing: float | None = None
    """Share of preferences that are taken for wrong."""


@record()
class Batch:
    """Examples per forward pass and per optimizer step."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _FORBID
    micro_batch_size: int | None = None
    """Examples per device and forward pass."""
    gradient_accumulation_steps: int | None = None
    global_batch_size: int | None = None
    """Examples per optimizer step over all devices, where the format states it."""
    eval_batch_size: int | None = None


@record()
class Precision:
    """Mixed precision and memory-saving switches of the training loop."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _FORBID
    bf16: bool | None = None
    fp16: bool | None = None
    tf32: bool | None = None
    gradient_checkpointing: bool | None = None
    checkpointing_kind: str | None = None
    """`unsloth`, `offload`, `offload_disk`, where not the plain one."""
    use_reentrant: bool | None = None
    activation_offloading: bool | None = None
    fused_loss: str | None = None
    """`liger`, `cut_cross_entropy`, `chunked`, `unsloth`, `none`."""
    compile: bool | None = None


@record()
class Data:
    """Datasets and how examples become token sequences."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _FORBID
    datasets: tuple[str, ...] | None = None
    max_samples: int | None = None
    max_length: int | None = None
    """Tokens per sequence, the cap."""
    packing: bool | None = None
    packing_strategy: str | None = None
    padding_free: bool | None = None
    train_on_prompt: bool | None = None
    completion_only_loss: bool | None = None
    assistant_only_loss: bool | None = None
    new_tokens: tuple[str, ...] | None = None
    resize_vocab: bool | None = None
    val_size: float | None = None
    eval_datasets: tuple[str, ...] | None = None
    chat_template: str | None = None
    sampling: str | None = None
    """Order of the examples: `random`, `sequential`, `group_by_length`, `batch_rebalance`."""


@record()
class Distributed:
    """Devices and how the run is spread over them."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _FORBID
    strategy: str | None = None
    """`single`, `ddp`, `fsdp`, `fsdp2`, `zero1`, `zero2`, `zero3`, `deepspeed` (stage unknown)."""
    deepspeed: str | None = None
    fsdp: str | None = None
    devices: int | None = None
    """Data-parallel processes over all nodes."""
    offload: bool | None = None
    tensor_parallel: int | None = None
    context_parallel: int | None = None


@record()
class Run:
    """Evaluation, saving, logging and the rest of the run."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _FORBID
    eval_strategy: str | None = None
    eval_steps: float | None = None
    save_strategy: str | None = None
    save_steps: float | None = None
    logging_steps: float | None = None
    load_best_model_at_end: bool | None = None
    seed: int | None = None
    data_seed: int | None = None
    """Of the order of the examples alone; the seed where it is None."""
    early_stopping_patience: int | None = None
    """Evaluations in a row without a lower held-out loss after which training stops."""
    output_dir: str | None = None
    push_to_hub: bool | None = None
    hub_private_repo: bool | None = None
    neftune_noise_alpha: float | None = None
    resume_from_checkpoint: str | None = None


@record()
class Plan:
    """One training run. `method` is `sft`, `pt`, `dpo`, `orpo`, `kto`, `simpo`, `grpo`, `ppo`, `rloo`, `reward`, ..."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _FORBID
    method: str | None = None
    model: Model = field(default_factory=Model)
    adapter: Adapter = field(default_factory=Adapter)
    quantization: Quantization = field(default_factory=Quantization)
    optimizer: Optimizer = field(default_factory=Optimizer)
    schedule: Schedule = field(default_factory=Schedule)
    loss: Loss = field(default_factory=Loss)
    batch: Batch = field(default_factory=Batch)
    precision: Precision = field(default_factory=Precision)
    data: Data = field(default_factory=Data)
    distributed: Distributed = field(default_factory=Distributed)
    run: Run = field(default_factory=Run)


SECTIONS: dict[str, type] = {
    "model": Model,
    "adapter": Adapter,
    "quantization": Quantization,
    "optimizer": Optimizer,
    "schedule": Schedule,
    "loss": Loss,
    "batch": Batch,
    "precision": Precision,
    "data": Data,
    "distributed": Distributed,
    "run": Run,
}


@cache
def ordered_names() -> tuple[str, ...]:
    """Every dotted field of the Plan in order: `method`, `model.name`, ..."""
    return ("method", *(f"{section}.{item.name}" for section, kind in SECTIONS.items() for item in fields(kind)))


@cache
def field_names() -> frozenset[str]:
    """Every dotted field of the Plan: `adapter.r`, ..., and `method`."""
    return frozenset(ordered_names())


def build(values: dict[str, Any]) -> Plan:
    """A Plan from dotted field names; an unknown field is a KeyError, a bug in the caller."""
    sections: dict[str, dict[str, Any]] = {name: {} for name in SECTIONS}
    method = None
    for name, value in values.items():
        if name == "method":
            method = value
        else:
            section, _, leaf = name.partition(".")
            sections[section][leaf] = value
    return Plan(method=method, **{name: kind(**sections[name]) for name, kind in SECTIONS.items()})


def get(plan: Plan, name: str) -> Any:
    """The value of a dotted field."""
    if name == "method":
        return plan.method
    section, _, leaf = name.partition(".")
    return getattr(getattr(plan, section), leaf)
