from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loraplan.datasets import UnknownSizeError, rows
from loraplan.datasets.files import count

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
SLOW = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)


@SLOW
@given(
    values=st.lists(VALUES, max_size=8),
    indent=st.none() | st.integers(0, 3),
    ascii_=st.booleans(),
    chunk=st.integers(1, 40),
)
def test_a_json_list_is_counted_as_json_loads_it(
    tmp_path: Path, values: list[object], indent: int | None, ascii_: bool, chunk: int
) -> None:
    path = tmp_path / "data.json"
    path.write_text(json.dumps(values, indent=indent, ensure_ascii=ascii_), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "_CHUNK", chunk)
        with rows.open_regular(str(path)) as file:
            assert rows._elements(file, "data.json") == len(values)
    assert count(str(path)) == len(values)


@SLOW
@given(lines=st.lists(st.sampled_from(['{"a": 1}', "", "  ", '{"b": "x\\ny"}']), max_size=12), end=st.booleans(),
       newline=st.sampled_from(["\n", "\r\n"]), chunk=st.integers(1, 30))  # fmt: skip
def test_lines_that_hold_something_are_counted(
    tmp_path: Path, lines: list[str], end: bool, newline: str, chunk: int
) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes((newline.join(lines) + (newline if end else "")).encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "_CHUNK", chunk)
        assert rows.count_lines(str(path)) == sum(1 for line in lines if line.strip())


@SLOW
@given(
    table=st.lists(st.lists(st.text(alphabet='ab,"\n\r ', min_size=1, max_size=6), min_size=2, max_size=2), max_size=6)
)
def test_csv_records_may_hold_line_breaks(tmp_path: Path, table: list[list[str]]) -> None:
    path = tmp_path / "data.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["prompt", "answer"], *table])
    assert count(str(path)) == len(table)


def test_json_lines_under_the_name_of_json(tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    path.write_text('{"a": 1}\n{"a": 2}\n{"a": 3}')
    assert count(str(path)) == 3


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("a.json", '{"data": [1, 2]}\n', None),
        ("a.json", '{\n  "data": [1, 2]\n}\n', "holds an object"),
        ("a.json", '"text"', "holds no list"),
        ("a.json", "", "holds no list"),
        ("a.json", '[{"a": 1}, {"b": ', "is cut off"),
        ("a.jsonl.gz", "x", "is of a kind that is not counted"),
        ("a.txt", "x", "is of a kind that is not counted"),
    ],
)
def test_what_is_not_counted_says_why(tmp_path: Path, name: str, text: str, reason: str | None) -> None:
    path = tmp_path / name
    path.write_text(text)
    if reason is None:
        assert count(str(path)) == 1
        return
    with pytest.raises(UnknownSizeError, match=reason):
        count(str(path))


def test_tab_separated_values(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text('prompt\tanswer\nx\ty, z\n"a\nb"\tc\n')
    assert count(str(path)) == 2


def test_a_field_may_be_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.csv"
    path.write_text("prompt\n" + "x" * 200_000 + "\n")
    before = csv.field_size_limit()
    assert count(str(path)) == 1
    monkeypatch.setattr(rows, "LONGEST_FIELD", 1000)
    with pytest.raises(UnknownSizeError, match="cannot be read as CSV"):
        count(str(path))
    assert csv.field_size_limit() == before


def test_a_file_over_the_limit_is_not_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("{}\n" * 10)
    monkeypatch.setitem(rows.MOST_BYTES, "lines", 29)
    with pytest.raises(UnknownSizeError, match=r"a\.jsonl has 0 MiB, of which at most 0 are counted"):
        count(str(path))
    monkeypatch.setitem(rows.MOST_BYTES, "lines", 30)
    assert count(str(path)) == 10


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    os.mkfifo(path)
    with pytest.raises(UnknownSizeError, match="is not a regular file"):
        count(str(path))


def test_a_missing_file_is_a_reason(tmp_path: Path) -> None:
    with pytest.raises(UnknownSizeError, match="cannot be read"):
        count(str(tmp_path / "none.jsonl"))
    with pytest.raises(UnknownSizeError, match="not a path"):
        count("a\0.jsonl")
