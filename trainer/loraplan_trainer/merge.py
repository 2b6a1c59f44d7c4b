"""The adapter merged into 16-bit base weights, written, read back and compared with base plus adapter."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from loraplan.plan import Plan
from loraplan_trainer.events import Merge
from loraplan_trainer.failure import CannotRun

ROUNDINGS = 32
"""Roundings of the dtype, relative to the largest logit, that two ways to compute the same may differ by."""
_TOKENS = 32


def merge(plan: Plan, tokenizer: Any, adapter: Path, target: Path) -> Merge:
    """Write the merged model to `target`. Raises CannotRun where it does not compute what the adapter computes."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    dtype = torch.float16 if plan.model.dtype == "float16" or plan.precision.fp16 else torch.bfloat16
    # On the CPU: the card may be full, and the merge is one pass over the weights.
    base = AutoModelForCausalLM.from_pretrained(
        plan.model.name, revision=plan.model.revision, dtype=dtype, trust_remote_code=False
    )
    if len(tokenizer) > base.get_input_embeddings().weight.shape[0]:
        base.resize_token_embeddings(len(tokenizer))
    count = min(base.config.get_text_config().vocab_size, len(tokenizer))
    ids = torch.arange(_TOKENS).remainder(count).unsqueeze(0)
    with torch.no_grad():
        adapted = PeftModel.from_pretrained(base, str(adapter)).eval()
        wanted = adapted(input_ids=ids).logits.float()
        merged = adapted.merge_and_unload(safe_merge=True)
        staged = target.with_name(f".{target.name}.writing")
        shutil.rmtree(staged, ignore_errors=True)
        merged.save_pretrained(str(staged))
        tokenizer.save_pretrained(str(staged))
        del base, adapted, merged
        written = AutoModelForCausalLM.from_pretrained(str(staged), dtype=dtype, trust_remote_code=False).eval()
        found = written(input_ids=ids).logits.float()
    difference = (wanted - found).abs().max().item()
    tolerance = ROUNDINGS * torch.finfo(dtype).eps * wanted.abs().max().item()
    if not difference <= tolerance:
        shutil.rmtree(staged, ignore_errors=True)
        raise CannotRun(
            f"the merged model's logits differ from the adapter's by {difference:.3g}, more than {tolerance:.3g}: "
            f"not kept; the adapter in {adapter} is good"
        )
    shutil.rmtree(target, ignore_errors=True)
    staged.rename(target)
    return Merge(
        path=str(target),
        dtype=str(dtype).removeprefix("torch."),
        largest_difference=difference,
        tolerance=tolerance,
    )
