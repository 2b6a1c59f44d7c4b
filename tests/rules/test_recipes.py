"""Published recipes have no finding at warning or above but the expected ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rules.harness import Case, read_cases, run

RECIPES = read_cases((Path(__file__).parent / "recipes.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", RECIPES, ids=lambda case: case.heading)
def test_recipe(case: Case) -> None:
    found = run(case)
    loud = {(item.code, item.line, item.column) for item in found if item.severity != "info"}
    assert loud == {(item.code, item.line, item.column) for item in case.expected}, found
