from __future__ import annotations

import base64
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loraplan.datasets import UnknownSizeError
from loraplan.datasets.parquet import _Compact, count_parquet


def varint(number: int) -> bytes:
    """A number in the compact protocol."""
    out = bytearray()
    while True:
        number, low = number >> 7, number & 0x7F
        out.append(low | (0x80 if number else 0))
        if not number:
            return bytes(out)


def footer(rows: int, columns: int = 3) -> bytes:
    """FileMetaData: version, a schema with names, types and a logical type, num_rows, row groups, a writer."""
    leaf = (
        b"\x15" + varint(2 * 6)  # 1: type BYTE_ARRAY
        + b"\x25" + varint(2)  # 3: repetition_type OPTIONAL
        + b"\x18" + varint(4) + b"name"  # 4: name
        + b"\x25" + varint(0)  # 6: converted_type
        + b"\x4c" + b"\x1c\x00\x00"  # 10: logicalType, a union with an empty struct
        + b"\x00"
    )  # fmt: skip
    root = b"\x48" + varint(6) + b"schema" + b"\x15" + varint(2 * columns) + b"\x00"
    count = columns + 1
    head = bytes([count << 4 | 12]) if count < 15 else b"\xfc" + varint(count)
    return (
        b"\x15" + varint(2 * 2)  # 1: version
        + b"\x19" + head + root + leaf * columns  # 2: schema
        + b"\x16" + varint(2 * rows)  # 3: num_rows
        + b"\x19\x0c"  # 4: row_groups
        + b"\x28" + varint(3) + b"me!"  # 6: created_by
        + b"\x00"
    )  # fmt: skip


def write(path: Path, meta: bytes, magic: bytes = b"PAR1") -> Path:
    path.write_bytes(b"PAR1" + b"data" + meta + len(meta).to_bytes(4, "little") + magic)
    return path


@pytest.mark.parametrize(("rows", "columns"), [(0, 1), (7473, 2), (87_599, 14), (4_233_923, 20), (2**40, 300)])
def test_the_footer_says_how_many_rows(tmp_path: Path, rows: int, columns: int) -> None:
    assert count_parquet(str(write(tmp_path / "a.parquet", footer(rows, columns)))) == rows


# Written by pyarrow 26.0.1 from 137 rows of a string, a list of strings and a boolean.
PYARROW = (
    "UEFSMRUEFQoVDkwVAhUAEgAABRABAAAAeBUAFRYVGiwVkgIVEBUGFQYcAAAACygDAAAAkgIBAZICABUEFRQVGEwVBBUAEgAACiQB"
    "AAAAeQEAAAB6FQAVqAEVMCwVpAQVEBUGFQYcAAAAVBQkAAAAR6qCAQAgAgMAAACkBAMBjiwAFQAVMhUeLBWSAhUAFQYVBhwAAAAZ"
    "HAMAAACSAgH/PgEAAAEVBBlsNQAYBnNjaGVtYRUGABUMJQIYAWElAEwcAAAANQIYAWIVAhUGTDwAAAA1BBgEbGlzdBUCABUMJQIY"
    "B2VsZW1lbnQlAEwcAAAAFQAlAhgBYwAWkgIZHBk8JgAcFQwZNQAGEBkYAWEVAhaSAhZkFmwmMiYIKSwVBBUAFQIAFQAVEBUCADwW"
    "kgIZBhkmAJICAAAAJgAcFQwZNQAGEBk4AWIEbGlzdAdlbGVtZW50FQIWpAQWggIWjgEmqAEmdCksFQQVABUCABUAFRAVAgA8FqQE"
    "GSaSApICGUYAAACkBAAAACYAHBUAGSUGABkYAWMVAhaSAhZaFkYmggJJHBUAFQAVAgA8KQYZJgCSAgAAABbAAxaSAiYIFsACACgg"
    "cGFycXVldC1jcHAtYXJyb3cgdmVyc2lvbiAyNi4wLjEZPBwAABwAABwAAABKAQAAUEFSMQ=="
)


def test_a_file_that_pyarrow_wrote(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(base64.b64decode(PYARROW))
    assert count_parquet(str(path)) == 137


@pytest.mark.parametrize(
    ("meta", "magic", "reason"),
    [
        (footer(5), b"PARE", "no Parquet file, or its footer is encrypted"),
        (b"\x15\x04\x00", b"PAR1", "cannot be read"),
        (b"\x19", b"PAR1", "cannot be read"),
        (b"\x16\x01\x16\x01\x16\x01", b"PAR1", "states -1 rows"),
        (b"\x1c" * 40, b"PAR1", "cannot be read"),
    ],
)
def test_a_broken_footer_is_a_reason(tmp_path: Path, meta: bytes, magic: bytes, reason: str) -> None:
    with pytest.raises(UnknownSizeError, match=reason):
        count_parquet(str(write(tmp_path / "a.parquet", meta, magic)))


def test_a_length_beyond_the_file_is_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1" + b"x" * 20 + (2**32 - 1).to_bytes(4, "little") + b"PAR1")
    with pytest.raises(UnknownSizeError, match="a footer that cannot be read"):
        count_parquet(str(path))
    path.write_bytes(b"PAR1")
    with pytest.raises(UnknownSizeError, match="no Parquet file"):
        count_parquet(str(path))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.binary(max_size=60), cut=st.integers(0, 200), start=st.integers(0, 200))
def test_any_footer_gives_a_number_or_a_reason(data: bytes, cut: int, start: int) -> None:
    good = footer(1000, 4)
    for meta in (data, good[:cut], good[start:] + data):
        try:
            found = _Compact(meta).num_rows()
        except (IndexError, ValueError):
            continue
        assert isinstance(found, int)


@pytest.mark.slow
def test_agrees_with_pyarrow(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    script = (
        "import pyarrow as pa, pyarrow.parquet as pq, sys\n"
        "t = pa.table({'a': ['x'] * 1234, 'b': [[{'c': 1}]] * 1234, 'd': [True] * 1234})\n"
        "pq.write_table(t, sys.argv[1], row_group_size=100)\n"
    )
    path = tmp_path / "a.parquet"
    subprocess.run([sys.executable, "-c", script, str(path)], check=True)
    assert count_parquet(str(path)) == 1234
