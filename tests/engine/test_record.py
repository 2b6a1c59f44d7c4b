"""Records behave as frozen dataclasses."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError, fields, replace

import pytest
from pydantic import TypeAdapter, ValidationError

from loraplan.plan import Adapter, Model, Plan
from loraplan.rule import Finding


def test_values_by_position_by_name_and_by_default() -> None:
    finding = Finding("m", "adapter.r", severity="info")
    assert (finding.message, finding.at, finding.remedy, finding.severity) == ("m", "adapter.r", "", "info")
    assert Plan().adapter == Adapter()
    assert Plan().adapter is not Plan().adapter


def test_equality_and_hash_are_by_value_unless_switched_off() -> None:
    assert Adapter(r=8) == Adapter(r=8) != Adapter(r=9)
    assert hash(Model(name="a")) == hash(Model(name="a"))
    assert Adapter() != Model()
    assert Finding("m", "a") != Finding("m", "a")


def test_nothing_can_be_changed() -> None:
    adapter = Adapter(r=8)
    with pytest.raises(FrozenInstanceError, match="'r'"):
        adapter.r = 9  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        del adapter.r
    with pytest.raises(AttributeError):
        adapter.rank = 9  # type: ignore[attr-defined]
    assert replace(adapter, r=16, alpha=32) == Adapter(r=16, alpha=32)


@pytest.mark.parametrize(
    ("given", "named", "message"),
    [
        ((), {"at": "a"}, "Finding: message is missing"),
        (("m", "a"), {"at": "a"}, "Finding: at is given twice"),
        (("m", "a"), {"to": 1}, "Finding has no field to"),
        (tuple("abcdefghi"), {}, "Finding takes 7 values, 9 were given"),
    ],
)
def test_a_wrong_call_is_a_type_error(given: tuple[str, ...], named: dict[str, object], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        Finding(*given, **named)  # type: ignore[arg-type]


def test_records_are_copied_and_pickled() -> None:
    plan = Plan(method="sft", adapter=Adapter(r=8, rank_pattern={"a": 4}))
    assert copy.deepcopy(plan) == plan
    assert pickle.loads(pickle.dumps(plan)) == plan


def test_pydantic_validates_a_plan_and_writes_its_schema() -> None:
    adapter = TypeAdapter(Plan)
    plan = adapter.validate_python({"method": "sft", "adapter": {"r": 8, "target_modules": ["q_proj"]}})
    assert plan == Plan(method="sft", adapter=Adapter(r=8, target_modules=("q_proj",)))
    with pytest.raises(ValidationError, match=r"adapter\.rank"):
        adapter.validate_python({"adapter": {"rank": 8}})
    assert set(adapter.json_schema()["properties"]) == {item.name for item in fields(Plan)}
