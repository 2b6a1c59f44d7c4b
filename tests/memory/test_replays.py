"""The figures for what the allocator adds, against the replays that they were taken from (bench/replays)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from loraplan.memory import observed

FOLDER = Path(__file__).parents[2] / "bench" / "replays"


def lines(name: str) -> list[dict]:
    found = [json.loads(line) for line in (FOLDER / name).read_text("utf-8").splitlines()]
    return [line for line in found if "skipped" not in line]


def expected(line: dict, shares: dict) -> float:
    regime = line["checkpointing"] != "off", line["loss"] == "chunked"
    segments = observed.SEGMENTS if regime[1] else observed.SEGMENTS_WHOLE
    return line["alive"] + segments + shares[regime] * line["moving"]


def share(values: list[bool]) -> float:
    return sum(values) / len(values)


def test_nine_of_ten_are_in_the_reserved_range():
    found = [line for line in lines("fixed.jsonl") if line["rank"]]
    assert len(found) > 100
    near = [abs(line["reserved"] / expected(line, observed._CACHED) - 1) <= observed.RESERVED for line in found]
    assert share(near) >= 0.9


@pytest.mark.parametrize("regime", list(observed._CACHED))
def test_what_is_expected_is_in_the_middle(regime):
    own = [line for line in lines("fixed.jsonl") if line["rank"]]
    own = [line for line in own if (line["checkpointing"] != "off", line["loss"] == "chunked") == regime]
    above = share([line["reserved"] > expected(line, observed._CACHED) for line in own])
    assert 0.25 <= above <= 0.75


def test_what_must_be_kept_is_rarely_more_than_the_high_end():
    found = [line for line in lines("fixed.jsonl") if line["rank"]]
    enough = []
    for line in found:
        most = observed._KEPT_HIGH[line["checkpointing"] != "off", line["loss"] == "chunked"]
        enough.append(line["needed"] <= line["alive"] * (1 + max(most, observed.KEPT)))
    assert share(enough) >= 0.9


def full(*, stepping: bool, checkpointing: bool) -> list[dict]:
    found = [line for line in lines("fixed.jsonl") if not line["rank"]]
    found = [line for line in found if (line["checkpointing"] != "off") == checkpointing]
    return [line for line in found if (line["phase"] == "optimizer") == stepping]


def test_full_fine_tuning_keeps_what_its_states_were_made_among():
    least, most = observed._KEPT_FULL
    found = full(stepping=False, checkpointing=True)
    below = share([line["needed"] < line["alive"] + least * line["moving"] for line in found])
    assert 0.15 <= below <= 0.4
    assert share([line["needed"] <= (1 + most) * line["alive"] for line in found]) >= 0.9
    whole = [(stepping, False) for stepping in (False, True)] + [(True, True)]
    for stepping, checkpointing in whole:
        for line in full(stepping=stepping, checkpointing=checkpointing):
            assert line["needed"] <= line["alive"] * (1 + observed._KEPT_HIGH[True, True])


def test_the_reserved_range_of_full_fine_tuning():
    found = [line for line in lines("fixed.jsonl") if not line["rank"]]
    near = [
        abs(line["reserved"] / expected(line, observed._CACHED_FULL) - 1)
        <= (observed.RESERVED if line["checkpointing"] == "off" else observed.RESERVED_FULL)
        for line in found
    ]
    assert share(near) >= 0.9


def test_the_estimate_is_near_what_was_alive():
    off = sorted(abs(line["estimate"] / line["alive"] - 1) for line in lines("fixed.jsonl"))
    assert off[len(off) // 2] < 0.005
    assert off[-1] < 0.03


def test_lengths_that_vary():
    found = lines("varying.jsonl")
    above = share([line["reserved"] > expected(line, observed._CACHED_VARYING) for line in found])
    assert 0.3 <= above <= 0.7
