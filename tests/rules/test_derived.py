"""Quantities that follow from a Plan, by closed form."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loraplan.arch.names import equivalents, leaves
from loraplan.arch.sources import resolve
from loraplan.derived import (
    constant_alpha,
    coverage,
    effective_batch,
    family,
    finite,
    listed,
    low_rank_rl,
    number,
    scaling,
    short,
    total_steps,
    warmup_steps,
)
from loraplan.plan import build


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"adapter.r": 64, "adapter.alpha": 16}, 0.25),
        ({"adapter.r": 64, "adapter.alpha": 16, "adapter.use_rslora": True}, 2.0),
        ({"adapter.r": 8, "adapter.alpha": 16, "adapter.scaling": 20.0}, 20.0),
        ({"adapter.r": 0, "adapter.alpha": 16}, None),
        ({"adapter.r": 8}, None),
        ({"adapter.r": math.nan, "adapter.alpha": 16}, None),
        ({"adapter.r": 1e-320, "adapter.alpha": 1e300}, None),
        ({"adapter.r": 10**400, "adapter.alpha": 16}, None),
    ],
)
def test_scaling(values: dict[str, Any], expected: float | None) -> None:
    assert scaling(build(values)) == expected


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        (("q_proj", "k_proj"), "qk"),
        (("q_proj",), "attention"),
        (("q_proj", "v_proj"), "attention"),
        (("query_key_value",), "attention"),
        (("gate_proj", "up_proj", "down_proj"), "mlp"),
        (("self_attn.q_proj", "mlp.up_proj"), "all"),
        (("lm_head",), "other"),
        (("q_proj", "something_new"), "unknown"),
        (("dense",), "unknown"),
        ("all-linear", "all"),
        (r".*\.q_proj", "unknown"),
        (None, "unknown"),
        ((), "unknown"),
    ],
)
def test_coverage_by_names(targets: tuple[str, ...] | str | None, expected: str) -> None:
    assert coverage(build({"adapter.target_modules": targets})) == expected


@pytest.mark.parametrize(
    ("values", "examples", "expected"),
    [
        ({"schedule.max_steps": 100, "schedule.epochs": 3}, 10**6, 100),
        ({"schedule.epochs": 3, "batch.micro_batch_size": 4, "batch.gradient_accumulation_steps": 8}, 1000, 96),
        ({"schedule.epochs": 1, "batch.global_batch_size": 16}, 17, 2),
        ({"schedule.epochs": 3, "batch.micro_batch_size": 4}, None, None),
        ({"schedule.epochs": 3, "batch.micro_batch_size": 4, "data.packing": True}, 1000, None),
        ({"schedule.epochs": math.inf, "batch.micro_batch_size": 4}, 1000, None),
        ({"schedule.epochs": 1e308, "batch.micro_batch_size": 1}, 10**300, None),
        ({"schedule.epochs": 3, "batch.micro_batch_size": 0}, 1000, None),
    ],
)
def test_total_steps(values: dict[str, Any], examples: int | None, expected: int | None) -> None:
    assert total_steps(build(values), examples) == expected


@pytest.mark.parametrize(
    ("values", "steps", "expected"),
    [
        ({"schedule.warmup_steps": 10, "schedule.warmup_ratio": 0.5}, 100, 10),
        ({"schedule.warmup_steps": 0, "schedule.warmup_ratio": 0.03}, 101, 4),
        ({"schedule.warmup_ratio": 0.03}, None, None),
        ({"schedule.warmup_ratio": 0.0}, None, 0),
        ({"schedule.warmup_ratio": math.inf}, 10, None),
        ({}, 100, None),
    ],
)
def test_warmup_steps(values: dict[str, Any], steps: int | None, expected: float | None) -> None:
    assert warmup_steps(build(values), steps) == expected


def test_effective_batch_multiplies_devices() -> None:
    values = {"batch.micro_batch_size": 2, "batch.gradient_accumulation_steps": 4, "distributed.devices": 8}
    assert effective_batch(build(values)) == 64


def test_published_recipes_are_recognised() -> None:
    recipe = {"adapter.r": 256, "adapter.alpha": 16, "optimizer.learning_rate": 2e-4}
    assert constant_alpha(build(recipe), "all")
    assert not constant_alpha(build(recipe), "attention")
    assert not constant_alpha(build({**recipe, "optimizer.learning_rate": 5e-5}), "all")
    assert not constant_alpha(build({**recipe, "adapter.alpha": 64}), "all")
    assert low_rank_rl(build({"method": "grpo", "adapter.r": 8}))
    assert not low_rank_rl(build({"method": "grpo", "adapter.r": 16}))
    assert family(build({"method": "sft"})) == "sft"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (16, "16"),
        (0.25, "0.25"),
        (2e-5, "2e-5"),
        (0.0, "0"),
        (1e7, "1e7"),
        (math.nan, "nan"),
        (10**400, "a number beyond any float"),
    ],
)
def test_number(value: float, expected: str) -> None:
    assert number(value) == expected


@given(st.floats(-1e300, 1e300))
def test_short_stays_near_the_value(value: float) -> None:
    assert float(short(value)) == pytest.approx(value, rel=6e-3)


def test_short_keeps_three_digits() -> None:
    assert [short(value) for value in (1 / 3, 11.3137, 0.0625, 123_456)] == ["0.333", "11.3", "0.0625", "123000"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ((), "nothing"),
        (("a",), "a"),
        (("a", "b", "a"), "a and b"),
        (("a", "b", "c", "d", "e"), "a, b, c, d and e"),
        (("a", "b", "c", "d", "e", "f"), "a, b, c, d and 2 more"),
    ],
)
def test_listed(names: tuple[str, ...], expected: str) -> None:
    assert listed(names) == expected


@given(st.none() | st.booleans() | st.integers() | st.floats())
def test_finite_is_a_finite_float_or_none(value: float | None) -> None:
    result = finite(value)
    assert result is None or (isinstance(result, float) and math.isfinite(result))


@pytest.mark.parametrize(
    ("model", "name", "expected"),
    [
        ("microsoft/Phi-3-mini-4k-instruct", "v_proj", ("qkv_proj",)),
        ("microsoft/Phi-3-mini-4k-instruct", "up_proj", ("gate_up_proj",)),
        ("microsoft/phi-2", "o_proj", ("dense",)),
        ("tiiuae/falcon-7b", "down_proj", ("dense_4h_to_h",)),
        ("Qwen/Qwen3-8B", "query_key_value", ("q_proj", "k_proj", "v_proj")),
        ("Qwen/Qwen3-8B", "nonsense", ()),
    ],
)
def test_names_across_families(model: str, name: str, expected: tuple[str, ...]) -> None:
    arch = resolve(model, base_dir=".", online=False)
    assert arch is not None
    assert equivalents(name, arch) == expected
    assert set(expected) <= set(leaves(arch))


def test_an_unreadable_accumulation_leaves_the_batch_unknown() -> None:
    assert effective_batch(build({"batch.micro_batch_size": 4})) is None
