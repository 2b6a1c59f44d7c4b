"""The number of rows that a Parquet file states in its footer: `FileMetaData.num_rows`, the third field of the struct.

The footer is Thrift's compact protocol (apache/parquet-format README.md and parquet.thrift; apache/thrift
doc/specs/thrift-compact-protocol.md). Only what stands before the field is skipped over: the version and the schema.
"""

from __future__ import annotations

import os

from loraplan.datasets import UnknownSizeError
from loraplan.datasets.rows import open_regular

_MOST_FOOTER = 64 * 2**20
_MOST_DEPTH = 16
_NUM_ROWS = 3


def count_parquet(path: str) -> int:
    """Rows of a Parquet file."""
    name = os.path.basename(path)
    with open_regular(path) as file:
        length = os.fstat(file.fileno()).st_size
        if length < 12:
            raise UnknownSizeError(f"{name} is no Parquet file")
        file.seek(length - 8)
        tail = file.read(8)
        size = int.from_bytes(tail[:4], "little")
        if tail[4:] != b"PAR1":
            raise UnknownSizeError(f"{name} is no Parquet file, or its footer is encrypted")
        if size > min(length - 12, _MOST_FOOTER):
            raise UnknownSizeError(f"{name} has a footer that cannot be read")
        file.seek(length - 8 - size)
        footer = file.read(size)
    try:
        rows = _Compact(footer).num_rows()
    except (IndexError, ValueError) as error:
        raise UnknownSizeError(f"{name} has a footer that cannot be read") from error
    if rows < 0:
        raise UnknownSizeError(f"{name} states {rows} rows")
    return rows


class _Compact:
    """A reader of the compact protocol, as far as skipping goes."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def num_rows(self) -> int:
        field = 0
        while True:
            field, kind = self._header(field)
            if kind == 0:
                raise ValueError("no num_rows")
            if field == _NUM_ROWS and kind == 6:
                return self._zigzag()
            self._skip(kind, 0)

    def _header(self, field: int) -> tuple[int, int]:
        byte = self._byte()
        if byte == 0:
            return 0, 0
        step = byte >> 4
        return (field + step if step else self._zigzag()), byte & 0x0F

    def _byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def _varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise ValueError("a number of more than ten bytes")

    def _zigzag(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def _skip(self, kind: int, depth: int) -> None:
        if depth > _MOST_DEPTH:
            raise ValueError("nested too deeply")
        if kind in (1, 2):  # a boolean in a struct is its type alone
            return
        if kind == 3:
            self.at += 1
        elif kind in (4, 5, 6):
            self._varint()
        elif kind == 7:
            self.at += 8
        elif kind == 8:
            length = self._varint()
            self.at += length
        elif kind in (9, 10):
            self._skip_list(depth)
        elif kind == 12:
            field = 0
            while True:
                field, inner = self._header(field)
                if inner == 0:
                    break
                self._skip(inner, depth + 1)
        else:
            raise ValueError(f"type {kind} has no place in a footer")
        if self.at > len(self.data):
            raise ValueError("the footer ends early")

    def _skip_list(self, depth: int) -> None:
        byte = self._byte()
        count = self._varint() if byte >> 4 == 15 else byte >> 4
        inner = byte & 0x0F
        if inner in (1, 2):  # in a list a boolean takes a byte
            self.at += count
            return
        for _ in range(count):
            self._skip(inner, depth + 1)
