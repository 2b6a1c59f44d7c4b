"""Every field of the Plan and what becomes of its value here: honoured, refused, or without effect and why.

The rule: a value that would change what is learned is honoured or refused. One that changes only speed, memory or
bookkeeping may be without effect, and is then said to be. Needs no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from loraplan.plan import Plan, get, ordered_names
from loraplan_trainer.data.templates import TEMPLATES, is_template_text
from loraplan_trainer.failure import CannotRun
from loraplan_trainer.situation import Situation


@dataclass(frozen=True)
class Honoured:
    """By which argument of which library, or by which part of the trainer."""

    text: str


@dataclass(frozen=True)
class NoEffect:
    """Why the value does nothing here."""

    text: str


@dataclass(frozen=True)
class Refused:
    """Why the run does not start, and what to write instead."""

    text: str


Outcome = Honoured | NoEffect | Refused
Judge = Callable[[Any, Plan, Situation], Outcome]

OPTIMIZERS = {
    "adamw": "adamw_torch",
    "adamw_hf": "adamw_torch",
    "adam": "adamw_torch",
    "paged_adamw": "paged_adamw_32bit",
}
"""Other names of an optimizer that transformers has; `adam` is AdamW without weight decay."""
# transformers/training_args.py@5.23.0: OptimizerNames, less those that need arguments which the Plan has no field for.
KNOWN_OPTIMIZERS = frozenset(
    """adamw_torch adamw_torch_fused adafactor adamw_anyprecision adamw_torch_4bit adamw_torch_8bit ademamix sgd adagrad
    adamw_bnb_8bit adamw_8bit ademamix_8bit lion_8bit lion_32bit paged_adamw_32bit paged_adamw_8bit paged_ademamix_32bit
    paged_ademamix_8bit paged_lion_32bit paged_lion_8bit rmsprop rmsprop_bnb rmsprop_bnb_8bit rmsprop_bnb_32bit
    grokadamw schedule_free_radam schedule_free_adamw schedule_free_sgd stable_adamw""".split()
)
SCHEDULES = frozenset(
    "linear cosine cosine_with_restarts polynomial constant constant_with_warmup inverse_sqrt".split()
)
"""Learning-rate schedules of transformers that need no arguments of their own."""
INITS = frozenset({"true", "default", "kaiming", "false", "gaussian", "pissa", "olora", "orthogonal", "loftq"})
PACKING = {"bfd": "bfd", "bfd-requeue": "bfd_split", "bfd_split": "bfd_split", "wrapped": "wrapped"}


def _always(text: str) -> Judge:
    return lambda _value, _plan, _situation: Honoured(text)


def _never(text: str) -> Judge:
    return lambda _value, _plan, _situation: NoEffect(text)


def _choice(text: str, *values: str, instead: str) -> Judge:
    def judge(value: Any, _plan: Plan, _situation: Situation) -> Outcome:
        return Honoured(text) if value in values else Refused(f"{value!r} is not among {', '.join(values)}; {instead}")

    return judge


def _only_false(text: str, otherwise: Outcome) -> Judge:
    return lambda value, _plan, _situation: otherwise if value else Honoured(text)


def _adapter(text: str) -> Judge:
    """Of a setting that LoRA alone has."""

    def judge(_value: Any, plan: Plan, _situation: Situation) -> Outcome:
        return NoEffect("there is no adapter") if plan.adapter.method == "none" else Honoured(text)

    return judge


def _method(value: Any, _plan: Plan, _situation: Situation) -> Outcome:
    match value:
        case "sft":
            return Honoured("trl.SFTTrainer")
        case "pt":
            return Honoured("trl.SFTTrainer on whole texts, every token in the loss")
        case "dpo":
            return Honoured("trl.DPOTrainer, beta 0.1 (TRL's default; the Plan has no field for it)")
    return Refused(f"{value!r}: this trainer does sft, pt and dpo; train with the config's own framework")


def _attention(value: Any, _plan: Plan, _situation: Situation) -> Outcome:
    known = ("eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention")
    if value in known:
        return Honoured("from_pretrained(attn_implementation=)")
    if value == "xformers":
        return NoEffect("transformers has no xformers attention; `sdpa` computes the same and is used instead")
    return Refused(f"{value!r} would be fetched from a hub and run as code; use one of {', '.join(known)}")


def _dtype(value: Any, _plan: Plan, _situation: Situation) -> Outcome:
    if value in ("float32", "bfloat16", "float16", "auto"):
        return Honoured("from_pretrained(dtype=)")
    return Refused(f"{value!r} is no dtype that a model is trained in; use bfloat16, float16 or float32")


def _bits(value: Any, plan: Plan, _situation: Situation) -> Outcome:
    quantization = plan.quantization
    if value not in (4, 8, 16, 32):
        return Refused(f"{value:g} bits: bitsandbytes stores 4 or 8")
    if value in (4, 8) and plan.adapter.method == "none":
        return Refused("quantized weights cannot be trained themselves; set adapter.method to lora")
    if (value == 4 and quantization.load_in_8bit) or (value == 8 and quantization.load_in_4bit):
        return Refused(f"{value:g} contradicts the load_in_4bit and load_in_8bit settings; keep one of them")
    return Honoured("BitsAndBytesConfig" if value in (4, 8) else "no quantization")


def _quantized(text: str, bits: int | None = None) -> Judge:
    """Of a setting that only a quantized model has."""

    def judge(_value: Any, plan: Plan, _situation: Situation) -> Outcome:
        actual = quantized_bits(plan)
        if actual is None:
            return NoEffect("the model is not quantized")
        if bits is not None and actual != bits:
            return NoEffect(f"only {bits}-bit weights have it")
        return Honoured(f"BitsAndBytesConfig({text})")

    return judge


def _quantization_method(value: Any, plan: Plan, _situation: Situation) -> Outcome:
    if quantized_bits(plan) is None and value in ("bnb", "bitsandbytes", "none"):
        return NoEffect("the model is not quantized")
    if value in ("bnb", "bitsandbytes"):
        return Honoured("BitsAndBytesConfig")
    return Refused(f"{value!r}: this trainer quantizes with bitsandbytes only; set quantization.method to bnb")


def _load_in(bits: int) -> Judge:
    def judge(value: Any, plan: Plan, _situation: Situation) -> Outcome:
        if value and plan.adapter.method == "none":
            return Refused("quantized weights cannot be trained themselves; set adapter.method to lora")
        if value and plan.quantization.bits not in (None, bits):
            return Refused(f"contradicts quantization.bits {plan.quantization.bits:g}; keep one of them")
        return Honoured(f"BitsAndBytesConfig(load_in_{bits}bit=)")

    return judge


def _rank(value: Any, plan: Plan, _situation: Situation) -> Outcome:
    if plan.adapter.method == "none":
        return NoEffect("there is no adapter")
    if value != int(value) or value < 1:
        return Refused(f"{value:g} is no rank; use a whole number from 1")
    return Honoured("LoraConfig(r=)")


def _scaling(value: Any, plan: Plan, _situation: Situation) -> Outcome:
    adapter = plan.adapter
    if adapter.method == "none":
        return NoEffect("there is no adapter")
    if adapter.alpha is not None and adapter.r:
        given = adapter.alpha / (adapter.r**0.5 if adapter.use_rslora else adapter.r)
        if abs(given - value) > 1e-6 * abs(value):
            return Refused(f"{value:g} contradicts alpha {adapter.alpha:g} at rank {adapter.r:g}; keep one of them")
    return Honoured("LoraConfig(lora_alpha=), multiplied by the rank (its square root under rsLoRA)")


def _ranks(value: Any, plan: Plan, _situation: Situation) -> Outcome:
    if plan.adapter.method == "none":
        return NoEffect("there is no adapter")
    wrong = [f"{key}: {rank:g}" for key, rank in value.items() if rank != int(rank) or rank < 1]
    if wrong:
        return Refused(f"{', '.join(wrong)}: a rank is a whole number from 1")
    return Honoured("LoraConfig(rank_pattern=)")


def _init(value: Any, plan: Plan, situation: Situation) -> Outcome:
    adapter = plan.adapter
    if adapter.method == "none":
        return NoEffect("there is no adapter")
    known = value in INITS or (isinstance(value, str) and value.startswith("pissa_niter_"))
    if not known:
        return Refused(f"{value!r} is not among {', '.join(sorted(INITS))} and pissa_niter_N")
    quantized = quantized_bits(plan)
    if value == "loftq":
        if quantized != 4:
            return Refused("loftq makes up for a 4-bit base's error; set quantization.bits to 4, or another init")
        if situation.device == "cpu":
            return Refused("PEFT computes loftq on a CUDA device only; use init true")
        return Honoured("peft.replace_lora_weights_loftq")
    if mutates_base(value):
        if quantized is not None:
            return Refused(f"{value} rewrites base weights, which a quantized base does not allow; use true or loftq")
        if plan.method == "dpo":
            return Refused(f"{value} rewrites the base weights that DPO compares with; use true")
    return Honoured("LoraConfig(init_lora_weights=)")


def _dora(value: Any, plan: Plan, _situation: Situation) -> Outcome:
    if plan.adapter.method == "none":
        return NoEffect("there is no adapter")
    if value and mutates_base(plan.adapter.init):
        return Refused(f"with init {plan.adapter.init}: its change to the base cannot be saved as DoRA; use init true")
    return Honoured("LoraConfig(use_dora=)")


def _rslora(value: Any, plan: Plan, _situation: Situation) -> Outcome:
    if plan.adapter.method == "none":
        return NoEffect("there is no adapter")
    if value and mutates_base(plan.adapter.init) and (plan.adapter.rank_pattern or plan.adapter.alpha_pattern):
        return Refused(
            f"with init {plan.adapter.init} and patterns: PEFT cannot save that as plain LoRA; use init true"
        )
    return Honoured("LoraConfig(use_rslora=)")


def _task(value: Any, _plan: Plan, _situation: Situation) -> Outcome:
    if str(value).lower() == "causal_lm":
        return Honoured("AutoModelForCausalLM, LoraConfig(task_type=)")
    return Refused(f"{value!r}: this trainer trains causal language models")


def _targets(value: Any, plan: Plan, _situation: Situation) -> Outcome:
    if plan.adapter.method == "none":
        return NoEffect("there is no adapter")
    names = (value,) if isinstance(value, str) else value
    if "lm_head" in names:
        return Refused("lm_head cannot carry an adapter under TRL's fused loss; move it to adapter.modules_to_save")
    return Honoured("LoraConfig(target_modules=)")


def _optimizer(value: Any, plan: Plan, _situation: Situation) -> Outcome:
    name = OPTIMIZERS.get(value, value)
    if name not in KNOWN_OPTIMIZERS:
        return Refused(f"{value!r} is not among {', '.join(sorted(KNOWN_OPTIMIZERS))}")
    if value == "adam" and plan.optimizer.weight_decay:
        return Refused("adam with weight decay is L2 regularisation, which transformers does not have; use adamw_torch")
    return Honoured(f"TrainingArguments(optim={name})")


def _schedule(value: Any, _plan: Plan, _situation: Situation) -> Outcome:
    if value in SCHEDULES:
        return Honoured("TrainingArguments(lr_scheduler_type=)")
    return Refused(f"{value!r} is not among {', '.join(sorted(SCHEDULES))}")


def _warmup_ratio(value: Any, plan: Plan, _situation: Situation) -> Outcome:
    if plan.schedule.warmup_steps:
        return NoEffect(f"warmup_steps {plan.schedule.warmup_steps:g} wins, as in transformers")
    if not 0 <= value < 1:
        return Refused(f"{value:g} is no share of the run; use 0 up to, but not, 1, or warmup_steps")
    return Honoured("TrainingArguments(warmup_steps=), below 1 a share of the run")


def _warmup_steps(value: Any, _plan: Plan, _situation: Situation) -> Outcome:
    if value < 0 or value != int(value):
        return Refused(f"{value:g} is no number of steps; use a whole number from 0, or warmup_ratio")
    return Honoured("TrainingArguments(warmup_steps=)")


def _epochs(_value: Any, plan: Plan, _situation: Situation) -> Outcome:
    if plan.schedule.max_steps is not None and plan.schedule.max_steps > 0:
        return NoEffect(f"max_steps {plan.schedule.max_steps} wins, as in transformers")
    return Honoured("TrainingArguments(num_train_epochs=)")


def _global_batch(value: Any, plan: Plan, situation: Situation) -> Outcome:
    batch = plan.batch
    micro, accumulation = batch.micro_batch_size, batch.gradient_accumulation_steps
    each = (micro or 1) * situation.processes
    if micro is not None and accumulation is not None:
        if each * accumulation != value:
            return Refused(
                f"{value} is not micro_batch_size {micro} x accumulation {accumulation} x {situation.processes} "
                "processes; drop one of them"
            )
        return Honoured("micro_batch_size and accumulation make it up")
    if value % each:
        return Refused(f"{value} cannot be divided by micro_batch_size x processes = {each}")
    return Honoured("TrainingArguments(gradient_accumulation_steps=), worked out from it")


def _half(kind: str) -> Judge:
    def judge(value: Any, plan: Plan, situation: Situation) -> Outcome:
        if value and plan.precision.bf16 and plan.precision.fp16:
            return Refused("bf16 and fp16 exclude each other; keep one")
        if value and kind == "fp16" and situation.device == "cpu":
            return Refused("there is no fp16 training on a CPU; use bf16 or neither")
        return Honoured(f"TrainingArguments({kind}=)")

    return judge


def _tf32(_value: Any, _plan: Plan, situation: Situation) -> Outcome:
    if situation.device == "cpu":
        return NoEffect("there is no tf32 on a CPU")
    return Honoured("TrainingArguments(tf32=)")


def _checkpointing_kind(value: Any, plan: Plan, _situation: Situation) -> Outcome:
    if not plan.precision.gradient_checkpointing:
        return NoEffect("gradient checkpointing is off")
    return NoEffect(f"plain gradient checkpointing instead: the same gradients, more memory than {value!r}")


def _reentrant(_value: Any, plan: Plan, _situation: Situation) -> Outcome:
    if not plan.precision.gradient_checkpointing:
        return NoEffect("gradient checkpointing is off")
    return Honoured("TrainingArguments(activation_checkpointing_kwargs=)")


def _offloading(value: Any, _plan: Plan, situation: Situation) -> Outcome:
    if value and situation.device == "cpu":
        return NoEffect("activations are in main memory already")
    return Honoured("SFTConfig(activation_offloading=)")


def _fused_loss(value: Any, plan: Plan, situation: Situation) -> Outcome:
    if value == "liger" and situation.liger and plan.method != "dpo":
        return Honoured("SFTConfig(use_liger_kernel=) for the layers; the loss is TRL's own chunked one")
    if value == "liger":
        return NoEffect("liger-kernel is not installed; TRL's own chunked loss, the same values")
    return NoEffect("TRL's own chunked loss, the same values")


def _max_samples(value: Any, _plan: Plan, _situation: Situation) -> Outcome:
    if value < 1:
        return Refused(f"{value} examples; use a number from 1, or leave it out")
    return Honoured("the first rows of each training data set")


def _packing(value: Any, plan: Plan, _situation: Situation) -> Outcome:
    if value and plan.method == "dpo":
        return Refused("pairs cannot be packed; set data.packing to false")
    if value and plan.data.max_length is None:
        return Refused("without data.max_length there is nothing to pack into")
    return Honoured("SFTConfig(packing=)")


def _packing_strategy(value: Any, plan: Plan, _situation: Situation) -> Outcome:
    if not plan.data.packing:
        return NoEffect("packing is off")
    if value not in PACKING:
        return Refused(f"{value!r} is not among {', '.join(sorted(PACKING))}")
    return Honoured("SFTConfig(packing_strategy=)")


def _padding_free(value: Any, plan: Plan, situation: Situation) -> Outcome:
    if value and plan.method == "dpo":
        return NoEffect("TRL's DPO pads; the same loss")
    flash = str(plan.model.attn_implementation).startswith("flash_attention")
    if value and not (flash and situation.device == "cuda"):
        return NoEffect("without flash attention sequences would see each other; they are padded, the same loss")
    if value and plan.data.max_length is not None and not plan.data.packing:
        return NoEffect("TRL cannot cap sequences that it does not pad; they are padded, the same loss")
    return Honoured("SFTConfig(padding_free=)")


def _loss_mask(text: str) -> Judge:
    def judge(_value: Any, plan: Plan, _situation: Situation) -> Outcome:
        if plan.method == "dpo":
            return NoEffect("DPO scores completions only")
        if plan.method == "pt":
            return NoEffect("whole texts have no prompt")
        data = plan.data
        if data.train_on_prompt and data.completion_only_loss:
            return Refused("train_on_prompt and completion_only_loss exclude each other; keep one")
        return Honoured(text)

    return judge


def _assistant_only(value: Any, plan: Plan, situation: Situation) -> Outcome:
    if value and plan.data.train_on_prompt:
        return Refused("train_on_prompt and assistant_only_loss exclude each other; keep one")
    return _loss_mask("the labels of other turns are -100, by the template's generation marks")(value, plan, situation)


def _new_tokens(_value: Any, plan: Plan, _situation: Situation) -> Outcome:
    if plan.adapter.method == "none":
        return Honoured("tokenizer.add_tokens, resize_token_embeddings")
    trained = plan.adapter.modules_to_save or plan.adapter.target_modules or ()
    names = (trained,) if isinstance(trained, str) else trained
    if plan.adapter.trainable_token_indices or any("embed" in name or name == "wte" for name in names):
        return Honoured("tokenizer.add_tokens, resize_token_embeddings")
    return Refused(
        "their embeddings would stay random: put embed_tokens (and lm_head) in adapter.modules_to_save, "
        "or their indices in adapter.trainable_token_indices"
    )


def _template(value: Any, _plan: Plan, _situation: Situation) -> Outcome:
    if value in TEMPLATES:
        return Honoured("a template of that name from this trainer, applied to every conversation")
    if is_template_text(value) or str(value).endswith((".jinja", ".j2")):
        return Honoured("tokenizer.chat_template")
    if value in ("tokenizer_default", "tokenizer"):
        return Honoured("the tokenizer's own template")
    return Refused(
        f"{value!r}: templates here are {', '.join(sorted(TEMPLATES))}, tokenizer_default, a .jinja file, or the "
        "template's text"
    )


def _val_size(value: Any, plan: Plan, _situation: Situation) -> Outcome:
    if plan.data.eval_datasets and value:
        return NoEffect("eval_datasets are given")
    if value < 0 or (value > 1 and value != int(value)):
        return Refused(f"{value:g} is neither a share from 0 to 1 nor a number of examples")
    return Honoured("a seeded split of the training data")


def _strategy(value: Any, _plan: Plan, situation: Situation) -> Outcome:
    sharded = {"fsdp": "fsdp", "fsdp2": "fsdp"}.get(value) or (
        "deepspeed" if value == "deepspeed" or str(value).startswith("zero") else "none"
    )
    if sharded == situation.sharding:
        return Honoured("the launcher's accelerate settings")
    if situation.processes == 1 and situation.sharding == "none":
        return NoEffect("one process: there is nothing to share out")
    return Refused(
        f"{value!r}, but the processes were started with sharding {situation.sharding!r}; "
        "start them with `accelerate launch --config_file` and the accelerate config that `loraplan train` writes"
    )


def _launcher(_value: Any, _plan: Plan, situation: Situation) -> Outcome:
    if situation.sharding == "none":
        return NoEffect("nothing is sharded")
    return Honoured("the launcher's accelerate settings")


def _devices(value: Any, _plan: Plan, situation: Situation) -> Outcome:
    if value == situation.processes:
        return Honoured("that many processes")
    return NoEffect(f"{situation.processes} process(es) run; see the effective batch in the log")


def _single(what: str) -> Judge:
    def judge(value: Any, _plan: Plan, _situation: Situation) -> Outcome:
        return Honoured("none") if value <= 1 else Refused(f"{value}: this trainer has no {what} parallelism; use 1")

    return judge


def _eval_strategy(value: Any, _plan: Plan, situation: Situation) -> Outcome:
    if value not in ("no", "steps", "epoch"):
        return Refused(f"{value!r} is not among no, steps, epoch")
    if value != "no" and not situation.eval_data:
        return NoEffect("there are no held-out data")
    return Honoured("TrainingArguments(eval_strategy=)")


def _eval_steps(_value: Any, plan: Plan, situation: Situation) -> Outcome:
    if not situation.eval_data or plan.run.eval_strategy != "steps":
        return NoEffect("there is no evaluation by steps")
    return Honoured("TrainingArguments(eval_steps=)")


def _save_steps(_value: Any, plan: Plan, _situation: Situation) -> Outcome:
    if plan.run.save_strategy not in (None, "steps"):
        return NoEffect(f"save_strategy is {plan.run.save_strategy!r}")
    return Honoured("TrainingArguments(save_steps=)")


def _best(value: Any, _plan: Plan, situation: Situation) -> Outcome:
    if value and not situation.eval_data:
        return Refused("there are no held-out data to judge by; set data.val_size or run.load_best_model_at_end: false")
    return Honoured("TrainingArguments(load_best_model_at_end=)")


def _resume_from(value: Any, _plan: Plan, _situation: Situation) -> Outcome:
    if str(value).lower() in ("false", "none", ""):
        return NoEffect("nothing to continue from")
    return Refused("a run continues in its own directory: `loraplan train --resume`, without this setting")


TABLE: dict[str, Judge] = {
    "method": _method,
    "model.name": _always("from_pretrained"),
    "model.revision": _always("from_pretrained(revision=)"),
    "model.trust_remote_code": _only_false(
        "from_pretrained(trust_remote_code=False)",
        NoEffect("code from a model's repository is never run; a model that needs it fails to load"),
    ),
    "model.dtype": _dtype,
    "model.attn_implementation": _attention,
    "model.task": _task,
    "model.max_position_embeddings": _never("a fact about the model, not a setting"),
    "adapter.method": _choice(
        "LoraConfig, or training of all weights", "lora", "none", instead="train with the config's own framework"
    ),
    "adapter.r": _rank,
    "adapter.alpha": _adapter("LoraConfig(lora_alpha=)"),
    "adapter.scaling": _scaling,
    "adapter.dropout": _adapter("LoraConfig(lora_dropout=)"),
    "adapter.bias": _choice("LoraConfig(bias=)", "none", "all", "lora_only", instead="use none"),
    "adapter.lora_bias": _adapter("LoraConfig(lora_bias=)"),
    "adapter.target_modules": _targets,
    "adapter.exclude_modules": _adapter("LoraConfig(exclude_modules=)"),
    "adapter.target_parameters": _adapter("LoraConfig(target_parameters=)"),
    "adapter.modules_to_save": _adapter("LoraConfig(modules_to_save=)"),
    "adapter.layers_to_transform": _adapter("LoraConfig(layers_to_transform=)"),
    "adapter.layers_pattern": _adapter("LoraConfig(layers_pattern=)"),
    "adapter.rank_pattern": _ranks,
    "adapter.alpha_pattern": _adapter("LoraConfig(alpha_pattern=)"),
    "adapter.trainable_token_indices": _adapter("LoraConfig(trainable_token_indices=)"),
    "adapter.ensure_weight_tying": _adapter("LoraConfig(ensure_weight_tying=)"),
    "adapter.fan_in_fan_out": _adapter("LoraConfig(fan_in_fan_out=)"),
    "adapter.use_rslora": _rslora,
    "adapter.use_dora": _dora,
    "adapter.init": _init,
    "adapter.loftq_config": lambda value, plan, _: (
        NoEffect("adapter.init is not loftq")
        if not value or plan.adapter.init != "loftq"
        else Honoured("peft.replace_lora_weights_loftq: 4 bits, one iteration")
    ),
    "adapter.loraplus_lr_ratio": _adapter("peft.optimizers.create_loraplus_optimizer(loraplus_lr_ratio=)"),
    "adapter.autocast_adapter_dtype": _adapter("get_peft_model(autocast_adapter_dtype=)"),
    "adapter.task_type": _task,
    "adapter.resume_from": _adapter("PeftModel.from_pretrained(is_trainable=True), a local directory"),
    "quantization.bits": _bits,
    "quantization.method": _quantization_method,
    "quantization.load_in_4bit": _load_in(4),
    "quantization.load_in_8bit": _load_in(8),
    "quantization.quant_type": lambda value, plan, situation: (
        Refused(f"{value!r} is neither nf4 nor fp4")
        if value not in ("nf4", "fp4") and quantized_bits(plan) == 4
        else _quantized("bnb_4bit_quant_type=", 4)(value, plan, situation)
    ),
    "quantization.double_quant": _quantized("bnb_4bit_use_double_quant=", 4),
    "quantization.compute_dtype": _quantized("bnb_4bit_compute_dtype=", 4),
    "quantization.quant_storage": _quantized("bnb_4bit_quant_storage=", 4),
    "quantization.llm_int8_threshold": _quantized("llm_int8_threshold=", 8),
    "optimizer.name": _optimizer,
    "optimizer.learning_rate": _always("TrainingArguments(learning_rate=)"),
    "optimizer.weight_decay": _always("TrainingArguments(weight_decay=)"),
    "optimizer.beta1": _always("TrainingArguments(adam_beta1=)"),
    "optimizer.beta2": _always("TrainingArguments(adam_beta2=)"),
    "optimizer.epsilon": _always("TrainingArguments(adam_epsilon=)"),
    "optimizer.max_grad_norm": _always("TrainingArguments(max_grad_norm=)"),
    "optimizer.args": _always("TrainingArguments(optim_args=)"),
    "schedule.name": _schedule,
    "schedule.warmup_ratio": _warmup_ratio,
    "schedule.warmup_steps": _warmup_steps,
    "schedule.epochs": _epochs,
    "schedule.max_steps": lambda value, _plan, _situation: (
        Honoured("TrainingArguments(max_steps=)") if value > 0 else NoEffect("no cap")
    ),
    "batch.micro_batch_size": _always("TrainingArguments(per_device_train_batch_size=)"),
    "batch.gradient_accumulation_steps": _always("TrainingArguments(gradient_accumulation_steps=)"),
    "batch.global_batch_size": _global_batch,
    "batch.eval_batch_size": _always("TrainingArguments(per_device_eval_batch_size=)"),
    "precision.bf16": _half("bf16"),
    "precision.fp16": _half("fp16"),
    "precision.tf32": _tf32,
    "precision.gradient_checkpointing": _always("TrainingArguments(activation_checkpointing=)"),
    "precision.checkpointing_kind": _checkpointing_kind,
    "precision.use_reentrant": _reentrant,
    "precision.activation_offloading": _offloading,
    "precision.fused_loss": _fused_loss,
    "precision.compile": _always("TrainingArguments(torch_compile=)"),
    "data.datasets": _always("the manifest's data"),
    "data.max_samples": _max_samples,
    "data.max_length": _always("SFTConfig(max_length=)"),
    "data.packing": _packing,
    "data.packing_strategy": _packing_strategy,
    "data.padding_free": _padding_free,
    "data.train_on_prompt": _loss_mask("the labels of the prompt are -100 unless true"),
    "data.completion_only_loss": _loss_mask("the labels of the prompt are -100 where true"),
    "data.assistant_only_loss": _assistant_only,
    "data.new_tokens": _new_tokens,
    "data.resize_vocab": _always("resize_token_embeddings, where the tokenizer has more tokens than the model"),
    "data.val_size": _val_size,
    "data.eval_datasets": _always("the manifest's data"),
    "data.chat_template": _template,
    "distributed.strategy": _strategy,
    "distributed.deepspeed": _launcher,
    "distributed.fsdp": _launcher,
    "distributed.devices": _devices,
    "distributed.offload": _launcher,
    "distributed.tensor_parallel": _single("tensor"),
    "distributed.context_parallel": _single("context"),
    "run.eval_strategy": _eval_strategy,
    "run.eval_steps": _eval_steps,
    "run.save_strategy": _choice(
        "TrainingArguments(save_strategy=)", "no", "steps", "epoch", "best", instead="use steps"
    ),
    "run.save_steps": _save_steps,
    "run.logging_steps": _always("TrainingArguments(logging_steps=)"),
    "run.load_best_model_at_end": _best,
    "run.seed": _always("TrainingArguments(seed=)"),
    "run.output_dir": _never("the run's own directory is used"),
    "run.push_to_hub": _only_false(
        "nothing is uploaded", NoEffect("this trainer uploads nothing; upload `adapter/` with `hf upload`")
    ),
    "run.hub_private_repo": _never("nothing is uploaded"),
    "run.neftune_noise_alpha": _always("TrainingArguments(neftune_noise_alpha=)"),
    "run.resume_from_checkpoint": _resume_from,
}


def quantized_bits(plan: Plan) -> int | None:
    """4 or 8 where the base weights are to be quantized, else None."""
    quantization = plan.quantization
    if quantization.bits in (4, 8):
        return int(quantization.bits)
    if quantization.load_in_4bit:
        return 4
    return 8 if quantization.load_in_8bit else None


def mutates_base(init: str | None) -> bool:
    """Whether an initialisation moves part of the base weights into the adapter."""
    return init is not None and (init == "olora" or init.startswith("pissa"))


def judge(plan: Plan, situation: Situation) -> Iterator[tuple[str, Any, Outcome]]:
    """Every field that has a value, in the Plan's order, with its value and what becomes of it."""
    for name in ordered_names():
        value = get(plan, name)
        if value is not None:
            yield name, value, TABLE[name](value, plan, situation)


def accept(plan: Plan, situation: Situation) -> list[tuple[str, Any, Honoured | NoEffect]]:
    """What `judge` says of a Plan that can be trained. Raises CannotRun, naming every refused field."""
    accepted: list[tuple[str, Any, Honoured | NoEffect]] = []
    refused: list[str] = []
    if plan.model.name is None:
        refused.append("model.name: no model is named; name one, or a directory that holds one")
    for name, value, outcome in judge(plan, situation):
        if isinstance(outcome, Refused):
            refused.append(f"{name}: {outcome.text}")
        else:
            accepted.append((name, value, outcome))
    if refused:
        raise CannotRun("this plan cannot be trained as it stands:\n" + "\n".join(f"  {line}" for line in refused))
    return accepted
