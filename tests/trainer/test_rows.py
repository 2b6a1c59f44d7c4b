"""Rows of every file type, each with its place; broken ones are named, not raised."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from loraplan_trainer.data.rows import Row, files, rows
from loraplan_trainer.failure import CannotRun
from loraplan_trainer.manifest import DataSource


def read(path: Path, kind: str = "file", **more: object) -> list[Row]:
    source = DataSource.model_validate({"source": str(path), "kind": kind, **more})
    return list(rows(source))


def test_json_lines_with_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"text": "a"}\n\n{"text": \n[1]\n"\xff"\n{"text": "\xc3\xa9"}')
    found = read(path)
    assert [(row.line, row.value) for row in found if row.value] == [(1, {"text": "a"}), (6, {"text": "é"})]
    assert [(row.place, row.fault) for row in found if row.fault] == [
        (f"{path}:3", "not JSON: Expecting value at column 10"),
        (f"{path}:4", "an object is wanted, this is list"),
        (f"{path}:5", "not UTF-8 (byte 1 of the line)"),
    ]


@pytest.mark.parametrize(
    "content",
    [
        '[{"text": "a"}, {"text": "b"}]',
        '{"data": [{"text": "a"}, {"text": "b"}]}',
        '{"text": "a"}\n{"text": "b"}\n',
    ],
)
def test_json_as_a_list_under_data_or_as_lines(content: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text(content)
    assert [row.value for row in read(path)] == [{"text": "a"}, {"text": "b"}]


def test_json_that_is_none_is_refused_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text('[{"text": "a"},\n {"text": }]')
    with pytest.raises(CannotRun, match=r"rows\.json:2:11: not JSON"):
        read(path)
    path.write_text("[" * 100_000)
    with pytest.raises(CannotRun, match="nested too deeply"):
        read(path)


def test_csv_with_line_breaks_within_cells(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('prompt,completion\n"a\nb",c\nd\ne,f,g\nh,i\n')
    found = read(path)
    assert [(row.line, row.value) for row in found if row.value] == [
        (2, {"prompt": "a\nb", "completion": "c"}),
        (6, {"prompt": "h", "completion": "i"}),
    ]
    assert [(row.line, row.fault) for row in found if row.fault] == [
        (4, "fewer cells than the 2 columns"),
        (5, "more cells than the 2 columns"),
    ]


def test_long_cells_and_long_numbers(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("text\n" + "a" * 200_000 + "\n")
    assert len((read(tmp_path / "rows.csv")[0].value or {})["text"]) == 200_000
    (tmp_path / "rows.jsonl").write_text('{"text": ' + "1" * 5000 + "}\n")
    assert "not JSON: Exceeds the limit" in (read(tmp_path / "rows.jsonl")[0].fault or "")


def test_tsv_and_text(tmp_path: Path) -> None:
    (tmp_path / "rows.tsv").write_text("text\tlabel\na, b\t1\n")
    assert read(tmp_path / "rows.tsv")[0].value == {"text": "a, b", "label": "1"}
    (tmp_path / "book.txt").write_text("one\ntwo\n")
    assert read(tmp_path / "book.txt")[0].value == {"text": "one\ntwo\n"}


def test_parquet(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "rows.parquet"
    values = [{"text": str(index)} for index in range(2500)]
    pq.write_table(pa.Table.from_pylist(values), path)
    assert [(row.line, row.value) for row in read(path)] == list(enumerate(values, 1))
    path.write_bytes(b"PAR1 but not really")
    with pytest.raises(CannotRun, match=r"rows\.parquet: not a parquet file"):
        read(path)


def test_a_directory_by_splits(tmp_path: Path) -> None:
    for name in ("train-0.jsonl", "train-1.jsonl", "test.jsonl", "notes.html"):
        (tmp_path / name).write_text(json.dumps({"text": name}) + "\n")

    def names(**more: object) -> list[str]:
        return [row.value["text"] for row in read(tmp_path, "directory", **more) if row.value]

    assert names() == ["train-0.jsonl", "train-1.jsonl"]
    assert names(role="eval") == ["test.jsonl"]
    assert names(split="train-1") == ["train-1.jsonl"]
    with pytest.raises(CannotRun, match="of split dev"):
        names(split="dev")


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("absent.jsonl", "file", "data file not found"),
        ("absent", "directory", "data directory not found"),
        ("rows.xlsx", "file", "is not among"),
        ("empty", "directory", "holds no"),
    ],
)
def test_what_is_not_there_is_named(name: str, kind: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "rows.xlsx").write_text("")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CannotRun, match=said) as caught:
        read(tmp_path / name, kind)
    assert str(tmp_path / name) in str(caught.value)


def test_a_file_that_changed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("{}\n")
    with pytest.raises(CannotRun, match="changed since the manifest was written"):
        files(DataSource(source=str(path), kind="file", sha256="0" * 64))


def test_what_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(b"text\n\xff\xfe\n")
    with pytest.raises(CannotRun, match="is not UTF-8"):
        read(path)
