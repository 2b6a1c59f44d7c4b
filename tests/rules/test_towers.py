"""What TGT013 would exclude is all of the towers, and nothing else."""

from __future__ import annotations

import pytest

from loraplan.arch.match import match
from loraplan.arch.sources import resolve
from loraplan.engine import Checker
from loraplan.plan import Adapter

TOWERS = ("vision", "audio", "projector")


@pytest.mark.parametrize(
    "model",
    [
        "Qwen/Qwen2.5-VL-7B-Instruct",
        "google/gemma-3-4b-it",
        "Qwen/Qwen3-VL-8B-Instruct",
    ],
)
def test_the_towers_are_excluded_whole(model: str) -> None:
    text = (
        f"loraplan: 1\nmodel:\n  name: {model}\nmethod: sft\nadapter:\n  method: lora\n  r: 16\n"
        "  target_modules: all-linear\ndata:\n  datasets: [tatsu-lab/alpaca]\n"
    )
    result = Checker().check("plan.yaml", text=text)
    assert result is not None
    fix = next(d.fix for d in result.diagnostics if d.code == "TGT013")
    assert fix is not None
    arch = resolve(model, base_dir=None)
    assert arch is not None
    left = match(Adapter(target_modules="all-linear", exclude_modules=fix.changes[0].value), arch).modules
    assert left
    assert not [m.name for m in left if m.part in TOWERS]
    before = match(Adapter(target_modules="all-linear"), arch).modules
    assert {m.name for m in before if m.part not in TOWERS} == {m.name for m in left}
