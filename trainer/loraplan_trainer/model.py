"""The base model and its tokenizer, loaded as the Plan says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from loraplan.plan import Plan
from loraplan_trainer import arguments
from loraplan_trainer.data.templates import TEMPLATES, is_template_text
from loraplan_trainer.failure import CannotRun
from loraplan_trainer.memory import is_out_of_memory
from loraplan_trainer.situation import Situation


def load_tokenizer(plan: Plan) -> Any:
    """The tokenizer, with a padding token, the Plan's new tokens and its chat template. Raises CannotRun."""
    from transformers import AutoTokenizer

    name = plan.model.name
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, revision=plan.model.revision, trust_remote_code=False)
    except Exception as error:  # whatever the hub client, the parser or the tokenizer itself raises
        raise CannotRun(f"model.name {name}: its tokenizer cannot be loaded: {_short(error)}") from error
    if tokenizer.pad_token is None:
        if tokenizer.eos_token is None:
            raise CannotRun(f"model.name {name}: its tokenizer has neither a padding nor an end token")
        tokenizer.pad_token = tokenizer.eos_token
    if plan.data.new_tokens:
        tokenizer.add_tokens(list(plan.data.new_tokens))
    template = plan.data.chat_template
    if template in TEMPLATES:
        tokenizer.chat_template = TEMPLATES[template]
    elif is_template_text(template):
        tokenizer.chat_template = template
    elif template is not None and template.endswith((".jinja", ".j2")):
        try:
            tokenizer.chat_template = Path(template).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise CannotRun(f"data.chat_template {template}: cannot be read ({error})") from error
    return tokenizer


def load_model(plan: Plan, situation: Situation, tokenizer: Any, local_rank: int = 0) -> Any:
    """The base model, quantized where the Plan says so, its embeddings grown to the tokenizer. Raises CannotRun."""
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    keywords = arguments.model(plan, situation)
    keywords["dtype"] = _dtype(keywords["dtype"])
    quantization = arguments.quantization(plan)
    if quantization is not None:
        for key in ("bnb_4bit_compute_dtype", "bnb_4bit_quant_storage"):
            if key in quantization:
                quantization[key] = _dtype(quantization[key], key)
        keywords["quantization_config"] = BitsAndBytesConfig(**quantization)
    # FSDP and DeepSpeed place the weights themselves; otherwise each process loads onto its own card.
    if situation.device == "cuda" and situation.sharding == "none":
        keywords["device_map"] = {"": local_rank}
    try:
        model = AutoModelForCausalLM.from_pretrained(plan.model.name, **keywords)
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise CannotRun(f"model.name {plan.model.name}: cannot be loaded: {_short(error)}") from error
    wanted = len(tokenizer)
    weight = model.get_input_embeddings().weight
    have = getattr(weight, "ds_shape", weight.shape)[0]  # ZeRO-3 has shared it out: its own shape is empty
    if wanted > have:
        if not (plan.data.new_tokens or plan.data.resize_vocab):
            raise CannotRun(
                f"model.name {plan.model.name}: its tokenizer has {wanted} tokens, its embeddings {have}; "
                "set data.resize_vocab: true and train the embeddings (adapter.modules_to_save)"
            )
        model.resize_token_embeddings(wanted)
    return model


def _dtype(name: str, field: str = "model.dtype") -> Any:
    import torch

    if name == "auto":
        return name
    dtype = getattr(torch, name, None)
    if not isinstance(dtype, torch.dtype):
        raise CannotRun(f"{field}: {name!r} is no dtype of torch")
    return dtype


def _short(error: BaseException) -> str:
    """The first lines of a library's message."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2])[:400] or type(error).__name__
