"""What the model writes after fixed prompts, greedily."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from loraplan_trainer.data import forms
from loraplan_trainer.events import Event, Sample


def complete(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    *,
    when: Literal["before", "after"],
    form: str,
    conversational: bool,
    tokens: int,
    report: Callable[[Event], None],
) -> None:
    """Report a completion of each prompt, put to the model as the training data are."""
    import torch

    training = model.training
    model.eval()
    try:
        for prompt in prompts:
            ids = torch.tensor([_ids(tokenizer, prompt, form, conversational)], device=model.device)
            with torch.no_grad():
                written = model.generate(
                    input_ids=ids,
                    attention_mask=torch.ones_like(ids),
                    max_new_tokens=tokens,
                    do_sample=False,
                    pad_token_id=tokenizer.pad_token_id,
                )
            completion = tokenizer.decode(written[0, ids.shape[1] :], skip_special_tokens=True)
            report(Sample(when=when, prompt=prompt, completion=completion))
    finally:
        model.train(training)


def _ids(tokenizer: Any, prompt: str, form: str, conversational: bool) -> list[int]:
    if conversational:
        messages = [{"role": "user", "content": prompt}]
        found = tokenizer.apply_chat_template(messages, tokenize=True, return_dict=True, add_generation_prompt=True)
        return list(found["input_ids"])
    text = forms.alpaca_prompt(prompt) if form == "alpaca" else prompt
    return list(tokenizer(text)["input_ids"])
