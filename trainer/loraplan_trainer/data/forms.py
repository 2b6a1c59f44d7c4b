"""How a row holds its example, and the example itself. Knows no tokenizer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from loraplan_trainer.manifest import DataSource, Form

Message = dict[str, Any]


class Broken(Exception):
    """A row that holds no example of its form; the text says why."""


@dataclass(frozen=True)
class Text:
    """A whole text."""

    text: str


@dataclass(frozen=True)
class Pair:
    """A prompt and its completion, both as they are."""

    prompt: str
    completion: str


@dataclass(frozen=True)
class Chat:
    """A conversation for a chat template."""

    messages: list[Message]
    tools: list[dict[str, Any]] | None = field(default=None)


@dataclass(frozen=True)
class ChatPair:
    """A conversation whose last turns are the completion."""

    prompt: list[Message]
    completion: list[Message]
    tools: list[dict[str, Any]] | None = field(default=None)


@dataclass(frozen=True)
class Preference:
    """A prompt with a better and a worse completion: three texts, or three lists of messages."""

    prompt: str | list[Message]
    chosen: str | list[Message]
    rejected: str | list[Message]


Example = Text | Pair | Chat | ChatPair | Preference

_ROLES = {
    "human": "user", "user": "user", "prompter": "user", "gpt": "assistant", "assistant": "assistant",
    "chatgpt": "assistant", "bot": "assistant", "model": "assistant", "system": "system", "tool": "tool",
    "observation": "tool", "function": "tool",
}  # fmt: skip
# The names a field goes by, in the order they are looked for.
_NAMES = {
    "prompt_completion": (("prompt", "question", "query"), ("completion", "response", "answer")),
    "messages": (("messages",),),
    "sharegpt": (("conversations", "conversation"),),
    "alpaca": (("instruction",), ("output", "response", "answer")),
    "text": (("text", "content"),),
    "preference": (("chosen",), ("rejected",)),
}
_ORDER: tuple[Form, ...] = ("preference", "messages", "sharegpt", "alpaca", "prompt_completion", "text")
# The wording that the first instruction models were trained on (Taori et al. 2023, tatsu-lab/stanford_alpaca).
_ALPACA = (
    "Below is an instruction that describes a task{}. "
    "Write a response that appropriately completes the request.\n\n### Instruction:\n{}\n\n{}### Response:\n"
)
_ALPACA_INPUT = ", paired with an input that provides further context"


def detect(row: Mapping[str, Any]) -> Form | None:
    """The form whose fields a row has; None where it has those of none."""
    for form in _ORDER:
        if all(any(row.get(name) is not None for name in names) for names in _NAMES[form]):
            if form == "sharegpt" and _speaks_roles(row):
                return "messages"
            return form
    return None


def describe() -> str:
    """The forms and their fields, for a message about a row that has none."""
    return "; ".join(f"{form} ({' + '.join('|'.join(names) for names in _NAMES[form])})" for form in _ORDER)


def alpaca_prompt(instruction: str, extra: str = "") -> str:
    """An instruction, and its input if it has one, in Alpaca's wording."""
    given = f"### Input:\n{extra}\n\n" if extra else ""
    return _ALPACA.format(_ALPACA_INPUT if extra else "", instruction, given)


