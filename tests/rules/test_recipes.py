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


# The recipes that the thresholds were calibrated on, by their headings above: none may go missing.
CALIBRATED = (
    "QLoRA's 7B script",
    "TRL, LoRA without regret, supervised",
    "TRL, LoRA without regret, GRPO at rank 1",
    "LLaMA-Factory, supervised LoRA",
    "axolotl, QLoRA on Llama 3",
    "Unsloth's notebook",
    "torchtune, 8B QLoRA on one device",
    "bitsandbytes' FSDP and QLoRA example",
)


@pytest.mark.parametrize("name", CALIBRATED)
def test_every_calibration_recipe_is_there(name: str) -> None:
    assert any(case.heading.startswith(name) for case in RECIPES)
