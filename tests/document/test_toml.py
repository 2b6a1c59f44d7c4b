"""TOML: positions by example and errors in plain words."""

import pytest

from loraplan.document import MAX_DEPTH, DocumentError, Position, walk
from loraplan.document.toml import MAX_MARKS, parse

EXAMPLE = """\
# c é
model.path = "é✓😀" # why
model."max len" = 1_024

[optimizer]
lr = 2e-4
betas = [0.9, # first
  0.99]
on = true
[a.b]
when = 1979-05-27 07:32:00
raw = 'C:\\x'
at = {q.r = 1, s = "2"}
[[datasets]]
path = \"\"\"\\
  x
\"\"\"
[[datasets]]
[[datasets.parts]]
n = 0xff
"""


def error(text):
    with pytest.raises(DocumentError) as caught:
        parse(text, "a.toml")
    assert caught.value.remedy
    return caught.value


@pytest.mark.parametrize("bom", ["", "\ufeff"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_spans_by_example(bom, newline):
    text = bom + EXAMPLE.replace("\n", newline)
    document = parse(text, "a.toml")
    found = {
        path: (*document.position(node.span.start), text[slice(*node.span)].replace("\r", ""), getattr(node, "tag", ""))
        for path, node in walk(document.roots[0])
        if path
    }
    datasets = EXAMPLE[EXAMPLE.index("[[") :].rstrip()
    second = datasets[datasets.rindex("[[datasets]]") :]
    assert found == {
        ("model",): (2, 1, 'model.path = "é✓😀" # why\nmodel."max len" = 1_024', ""),
        ("model", "path"): (2, 14, '"é✓😀"', "str"),
        ("model", "max len"): (3, 19, "1_024", "int"),
        ("optimizer",): (5, 1, EXAMPLE[EXAMPLE.index("[opt") : EXAMPLE.index("\n[a.b]")], ""),
        ("optimizer", "lr"): (6, 6, "2e-4", "float"),
        ("optimizer", "betas"): (7, 9, "[0.9, # first\n  0.99]", ""),
        ("optimizer", "betas", 0): (7, 10, "0.9", "float"),
        ("optimizer", "betas", 1): (8, 3, "0.99", "float"),
        ("optimizer", "on"): (9, 6, "true", "bool"),
        ("a",): (10, 1, EXAMPLE[EXAMPLE.index("[a.b") : EXAMPLE.index("\n[[")], ""),
        ("a", "b"): (10, 1, EXAMPLE[EXAMPLE.index("[a.b") : EXAMPLE.index("\n[[")], ""),
        ("a", "b", "when"): (11, 8, "1979-05-27 07:32:00", "str"),
        ("a", "b", "raw"): (12, 7, "'C:\\x'", "str"),
        ("a", "b", "at"): (13, 6, '{q.r = 1, s = "2"}', ""),
        ("a", "b", "at", "q"): (13, 7, "q.r = 1", ""),
        ("a", "b", "at", "q", "r"): (13, 13, "1", "int"),
        ("a", "b", "at", "s"): (13, 20, '"2"', "str"),
        ("datasets",): (14, 1, datasets, ""),
        ("datasets", 0): (14, 1, datasets[: datasets.index("\n[[")], ""),
        ("datasets", 0, "path"): (15, 8, '"""\\\n  x\n"""', "str"),
        ("datasets", 1): (18, 1, second, ""),
        ("datasets", 1, "parts"): (19, 1, second[13:], ""),
        ("datasets", 1, "parts", 0): (19, 1, second[13:], ""),
        ("datasets", 1, "parts", 0, "n"): (20, 5, "0xff", "int"),
    }
    root = document.roots[0]
    assert root.get("datasets").items[0].get("path").text == "x\n"
    assert root.get("a").get("b").get("raw").text == "C:\\x"
    comments = [(*document.position(span.start), text) for span, text in document.comments]
    assert comments == [(1, 1, "# c é"), (2, 20, "# why"), (7, 15, "# first")]
    assert [problem.kind for problem in document.problems] == (["encoding"] if bom else [])


def test_a_key_span_is_its_own_part():
    document = parse('[a."b c"]\nd . e = 1\n', "a.toml")
    keys, node = [], document.roots[0]
    while entries := getattr(node, "entries", ()):
        keys.append((entries[0].key.text, document.text[slice(*entries[0].key.span)]))
        node = entries[0].value
    assert keys == [("a", "a"), ("b c", '"b c"'), ("d", "d"), ("e", "e")]


@pytest.mark.parametrize(
    ("text", "position", "message"),
    [
        ("a = 1\n a = 2\n", (2, 1), "a key that is given twice"),
        ("[a]\nb = 1\n[a]\n", (3, 1), "the table a is given twice"),
        ("[a.b]\n[a.b]\n", (2, 1), "the table a.b is given twice"),
        ("a = {b = 1, b = 2}\n", (1, 1), "a key that is given twice"),
        ("lr: 1\n", (1, 3), "expected '=' after a key in a key/value pair"),
        ("é = 1\n", (1, 1), "invalid statement"),
        ("a = True\n", (1, 5), "invalid value"),
        ("a = x y\n", (1, 5), "invalid value"),
        ("a = 1 b = 2\n", (1, 7), None),
        ("a = 'x\n", (2, 1), 'expected "\'"'),
        ("a = [1, 2\n", (2, 1), None),
        ("a = 01\n", (1, 6), None),
        ("a = 1\rb = 2\n", (1, 6), None),
        ('a = "\\d"\n', (1, 8), None),
        ('a = "\ud800"\n', (1, 6), "a character that Unicode does not allow (a lone surrogate)"),
        ("\ufeffa = x\n", (1, 5), "invalid value"),
    ],
)
def test_errors_say_where_and_what(text, position, message):
    found = error(text)
    assert found.position == Position(*position)
    assert message is None or found.message == message


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 100_000,
        "a = " + "[" * 300 + "]" * 300,
        "a = " + "{b = " * 300 + "1" + "}" * 300,
        ".".join("a" * 201) + " = 1",
        ".".join("a" * 15_000) + " = 1",
        '"é".' * 15_000 + "a = 1",
        "[" + " . ".join("a" * 1_000) + "]",
        "[" + ".".join("a" * 150) + "]\n" + ".".join("b" * 150) + " = [[1]]",
    ],
)
def test_deep_nesting_is_an_error_not_a_crash(text):
    assert error(text).message == f"nested more than {MAX_DEPTH} levels deep"


def test_a_number_too_long_to_convert():
    found = error("a = 1\nb = -" + "1" * 5_000)
    assert (found.message, found.position) == ("a number that is too long", Position(2, 6))


def test_data_is_refused():
    assert error("a = [" + "1," * MAX_MARKS + "\n1]").message == "more than 20000 values"
