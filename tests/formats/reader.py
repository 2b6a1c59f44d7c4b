"""Reads one config of a named format, and says where a value of its Plan came from."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest

from loraplan import formats
from loraplan.document.read import read as read_document
from loraplan.formats.reading import Reading
from loraplan.origin import Default, Derived, Explicit
from loraplan.plan import field_names, get

CORPUS = Path(__file__).parents[3] / "shared" / "corpus"


def read_one(name: str, text: str, path: str = "config.yaml") -> Reading:
    """The one Reading of a text that the format recognises by itself."""
    document = read_document(path, text)
    (root,) = document.roots
    module = formats.load(name)
    signature = module.detect(root, document)
    assert signature, f"{name} does not recognise its own config"
    (reading,) = module.read(root, document, signature, {})
    check_origins(reading)
    assert reading.format == name
    return reading


def recognised(name: str, text: str, path: str = "config.yaml") -> bool:
    document = read_document(path, text)
    return any(formats.load(name).detect(root, document) for root in document.roots)


def check_origins(reading: Reading) -> None:
    """Every value has exactly one origin; explicit ones lie in the text, defaults name a source at a version."""
    for field in field_names():
        assert (get(reading.plan, field) is not None) == (field in reading.origins), field
    for field, origin in reading.origins.items():
        if isinstance(origin, Explicit):
            assert 0 <= origin.span.start <= origin.span.end <= len(reading.document.text), field
            if origin.key_span is not None:
                start, end = origin.key_span
                assert str(origin.key_path[-1]) in reading.document.text[start:end], field
        elif isinstance(origin, Default):
            assert "@" in origin.source or "://" in origin.source, (field, origin)


def at(reading: Reading, field: str) -> tuple[int, int]:
    """Line and column of an explicit value."""
    origin = reading.origins[field]
    assert isinstance(origin, Explicit), (field, origin)
    return tuple(reading.document.position(origin.span.start))


def defaulted(reading: Reading, field: str) -> str:
    """The framework whose default a field has."""
    origin = reading.origins[field]
    assert isinstance(origin, Default), (field, origin)
    return origin.framework


def derived(reading: Reading, field: str) -> bool:
    return isinstance(reading.origins[field], Derived)


def corpus(folder: str) -> list[Path]:
    """The corpus files of a format; none where the corpus is absent."""
    return sorted((CORPUS / folder).glob("*")) if CORPUS.is_dir() else []


def corpus_rows() -> Iterator[tuple[str, Path]]:
    """(format, file) of the whole corpus; skips the test where it is absent."""
    if not CORPUS.is_dir():
        pytest.skip("the corpus is not here")
    with (CORPUS / "INDEX.tsv").open(encoding="utf-8", newline="") as index:
        for row in csv.DictReader(index, delimiter="\t"):
            yield row["format"], CORPUS / row["format"] / row["file"]
