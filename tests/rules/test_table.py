"""The table of codes and the rule files are the same set, and every rule states what it must."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

import loraplan_rules
from loraplan.formats import FORMATS
from loraplan.plan import field_names
from loraplan.rule import SEVERITIES, Rule
from loraplan_rules import CODES, PREVIEW, WHEN
from tests.rules.harness import LIVE, page, section

ROOT = Path(loraplan_rules.__file__).parent


def _rule(code: str) -> Rule:
    rule = import_module(f"loraplan_rules.{CODES[code]}").check
    assert isinstance(rule, Rule)
    return rule


def test_codes_are_sorted_and_well_formed() -> None:
    assert list(CODES) == sorted(CODES)
    assert all(re.fullmatch(r"[A-Z]{3}\d{3}", code) for code in CODES)


def test_every_rule_file_is_in_the_table_once() -> None:
    files = {
        path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
        for path in ROOT.glob("*/*.py")
        if not path.name.startswith("_")
    }
    assert sorted(CODES.values()) == sorted(files)


@pytest.mark.parametrize("code", LIVE)
def test_rule_states_code_name_and_reads(code: str) -> None:
    rule = _rule(code)
    assert rule.code == code
    assert rule.name == CODES[code].rpartition(".")[2].replace("_", "-")
    assert rule.severity in SEVERITIES
    assert set(rule.reads) <= field_names()
    assert rule.why
    assert not rule.why.endswith(".")
    assert set(rule.suppresses) <= set(CODES) - {code}


@pytest.mark.parametrize("code", LIVE)
def test_rule_has_evidence_that_can_be_checked(code: str) -> None:
    rule = _rule(code)
    assert rule.evidence
    for item in rule.evidence:
        assert item.what
        assert item.url.startswith("https://") or (Path(__file__).parents[2] / item.url).exists(), item.url


@pytest.mark.parametrize("code", LIVE)
def test_page_names_every_option(code: str) -> None:
    options = section(page(code), "Options")
    for name in _rule(code).options:
        assert f"`{name}`" in options


def test_preview_names_the_preview_rules() -> None:
    assert {code for code in CODES if _rule(code).preview} == PREVIEW


def test_when_names_rules_and_fields() -> None:
    assert set(WHEN) <= set(CODES)
    for code, conditions in WHEN.items():
        for condition in conditions:
            kind, _, value = condition.partition(":")
            if kind == "format":
                assert value in FORMATS, (code, condition)
            elif kind in ("explicit", "absent"):
                assert value in field_names(), (code, condition)
            elif kind not in ("text", "key-issue", "value-issue", "problem"):
                assert re.split(r"!=|==", condition)[0] in field_names(), (code, condition)
