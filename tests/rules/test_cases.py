"""Each case file asserts code, line and column of its rule's findings, and their absence elsewhere."""

from __future__ import annotations

import pytest

from tests.rules.harness import CASES, LIVE, Case, check_code, read_cases

FILES = sorted(CASES.glob("*.md"))


def _cases() -> list[object]:
    return [
        pytest.param(path.stem[:6], case, id=f"{path.stem}-{number}-{case.heading.replace(' ', '_')}")
        for path in FILES
        for number, case in enumerate(read_cases(path.read_text(encoding="utf-8")), 1)
    ]


@pytest.mark.parametrize(("code", "case"), _cases())
def test_case(code: str, case: Case) -> None:
    check_code(case, code)


@pytest.mark.parametrize("code", LIVE)
def test_every_rule_has_bad_and_good_cases(code: str) -> None:
    files = [path for path in FILES if path.stem.startswith(code)]
    cases = [case for path in files for case in read_cases(path.read_text(encoding="utf-8"))]
    assert any(item.code == code for case in cases for item in case.expected), "no bad case"
    assert any(all(item.code != code for item in case.expected) for case in cases), "no good case"
