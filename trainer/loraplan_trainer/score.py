"""`python -m loraplan_trainer.score MODEL ADAPTER DATA OUT`: a model on held-out pairs, without and with its adapter.

The adapter is read back by plain PEFT. Loss is the mean over the completions' tokens, the end token among them; a match
is exact when the greedy completion, up to the end token, equals the row's.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

_BATCH = 20
_EXTRA_TOKENS = 4
"""Room beyond the longest right answer: a longer completion is wrong already."""

Pair = tuple[str, str]


def main(given: list[str]) -> int:
    """Score and write the result as JSON; the exit code."""
    if len(given) != 4:
        sys.stderr.write("usage: python -m loraplan_trainer.score MODEL ADAPTER DATA OUT\n")
        return 2
    name, adapter, data, out = given
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    rows = [json.loads(line) for line in Path(data).read_text(encoding="utf-8").splitlines()]
    pairs = [(row["prompt"], row["completion"]) for row in rows]
    tokenizer = AutoTokenizer.from_pretrained(name)
    tokenizer.padding_side = "left"
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(name, dtype="float32"), adapter)
    model.eval()
    with model.disable_adapter():
        before = score(model, tokenizer, pairs)
    after = score(model, tokenizer, pairs)
    Path(out).write_text(json.dumps({"before": before, "after": after}, ensure_ascii=False), encoding="utf-8")
    return 0


def score(model: Any, tokenizer: Any, pairs: list[Pair]) -> dict[str, Any]:
    """Loss, exact matches, and what was written for each prompt."""
    answers = [tokenizer(completion)["input_ids"] for _, completion in pairs]
    most = max(map(len, answers)) + _EXTRA_TOKENS
    total, count = 0.0, 0
    written: list[str] = []
    for start in range(0, len(pairs), _BATCH):
        batch = pairs[start : start + _BATCH]
        loss, tokens = _loss(model, tokenizer, batch)
        total, count = total + loss, count + tokens
        written += _complete(model, tokenizer, [prompt for prompt, _ in batch], most)
    right = sum(text.strip() == completion.strip() for text, (_, completion) in zip(written, pairs, strict=True))
    return {"loss": total / count, "right": right, "examples": len(pairs), "written": written}


def _loss(model: Any, tokenizer: Any, batch: list[Pair]) -> tuple[float, int]:
    """The summed loss of the completions' tokens, and their number."""
    import torch

    sequences, begins = [], []
    for prompt, completion in batch:
        sequences.append(tokenizer(prompt + completion + tokenizer.eos_token)["input_ids"])
        begins.append(len(tokenizer(prompt)["input_ids"]))
    padded = tokenizer.pad({"input_ids": sequences}, return_tensors="pt")
    labels = padded["input_ids"].clone()
    width = labels.shape[1]
    for row, (ids, begin) in enumerate(zip(sequences, begins, strict=True)):
        labels[row, : width - len(ids) + begin] = -100
    # A padding token may be the end token: what counts is where a sequence stands, not which token it is.
    with torch.no_grad():
        logits = model(**padded).logits[:, :-1]
    loss = torch.nn.functional.cross_entropy(
        logits.reshape(-1, logits.shape[-1]).float(), labels[:, 1:].reshape(-1), ignore_index=-100, reduction="sum"
    )
    return float(loss), int((labels[:, 1:] != -100).sum())


def _complete(model: Any, tokenizer: Any, prompts: list[str], most: int) -> list[str]:
    import torch

    padded = tokenizer(prompts, return_tensors="pt", padding=True)
    with torch.no_grad():
        ids = model.generate(**padded, max_new_tokens=most, do_sample=False, pad_token_id=tokenizer.pad_token_id)
    return list(tokenizer.batch_decode(ids[:, padded["input_ids"].shape[1] :], skip_special_tokens=True))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
