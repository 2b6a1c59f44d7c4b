"""Comments are found where they are, and a '#' in a value is none."""

import pytest

from loraplan.document.comments import comment_lines
from loraplan.document.read import read


def comments(name, text):
    document = read(name, text)
    found = comment_lines(document)
    assert all(text[slice(*span)] == comment for span, comment in found)
    return [(*document.position(span.start), comment) for span, comment in found]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_yaml(bom, newline):
    lines = [
        "# loraplan: ignore[ALP001]",
        "a: x#y # one # still one",
        'b: "# no" # two',
        "c: 'a",
        "  # no'",
        "d: |  # header",
        "  # no",
        "# three",
        '"# no": &x # four',
        "  z # five",
        "e: [1, # six",
        "  2]",
    ]
    assert comments("a.yml", bom + newline.join(lines)) == [
        (1, 1, "# loraplan: ignore[ALP001]"),
        (2, 8, "# one # still one"),
        (3, 11, "# two"),
        (8, 1, "# three"),
        (9, 12, "# four"),
        (10, 5, "# five"),
        (11, 8, "# six"),
    ]


def test_without_the_word_nothing_is_looked_for():
    assert comments("a.yml", "a: 1 # loraplan, ignore this\n") == []


def test_a_value_that_looks_like_a_suppression_is_none():
    assert comments("a.yml", "a: 'x # loraplan: ignore[ALP001]'\n") == []


def test_json():
    text = '{"a": "// no", // loraplan: ignore[ALP001]\n /* two */ "b": 1}\n'
    assert comments("a.json", text) == [(1, 16, "// loraplan: ignore[ALP001]"), (2, 2, "/* two */")]


def test_toml():
    text = 'a = "# no" # loraplan: ignore[ALP001]\n[b]#two\nc = [1, #three\n]\n#four\n'
    assert comments("a.toml", text) == [
        (1, 12, "# loraplan: ignore[ALP001]"),
        (2, 4, "#two"),
        (3, 9, "#three"),
        (5, 1, "#four"),
    ]
