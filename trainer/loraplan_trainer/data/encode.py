"""Examples as token sequences and labels, exactly as TRL 1.16 tokenizes them, but with what was cut still countable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from loraplan.plan import Plan
from loraplan_trainer.data.forms import Broken, Chat, ChatPair, Example, Message, Pair, Preference, Text
from loraplan_trainer.failure import CannotRun

IGNORED = -100


@dataclass(frozen=True)
class Mask:
    """Which tokens the loss sees."""

    prompt: bool
    """The prompt of a pair."""
    others: bool
    """Turns of a conversation that are not the assistant's."""


def mask(plan: Plan) -> Mask:
    """From the Plan's settings: train_on_prompt decides where it is given, else TRL's two and their defaults."""
    data = plan.data
    if plan.method == "pt":
        return Mask(prompt=True, others=True)
    if data.train_on_prompt is not None:
        return Mask(prompt=data.train_on_prompt, others=data.train_on_prompt and not data.assistant_only_loss)
    return Mask(prompt=data.completion_only_loss is False, others=not data.assistant_only_loss)


@dataclass(frozen=True)
class Encoded:
    """One sequence before it is cut to the cap."""

    input_ids: list[int]
    labels: list[int]


class Encoder:
    """Turns examples into sequences with one tokenizer. Raises CannotRun where its template cannot do what is asked."""

    def __init__(self, tokenizer: Any, loss: Mask) -> None:
        self._tokenizer = tokenizer
        self._loss = loss
        self._template: str | None = None
        self._marked = True
        if tokenizer.chat_template and not loss.others:
            self._template, self._marked = _training_template(tokenizer)

    def encode(self, example: Example) -> Encoded:
        """The whole sequence, end token included. Raises Broken, CannotRun."""
        match example:
            case Text(text):
                ids = self._ids(self._ended(text))
                return Encoded(ids, list(ids))
            case Pair(prompt, completion):
                return self._pair(self._ids(prompt), self._ids(prompt + self._ended(completion)))
            case ChatPair(prompt, completion, tools):
                whole = self._chat(prompt + completion, tools)
                return self._pair(self._render(prompt, tools, opening=True), whole.input_ids, whole.labels)
            case Chat(messages, tools):
                return self._chat(messages, tools)
        raise CannotRun(f"rows with {type(example).__name__.lower()} pairs train DPO only; set method to dpo")

    def lengths(self, example: Preference) -> tuple[int, int]:
        """Tokens of the prompt with the better and with the worse completion."""
        whole = [self._joined(example.prompt, side) for side in (example.chosen, example.rejected)]
        return len(whole[0]), len(whole[1])

    def _joined(self, prompt: str | list[Message], completion: str | list[Message]) -> list[int]:
        if isinstance(prompt, str) and isinstance(completion, str):
            return self._ids(prompt + self._ended(completion))
        if isinstance(prompt, list) and isinstance(completion, list):
            return self._render(prompt + completion, None)
        raise Broken("'prompt' and its completions are neither all texts nor all turns")

    def _ids(self, text: str) -> list[int]:
        return list(self._tokenizer(text)["input_ids"])

    def _ended(self, text: str) -> str:
        end = self._tokenizer.eos_token
        return text if end is None or text.endswith(end) else text + end

    def _pair(self, prompt: Sequence[int], whole: list[int], labels: list[int] | None = None) -> Encoded:
        labels = list(whole) if labels is None else labels
        if self._loss.prompt:
            return Encoded(whole, labels)
        # Where the prompt alone and the prompt with its completion part is where the completion begins.
        begin = 0
        for one, other in zip(prompt, whole, strict=False):
            if one != other:
                break
            begin += 1
        return Encoded(whole, [IGNORED] * begin + labels[begin:])

    def _render(self, messages: list[Message], tools: Any, *, opening: bool = False) -> list[int]:
        found = self._apply(messages, tools, tokenize=True, return_dict=True, add_generation_prompt=opening)
        return list(found["input_ids"])

    def _apply(self, messages: list[Message], tools: Any, **keywords: Any) -> Any:
        import jinja2

        if not self._tokenizer.chat_template:
            raise CannotRun(
                "the data are conversations and the tokenizer has no chat template; set data.chat_template, "
                "e.g. to chatml"
            )
        try:
            return self._tokenizer.apply_chat_template(messages, tools=tools, chat_template=self._template, **keywords)
        except jinja2.TemplateSyntaxError as error:
            raise CannotRun(f"the chat template is not jinja: {error}") from error
        except jinja2.TemplateError as error:  # raise_exception in a template: these messages are not for it
            raise Broken(f"the chat template refuses it: {error}") from error

    def _chat(self, messages: list[Message], tools: Any) -> Encoded:
        if self._loss.others:
            ids = self._render(messages, tools)
            return Encoded(ids, list(ids))
        if self._marked:
            found = self._apply(messages, tools, tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
            ids, marks = list(found["input_ids"]), list(found["assistant_masks"])
        else:
            ids, marks = self._by_prefix(messages, tools)
        if 1 not in marks:
            raise Broken("no token of the assistant's")
        return Encoded(ids, [token if mark else IGNORED for token, mark in zip(ids, marks, strict=True)])

    def _by_prefix(self, messages: list[Message], tools: Any) -> tuple[list[int], list[int]]:
        """For a template without generation marks: an answer is what its turn adds to the text before it."""
        whole = self._apply(messages, tools, tokenize=False)
        spans: list[tuple[int, int]] = []
        for index, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            before = self._apply(messages[:index], tools, tokenize=False, add_generation_prompt=True)
            after = self._apply(messages[: index + 1], tools, tokenize=False)
            if not (whole.startswith(before) and whole.startswith(after)):
                raise CannotRun(
                    "the chat template renders earlier turns differently once later ones follow, so the assistant's "
                    "part cannot be told; use a template with {% generation %} marks"
                )
            spans.append((len(before), len(after)))
        found = self._tokenizer(whole, add_special_tokens=False, return_offsets_mapping=True)
        marks = [
            int(second > first and any(start <= first < end for start, end in spans))
            for first, second in found["offset_mapping"]
        ]
        return list(found["input_ids"]), marks


def _training_template(tokenizer: Any) -> tuple[str | None, bool]:
    """A template that marks the assistant's part, and whether there is one; None is the tokenizer's own."""
    from trl.chat_template_utils import get_training_chat_template

    if "generation" in tokenizer.chat_template and "endgeneration" in tokenizer.chat_template:
        return None, True
    try:
        return get_training_chat_template(tokenizer), True
    except ValueError:  # not one of the templates that TRL knows
        return None, False
