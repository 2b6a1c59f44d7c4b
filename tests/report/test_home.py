"""Addresses: those that the distribution states, and no others."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from email.message import Message

import pytest

from loraplan import home


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    home.address.cache_clear()
    yield
    home.address.cache_clear()


def test_what_is_not_stated_is_left_out() -> None:
    stated = importlib.metadata.metadata("loraplan").get_all("Project-URL") or []
    labels = {line.partition(", ")[0].lower() for line in stated}
    for label in ("Source", "Issues", "Rules"):
        assert (home.address(label) is not None) == (label.lower() in labels)


def test_what_is_stated_is_found_by_its_label(monkeypatch: pytest.MonkeyPatch) -> None:
    message = Message()
    message["Project-URL"] = "Source, https://git.example.org/loraplan/"
    message["Project-URL"] = "issues, https://git.example.org/loraplan/issues"
    monkeypatch.setattr(importlib.metadata, "metadata", lambda _: message)
    assert home.address("Source") == "https://git.example.org/loraplan"
    assert home.address("Issues") == "https://git.example.org/loraplan/issues"
    assert home.address("Rules") is None


def test_a_copy_that_is_not_installed_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "metadata", missing)
    assert home.address("Source") is None
