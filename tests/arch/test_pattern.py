from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loraplan.arch.pattern import BadPattern, Pattern, _bounded, is_plain

ATOMS = st.sampled_from(
    ["a", "b", ".", r"\.", "[ab]", "[^a]", r"\d", r"\w", "q_proj", "(a|b)", "(?:ab)", "^", "$", r"\b", "(?=a)", "(?!b)"]
)
REPEATS = st.sampled_from(["", "", "*", "+", "?", "*?", "{2}", "{1,3}", "{2,}"])
PARTS = st.tuples(ATOMS, REPEATS).map("".join)
SEQUENCES = st.lists(PARTS, min_size=1, max_size=5).map("".join)
PATTERNS = st.recursive(
    SEQUENCES, lambda inner: st.tuples(inner, inner).map(lambda two: f"({two[0]}|{two[1]})*"), max_leaves=3
)


@settings(max_examples=300, deadline=None)
@given(PATTERNS, st.text(alphabet="ab.q_1", max_size=8))
def test_bounded_matching_agrees_with_python(pattern: str, name: str) -> None:
    try:
        compiled = re.compile(pattern)
    except re.error:
        with pytest.raises(BadPattern):
            Pattern(pattern)
        return
    assert _bounded(pattern)(name) is bool(compiled.fullmatch(name))
    assert Pattern(pattern).fullmatch(name) is bool(compiled.fullmatch(name))


@pytest.mark.parametrize("pattern", [r"(a*)*\1", r"(?<=a)(b*)*(c*)*d+e+", r"(?i:a*)(b+)+"])
def test_what_the_bounded_matcher_lacks_is_refused(pattern: str) -> None:
    with pytest.raises(BadPattern):
        Pattern(pattern)


@pytest.mark.parametrize(
    ("pattern", "digits"),
    [
        (r".*\.(q|v)_proj", False),
        (r"layers\.\d+\.q", False),
        (r"layers\.[0-9]+\.q", False),
        (r"layers\.[0-9]{1,2}\.q", False),
        (r"layers\.[1-9]\.q", True),
        (r"layers\.1\.q", True),
        (r"w1", True),
    ],
)
def test_which_patterns_tell_digits_apart(pattern: str, digits: bool) -> None:
    assert Pattern(pattern).digits is digits


def test_plain_names() -> None:
    assert is_plain("model.layers.0.self_attn.q_proj")
    assert not is_plain("q_proj|v_proj")


@pytest.mark.parametrize("source", ["[[a]b", "[[a]*.*.*.*b"])
def test_syntax_that_python_may_give_another_meaning_warns_nobody(source: str) -> None:
    assert Pattern(source).fullmatch("ab")
