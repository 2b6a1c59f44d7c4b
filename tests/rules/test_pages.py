"""A rule's page is its module's docstring: its headings, and its examples, which are run."""

from __future__ import annotations

import re

import pytest

from tests.rules.harness import LIVE, page, read_cases, run, section

HEADINGS = [
    "What it does",
    "Why is this bad?",
    "Example",
    "Use instead",
    "Options",
    "Evidence",
    "What it does not flag",
    "Fix safety",
]


@pytest.mark.parametrize("code", LIVE)
def test_page_has_the_headings_in_order(code: str) -> None:
    text = page(code)
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == HEADINGS
    first = text.split("\n", 1)[0]
    assert first.endswith(".")
    assert all(section(text, heading).strip() for heading in HEADINGS)


@pytest.mark.parametrize("code", LIVE)
def test_example_yields_exactly_this_rule(code: str) -> None:
    cases = read_cases(section(page(code), "Example"))
    assert cases
    for case in cases:
        found = run(case)
        assert any(item.code == code for item in found), found
        assert {item.code for item in found if item.severity != "info"} <= {code}, found


@pytest.mark.parametrize("code", LIVE)
def test_use_instead_is_clean(code: str) -> None:
    cases = read_cases(section(page(code), "Use instead"))
    assert cases
    for case in cases:
        found = run(case)
        assert [item for item in found if item.severity != "info" or item.code == code] == []
