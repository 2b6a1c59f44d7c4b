"""Fields of the data."""

from __future__ import annotations

from typing import Any

from loraplan.plan import Plan
from loraplan_trainer.data.templates import TEMPLATES, is_template_text
from loraplan_trainer.fields.outcomes import Honoured, Judge, NoEffect, Outcome, Refused, always
from loraplan_trainer.situation import Situation

SAMPLING = ("random", "sequential", "group_by_length", "batch_rebalance")
PACKING = {"bfd": "bfd", "bfd-requeue": "bfd_split", "bfd_split": "bfd_split", "wrapped": "wrapped"}


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


def _sampling(value: Any, plan: Plan, _situation: Situation) -> Outcome:
    if value not in SAMPLING:
        return Refused(f"{value!r} is not among {', '.join(SAMPLING)}")
    if plan.method == "dpo" and value in ("group_by_length", "batch_rebalance"):
        return NoEffect("a pair has two lengths; pairs are drawn at random")
    return Honoured("TrainingArguments(train_sampling_strategy=)")


JUDGES: dict[str, Judge] = {
    "data.datasets": always("the manifest's data"),
    "data.max_samples": _max_samples,
    "data.max_length": always("SFTConfig(max_length=)"),
    "data.packing": _packing,
    "data.packing_strategy": _packing_strategy,
    "data.padding_free": _padding_free,
    "data.train_on_prompt": _loss_mask("the labels of the prompt are -100 unless true"),
    "data.completion_only_loss": _loss_mask("the labels of the prompt are -100 where true"),
    "data.assistant_only_loss": _assistant_only,
    "data.new_tokens": _new_tokens,
    "data.resize_vocab": always("resize_token_embeddings, where the tokenizer has more tokens than the model"),
    "data.val_size": _val_size,
    "data.eval_datasets": always("the manifest's data"),
    "data.chat_template": _template,
    "data.sampling": _sampling,
}