class Reader:
    """Reads rows of one source as examples. `conversational`: a chat template applies to instructions, too."""

    def __init__(self, source: DataSource, form: Form, *, conversational: bool) -> None:
        self.form = form
        self._columns = source.columns
        self._conversational = conversational
        self._reads: dict[Form, Callable[[Mapping[str, Any]], Example]] = {
            "prompt_completion": self._prompt_completion,
            "messages": self._messages,
            "sharegpt": self._messages,
            "alpaca": self._alpaca,
            "text": self._text,
            "preference": self._preference,
        }

    def read(self, row: Mapping[str, Any]) -> Example:
        """The row's example. Raises Broken."""
        return self._reads[self.form](row)

    def _get(self, row: Mapping[str, Any], *names: str) -> Any:
        """The first of a field's names that the row has, or the column that the source maps it to."""
        mapped = next((self._columns[name] for name in names if name in self._columns), None)
        if mapped is not None:
            return row.get(mapped)
        return next((row[name] for name in names if row.get(name) is not None), None)

    def _string(self, row: Mapping[str, Any], *names: str, empty: bool = False) -> str:
        value = self._get(row, *names)
        if value is None:
            raise Broken(f"no {names[0]!r}; it has {', '.join(map(repr, row)) or 'nothing'}")
        if not isinstance(value, str):
            raise Broken(f"{names[0]!r} is {type(value).__name__}, not text")
        if not empty and not value.strip():
            raise Broken(f"{names[0]!r} is empty")
        return value

    def _text(self, row: Mapping[str, Any]) -> Example:
        return Text(self._string(row, *_NAMES["text"][0]))

    def _prompt_completion(self, row: Mapping[str, Any]) -> Example:
        prompts, completions = _NAMES["prompt_completion"]
        if isinstance(self._get(row, *prompts), list):
            prompt = _conversation(self._get(row, *prompts), prompts[0])
            completion = _conversation(self._get(row, *completions), completions[0])
            return ChatPair(prompt, completion, _tools(row))
        return Pair(self._string(row, *prompts, empty=True), self._string(row, *completions))

    def _messages(self, row: Mapping[str, Any]) -> Example:
        value = self._get(row, "messages", "conversations", "conversation")
        messages = _conversation(value, "messages")
        system = row.get("system")
        if isinstance(system, str) and system.strip() and messages[0]["role"] != "system":
            messages = [{"role": "system", "content": system}, *messages]
        if not any(message["role"] == "assistant" for message in messages):
            raise Broken("no turn of the assistant")
        return Chat(messages, _tools(row))

    def _alpaca(self, row: Mapping[str, Any]) -> Example:
        instruction = self._string(row, "instruction", empty=True)
        output = self._string(row, *_NAMES["alpaca"][1])
        extra = self._get(row, "input")
        if extra is not None and not isinstance(extra, str):
            raise Broken(f"'input' is {type(extra).__name__}, not text")
        if not instruction.strip() and not (extra or "").strip():
            raise Broken("'instruction' is empty")
        if not self._conversational:
            return Pair(alpaca_prompt(instruction, extra or ""), output)
        messages: list[Message] = []
        if isinstance(row.get("system"), str) and row["system"].strip():
            messages.append({"role": "system", "content": row["system"]})
        for turn in row.get("history") or ():
            if not (isinstance(turn, list | tuple) and len(turn) == 2 and all(isinstance(part, str) for part in turn)):
                raise Broken("'history' is no list of pairs of texts")
            messages += [{"role": "user", "content": turn[0]}, {"role": "assistant", "content": turn[1]}]
        prompt = "\n".join(part for part in (instruction, extra) if part)
        messages += [{"role": "user", "content": prompt}, {"role": "assistant", "content": output}]
        return Chat(messages)

    def _preference(self, row: Mapping[str, Any]) -> Example:
        chosen, rejected = self._get(row, "chosen"), self._get(row, "rejected")
        if isinstance(chosen, list) or isinstance(rejected, list):
            return self._preferred_turns(row, _conversation(chosen, "chosen"), _conversation(rejected, "rejected"))
        texts = [self._string(row, name) for name in ("chosen", "rejected")]
        if texts[0] == texts[1]:
            raise Broken("'chosen' and 'rejected' are the same")
        prompt = self._get(row, "prompt", "question", "instruction")
        if prompt is None:
            shared = _shared(texts[0], texts[1])
            return Preference(texts[0][:shared], texts[0][shared:], texts[1][shared:])
        if not isinstance(prompt, str):
            raise Broken(f"'prompt' is {type(prompt).__name__}, 'chosen' is text")
        return Preference(prompt, texts[0], texts[1])

    def _preferred_turns(self, row: Mapping[str, Any], chosen: list[Message], rejected: list[Message]) -> Example:
        if chosen == rejected:
            raise Broken("'chosen' and 'rejected' are the same")
        prompt = self._get(row, "prompt")
        if isinstance(prompt, str) and chosen[0]["role"] == "assistant":
            return Preference([{"role": "user", "content": prompt}], chosen, rejected)
        if isinstance(prompt, list) and chosen[0]["role"] == "assistant":
            return Preference(_conversation(prompt, "prompt"), chosen, rejected)
        shared = 0
        while shared < min(len(chosen), len(rejected)) - 1 and chosen[shared] == rejected[shared]:
            shared += 1
        if shared == 0:
            raise Broken("'chosen' and 'rejected' share no turn, and there is no 'prompt'")
        return Preference(chosen[:shared], chosen[shared:], rejected[shared:])


def _speaks_roles(row: Mapping[str, Any]) -> bool:
    turns = row.get("conversations") or row.get("conversation")
    return isinstance(turns, list) and bool(turns) and isinstance(turns[0], Mapping) and "role" in turns[0]


def _conversation(value: Any, name: str) -> list[Message]:
    """Messages in one spelling: `role` and `content`. Raises Broken."""
    if not isinstance(value, list):
        raise Broken(f"no {name!r}" if value is None else f"{name!r} is {type(value).__name__}, not a list of turns")
    if not value:
        raise Broken(f"{name!r} is empty")
    return [_message(turn, f"{name}[{index}]") for index, turn in enumerate(value)]


def _message(turn: Any, place: str) -> Message:
    if not isinstance(turn, Mapping):
        raise Broken(f"{place} is {type(turn).__name__}, not an object")
    speaker = turn.get("role") or turn.get("from")
    role = _ROLES.get(speaker) if isinstance(speaker, str) else None
    if role is None:
        raise Broken(f"{place} has no known speaker ({speaker!r})")
    content = turn.get("content") if turn.get("content") is not None else turn.get("value")
    if isinstance(content, list):
        content = _parts(content, place)
    calls = turn.get("tool_calls")
    if content is None and calls:
        content = ""
    if not isinstance(content, str):
        raise Broken(f"{place} has no content" if content is None else f"{place}: content is {type(content).__name__}")
    if role == "assistant" and not content.strip() and not calls:
        raise Broken(f"{place}: the assistant says nothing")
    message: Message = {"role": role, "content": content}
    if calls:
        message["tool_calls"] = calls
    return message


def _parts(parts: list[Any], place: str) -> str:
    """The text of a content that is a list of parts; pictures and sound are refused."""
    texts = []
    for part in parts:
        if not isinstance(part, Mapping) or part.get("type") != "text" or not isinstance(part.get("text"), str):
            kind = part.get("type") if isinstance(part, Mapping) else type(part).__name__
            raise Broken(f"{place}: a part of kind {kind!r}; this trainer reads text only")
        texts.append(part["text"])
    return "".join(texts)


def _tools(row: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    tools = row.get("tools")
    if isinstance(tools, str) and tools.strip():
        try:
            tools = json.loads(tools)
        except ValueError as error:
            raise Broken(f"'tools' is not JSON: {error}") from error
    if not tools:
        return None
    if not isinstance(tools, list):
        raise Broken(f"'tools' is {type(tools).__name__}, not a list")
    return tools


def _shared(one: str, other: str) -> int:
    """Characters that two texts begin with in common, back to the last space as TRL's extract_prompt does."""
    length = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        length += 1
    return length - 1 if length and one[length - 1] == " " else length
