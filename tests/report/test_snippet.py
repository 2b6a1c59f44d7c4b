"""The source line and its carets: tabs, wide characters, long lines, nothing that steers a terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loraplan.report.snippet import snippet


@pytest.mark.parametrize(
    ("source", "column", "length", "line", "carets"),
    [
        ("lora_alpha: 16", 13, 2, "lora_alpha: 16", "            ^^"),
        ("", 1, 0, "", "^"),
        ("a: b", 5, 1, "a: b", "    ^"),
        ("\tr: 8", 5, 1, "    r: 8", "       ^"),
        ("名: 8", 4, 1, "名: 8", "    ^"),
        ("x: 名前", 4, 2, "x: 名前", "   ^^^^"),
        ("e\u0301: 8", 5, 1, "e?: 8" if not "\u0301".isprintable() else "e\u0301: 8", "   ^"),
        ("a: \x1b[31m8", 4, 1, "a: ?[31m8", "   ^"),
        ("a: \u202e8", 5, 1, "a: ?8", "    ^"),
        ("a: 8   ", 4, 4, "a: 8", "   ^^^^"),
    ],
)
def test_carets_stand_under_the_value(source: str, column: int, length: int, line: str, carets: str) -> None:
    assert snippet(source, column, length, 80) == (line, carets)


def test_a_long_line_is_cut_around_the_value() -> None:
    source = "a" * 300 + " VALUE " + "b" * 300
    line, carets = snippet(source, 302, 5, 60)
    assert len(line) <= 60
    assert line.startswith("...a")
    assert line.endswith("b...")
    start = carets.index("^")
    assert line[start : start + carets.count("^")] == "VALUE"


def test_a_value_longer_than_the_screen_is_marked_as_far_as_it_is_seen() -> None:
    line, carets = snippet("key: " + "x" * 500, 6, 500, 40)
    assert len(line) <= 40
    assert len(carets) <= 40
    assert line.endswith("...")


@given(
    st.text(st.characters(exclude_characters="\r\n")), st.integers(1, 300), st.integers(0, 300), st.integers(20, 200)
)
def test_any_line_fits_and_has_carets(source: str, column: int, length: int, width: int) -> None:
    line, carets = snippet(source, column, length, width)
    assert set(carets) <= {" ", "^"}
    assert "^" in carets
    assert all(character.isprintable() for character in line)
