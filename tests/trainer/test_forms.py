"""How a row holds its example: each form is recognised, read, and said to be broken where it is."""

from __future__ import annotations

from typing import Any

import pytest

from loraplan_trainer.data.forms import Broken, Chat, ChatPair, Pair, Preference, Reader, Text, detect
from loraplan_trainer.manifest import DataSource


def example(row: dict[str, Any], *, conversational: bool = False, **more: Any) -> Any:
    source = DataSource.model_validate({"source": "x", "kind": "file", **more})
    form = detect(row) or source.form
    assert form is not None
    return Reader(source, form, conversational=conversational).read(row)


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


FORMS: list[tuple[dict[str, Any], str, Any]] = [
    ({"text": "a"}, "text", Text("a")),
    ({"prompt": "a", "completion": "b"}, "prompt_completion", Pair("a", "b")),
    ({"question": "a", "answer": "b", "id": 1}, "prompt_completion", Pair("a", "b")),
    ({"prompt": [user("a")], "completion": [assistant("b")]}, "prompt_completion",
     ChatPair([user("a")], [assistant("b")])),
    ({"messages": [user("a"), assistant("b")]}, "messages", Chat([user("a"), assistant("b")])),
    ({"conversations": [user("a"), assistant("b")]}, "messages", Chat([user("a"), assistant("b")])),
    (
        {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}], "system": "s"},
        "sharegpt",
        Chat([{"role": "system", "content": "s"}, user("a"), assistant("b")]),
    ),
    ({"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}, assistant("b")]}, "messages",
     Chat([user("a"), assistant("b")])),
    ({"prompt": "a", "chosen": "b", "rejected": "c"}, "preference", Preference("a", "b", "c")),
    ({"chosen": "a b", "rejected": "a c"}, "preference", Preference("a", " b", " c")),
    ({"chosen": [user("a"), assistant("b")], "rejected": [user("a"), assistant("c")]}, "preference",
     Preference([user("a")], [assistant("b")], [assistant("c")])),
    ({"prompt": "a", "chosen": [assistant("b")], "rejected": [assistant("c")]}, "preference",
     Preference([user("a")], [assistant("b")], [assistant("c")])),
]  # fmt: skip


@pytest.mark.parametrize(("row", "form", "wanted"), FORMS, ids=range(len(FORMS)))
def test_each_form(row: dict[str, Any], form: str, wanted: Any) -> None:
    assert detect(row) == form
    assert example(row) == wanted


def test_alpaca_in_its_own_wording_and_as_a_conversation() -> None:
    row = {"instruction": "add", "input": "1 2", "output": "3", "history": [["a", "b"]], "system": "s"}
    assert detect(row) == "alpaca"
    assert example(row) == Pair(
        "Below is an instruction that describes a task, paired with an input that provides further context. Write a "
        "response that appropriately completes the request.\n\n### Instruction:\nadd\n\n### Input:\n1 2\n\n"
        "### Response:\n",
        "3",
    )
    assert "### Input" not in example({**row, "input": ""}).prompt
    assert example(row, conversational=True) == Chat(
        [{"role": "system", "content": "s"}, user("a"), assistant("b"), user("add\n1 2"), assistant("3")]
    )


def test_columns_under_other_names() -> None:
    row = {"frage": "a", "antwort": "b"}
    columns = {"prompt": "frage", "completion": "antwort"}
    assert detect(row) is None
    assert example(row, columns=columns, form="prompt_completion") == Pair("a", "b")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"prompt": "a", "completion": ""}, "'completion' is empty"),
        ({"prompt": "a", "completion": 5}, "'completion' is int, not text"),
        ({"text": "  "}, "'text' is empty"),
        ({"messages": []}, "'messages' is empty"),
        ({"messages": "a"}, "'messages' is str, not a list of turns"),
        ({"messages": [user("a")]}, "no turn of the assistant"),
        ({"messages": [user("a"), assistant(" ")]}, "messages[1]: the assistant says nothing"),
        ({"messages": [{"role": "narrator", "content": "a"}]}, "messages[0] has no known speaker ('narrator')"),
        ({"messages": [{"role": "user"}]}, "messages[0] has no content"),
        ({"messages": ["a"]}, "messages[0] is str, not an object"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "a part of kind 'image'"),
        ({"messages": [user("a"), assistant("b")], "tools": "{"}, "'tools' is not JSON"),
        ({"instruction": "", "output": "b"}, "'instruction' is empty"),
        ({"instruction": "a", "output": "b", "input": 3}, "'input' is int, not text"),
        ({"prompt": "a", "chosen": "b", "rejected": "b"}, "'chosen' and 'rejected' are the same"),
        ({"chosen": [user("a")], "rejected": [user("b")]}, "share no turn"),
    ],
)
def test_broken_rows_say_why(row: dict[str, Any], said: str) -> None:
    with pytest.raises(Broken) as caught:
        example(row)
    assert said in str(caught.value)


def test_no_form() -> None:
    assert detect({"url": "a"}) is None
    assert detect({}) is None
    assert detect({"prompt": None, "completion": None, "text": "a"}) == "text"
