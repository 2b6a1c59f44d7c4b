"""Whatever the data are, a row becomes an example or says why not; nothing else is raised."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from loraplan_trainer.data.forms import Broken, Chat, ChatPair, Pair, Preference, Reader, Text, detect
from loraplan_trainer.data.rows import file_rows
from loraplan_trainer.failure import CannotRun
from loraplan_trainer.manifest import DataSource

FORMS = ("prompt_completion", "messages", "alpaca", "sharegpt", "text", "preference")
NAMES = (
    "prompt completion question answer messages conversations instruction input output text chosen rejected system "
    "tools history role content from value type"
).split()
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(
    ["user", "assistant", "human", "gpt", "system", "text", "[]", "{}"]
)  # fmt: skip
VALUES: st.SearchStrategy[Any] = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)
ROWS = st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=3), VALUES, max_size=6)


@given(ROWS, st.sampled_from(FORMS), st.booleans())
def test_any_row_is_an_example_or_broken(row: dict[str, Any], form: Any, conversational: bool) -> None:
    reader = Reader(DataSource(source="x", kind="file"), form, conversational=conversational)
    try:
        example = reader.read(row)
    except Broken:
        return
    match example:
        case Text(text):
            assert text.strip()
        case Pair(prompt, completion):
            assert isinstance(prompt, str)
            assert completion.strip()
        case Chat(messages) | ChatPair(completion=messages):
            assert all(isinstance(turn["content"], str) and turn["role"] for turn in messages)
        case Preference(_, chosen, rejected):
            assert chosen != rejected


@given(ROWS)
def test_any_row_has_one_form_or_none(row: dict[str, Any]) -> None:
    assert detect(row) in (None, *FORMS)


@example(b'"', ".csv")
@given(st.binary(max_size=60), st.sampled_from([".jsonl", ".json", ".csv", ".tsv", ".txt", ".parquet"]))
def test_any_bytes_are_rows_or_refused(content: bytes, suffix: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"rows{suffix}"
        path.write_bytes(content)
        try:
            found = list(file_rows(path))
        except (CannotRun, UnicodeDecodeError):
            return
    for row in found:
        assert row.line >= 1
        assert (row.value is None) == (row.fault is not None)
