"""An edit changes its span and nothing else."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loraplan.document import Span
from loraplan.document.edit import Edit, apply


@given(st.data())
@settings(deadline=None)
def test_edits_change_their_spans_only(data):
    text = data.draw(st.text(max_size=30))
    cuts = data.draw(st.lists(st.integers(0, len(text)), unique=True, max_size=6).map(sorted))
    edits = [Edit(Span(a, b), data.draw(st.text(max_size=3))) for a, b in zip(cuts[::2], cuts[1::2], strict=False)]
    result, rest = apply(text, data.draw(st.permutations(edits))), text
    for edit in reversed(edits):
        rest = rest[: edit.span.start] + edit.text + rest[edit.span.end :]
    assert result == rest


@pytest.mark.parametrize(
    "edits",
    [
        [Edit(Span(0, 3), "x"), Edit(Span(2, 4), "y")],
        [Edit(Span(1, 4), "x"), Edit(Span(2, 3), "y")],
        [Edit(Span(2, 2), "x"), Edit(Span(2, 2), "y")],
        [Edit(Span(2, 9), "x")],
        [Edit(Span(3, 2), "x")],
    ],
)
def test_overlapping_or_impossible_edits_are_refused(edits):
    with pytest.raises(ValueError, match="edit"):
        apply("abcdef", edits)


def test_touching_edits_are_applied():
    assert apply("abcdef", [Edit(Span(2, 4), "X"), Edit(Span(4, 4), "-"), Edit(Span(0, 2), "")]) == "X-ef"
