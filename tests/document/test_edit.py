"""An edit changes its span and nothing else, and reading the result gives what was set."""

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from loraplan.document import Scalar, Span, find, walk
from loraplan.document.edit import CannotEditError, Edit, apply, replace
from loraplan.document.read import read

YAML = (
    "# é\na: 16  # keep ✓\nb: {c: 'x', d: \"y\"}\ne:\n  - 2e-4\n  -\n  - k: |\n      text\nf:\ng: [q, v]\nh: !!str 8\n"
)
JSON = '{"a": 16, // keep ✓\n "b": {"c": "x", "d": null}, "e": [2e-4, true], "g": []}\n'
TOML = "a = 16 # keep ✓\n[b]\nc = 'x'\nd = \"y\"\ne = [2e-4, {z = true}]\nm = '''\nx'''\n"
FILES = {"a.yml": YAML, "a.json": JSON, "a.toml": TOML}
SCALARS = [
    (name, path)
    for name, text in FILES.items()
    for path, node in walk(read(name, text).roots[0])
    if isinstance(node, Scalar)
]


def change(name, text, path, new, style=None):
    document = read(name, text)
    return apply(text, [replace(document, path, new, style)])


@pytest.mark.parametrize(
    ("name", "path", "new", "before", "after"),
    [
        ("a.yml", ("a",), "32", "a: 16  # keep", "a: 32  # keep"),
        ("a.yml", ("b", "c"), "it's", "c: 'x'", "c: 'it''s'"),
        ("a.yml", ("b", "d"), 'a "b"', 'd: "y"', 'd: "a \\"b\\""'),
        ("a.yml", ("e", 0), "2.0e-4", "- 2e-4", "- 2.0e-4"),
        ("a.yml", ("e", 1), "x", "  -\n", "  - x\n"),
        ("a.yml", ("e", 2, "k"), "x", "k: |\n      text", "k: x"),
        ("a.yml", ("f",), "1", "f:\n", "f: 1\n"),
        ("a.yml", ("g",), "all-linear", "[q, v]", "all-linear"),
        ("a.yml", ("a",), "x: y", "a: 16", 'a: "x: y"'),
        ("a.yml", ("h",), "9", "!!str 8", "!!str 9"),
        ("a.json", ("a",), "32", '"a": 16', '"a": 32'),
        ("a.json", ("a",), "x", '"a": 16', '"a": "x"'),
        ("a.json", ("b", "c"), "é\n", '"c": "x"', '"c": "é\\n"'),
        ("a.json", ("b", "d"), "false", "null", "false"),
        ("a.json", ("g",), "all-linear", "[]", '"all-linear"'),
        ("a.toml", ("a",), "32", "a = 16", "a = 32"),
        ("a.toml", ("b", "c"), "C:\\y", "c = 'x'", "c = 'C:\\y'"),
        ("a.toml", ("b", "c"), "it's", "c = 'x'", 'c = "it\'s"'),
        ("a.toml", ("b", "d"), "z", 'd = "y"', 'd = "z"'),
        ("a.toml", ("b", "e", 1, "z"), "false", "true", "false"),
    ],
)
def test_replacement_by_example(name, path, new, before, after):
    assert change(name, FILES[name], path, new) == FILES[name].replace(before, after, 1)


def test_style_can_be_asked_for():
    assert change("a.yml", "r: '16'\n", ("r",), "16", "plain") == "r: 16\n"
    assert change("a.yml", "r: 16\n", ("r",), "16", "quoted") == 'r: "16"\n'


def test_a_node_may_be_the_target():
    document = read("a.yml", "r: 8\nr: 16\n")
    first = document.roots[0].entries[0].value
    assert apply(document.text, [replace(document, first, "32")]) == "r: 32\nr: 16\n"


def test_a_later_document_may_be_the_target():
    document = read("a.yml", "r: 8\n---\nr: 16\n")
    assert apply(document.text, [replace(document, ("r",), "32", root=1)]) == "r: 8\n---\nr: 32\n"


@pytest.mark.parametrize(
    ("name", "text", "path", "reason"),
    [
        ("a.yml", "a: &x 1\nb: *x\n", ("b",), "also serves other places"),
        ("a.yml", "a: &x 1\nb: *x\n", ("a",), "also serves other places"),
        ("a.yml", "a: &x {r: 1}\nb: {<<: *x}\n", ("b", "r"), "also serves other places"),
        ("a.yml", "a:\n  b: 1\n", ("a",), "several lines"),
        ("a.yml", "a: 1\n", ("b",), "there is no value at b"),
        ("a.yml", "", ("b",), "there is no value at b"),
        ("a.sh", "swift sft --lora_rank 8\n", ("lora_rank",), "shell files are not edited"),
        ("a.yml", "{a}\n", ("a",), "no way of writing"),
        ("a.yml", "a: 1\n", ("a",), "no way of writing"),
    ],
)
def test_what_cannot_be_edited_says_why(name, text, path, reason):
    new = "\ud800" if (text, path) == ("a: 1\n", ("a",)) else "2"
    with pytest.raises(CannotEditError, match=reason):
        replace(read(name, text), path, new)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@given(where=st.sampled_from(SCALARS), new=st.text(max_size=12) | st.from_regex(r"-?[0-9.e\-+]{1,8}", fullmatch=True))
@example(where=("a.yml", ("a",)), new="- x")
@example(where=("a.yml", ("b", "c")), new="'\x85")
@example(where=("a.toml", ("b", "c")), new="\x7f")
@example(where=("a.json", ("b", "c")), new="\x00")
@settings(deadline=None)
def test_setting_and_reading_gives_the_value_and_leaves_the_rest(newline, where, new):
    name, path = where
    text = FILES[name].replace("\n", newline)
    document = read(name, text)
    node = find(document.roots[0], path)
    try:
        edit = replace(document, path, new)
    except CannotEditError:
        assume(False)
    edited = apply(text, [edit])
    assert edited[: node.span.start] == text[: node.span.start]
    assert edited[len(edited) - (len(text) - node.span.end) :] == text[node.span.end :]
    again = read(name, edited)
    expected = {p: getattr(n, "text", type(n)) for p, n in walk(document.roots[0])} | {path: new}
    assert {p: getattr(n, "text", type(n)) for p, n in walk(again.roots[0])} == expected


@given(new=st.text(st.characters(exclude_categories=["Cs"]), max_size=12), where=st.sampled_from(SCALARS))
@settings(deadline=None)
def test_any_text_can_be_set_as_a_string(new, where):
    name, path = where
    assert find(read(name, change(name, FILES[name], path, new, "quoted")).roots[0], path).text == new


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
