"""JSON: positions by example and errors in plain words."""

import pytest

from loraplan.document import MAX_DEPTH, MAX_NODES, DocumentError, Position, walk
from loraplan.document.json import parse


def error(text):
    with pytest.raises(DocumentError) as caught:
        parse(text, "a.json")
    assert caught.value.remedy
    return caught.value


@pytest.mark.parametrize("bom", ["", "\ufeff"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_spans_by_example(bom, newline):
    lines = ['{"é": "✓😀", // why', ' "t": [1, {"a": -2.5e-4}], "n": null, "b": true, "e": {}, "😀": ""}', ""]
    document = parse(bom + newline.join(lines), "a.json")
    found = {
        path: (*document.position(node.span.start), document.text[slice(*node.span)], getattr(node, "tag", None))
        for path, node in walk(document.roots[0])
        if path
    }
    assert found == {
        ("é",): (1, 7, '"✓😀"', "str"),
        ("t",): (2, 7, '[1, {"a": -2.5e-4}]', None),
        ("t", 0): (2, 8, "1", "int"),
        ("t", 1): (2, 11, '{"a": -2.5e-4}', None),
        ("t", 1, "a"): (2, 17, "-2.5e-4", "float"),
        ("n",): (2, 33, "null", "null"),
        ("b",): (2, 44, "true", "bool"),
        ("e",): (2, 55, "{}", None),
        ("😀",): (2, 64, '""', "str"),
    }
    root = document.roots[0]
    assert document.text[slice(*root.span)] == document.text.strip("\ufeff\r\n")
    assert next(document.text[slice(*entry.key.span)] for entry in root.entries) == '"é"'
    assert [(document.position(span.start), text) for span, text in document.comments] == [((1, 13), "// why")]
    assert [problem.kind for problem in document.problems] == (["encoding"] if bom else [])


def test_escapes_are_decoded_and_lone_surrogates_stay_printable():
    root = parse(r'{"a\"\n": "\ud83d\ude00\u00e9\ud800!", "b": "\\"}', "a.json").roots[0]
    assert root.get('a"\n').text == "😀é\ufffd!"
    assert root.get("b").text == "\\"


def test_comments_are_tolerated_and_kept():
    text = '// a\n{"u": "http://x/*y*/", /* "b": 1,\n */ "c": "\\"// no"}\n// z'
    document = parse(text, "a.json")
    assert [entry.value.text for entry in document.roots[0].entries] == ["http://x/*y*/", '"// no']
    assert [kept for _, kept in document.comments] == ["// a", '/* "b": 1,\n */', "// z"]
    assert all(text[slice(*span)] == kept for span, kept in document.comments)


def test_constants_that_python_writes():
    root = parse('{"a": NaN, "b": [-Infinity, Infinity], "c": "NaN"}', "a.json").roots[0]
    assert (root.get("a").text, root.get("a").tag) == ("NaN", "float")
    assert [(item.text, item.tag) for item in root.get("b").items] == [("-Infinity", "float"), ("Infinity", "float")]
    assert (root.get("c").text, root.get("c").tag) == ("NaN", "str")


def test_duplicate_keys_are_a_problem():
    document = parse('{"r": 8,\n "r": 16}', "a.json")
    (problem,) = document.problems
    assert (problem.kind, document.position(problem.span.start), document.position(problem.related.start)) == (
        "duplicate-key",
        (2, 2),
        (1, 2),
    )
    assert document.roots[0].get("r").text == "16"


@pytest.mark.parametrize("text", ["3", '"x"', "[]", "null"])
def test_any_value_may_be_the_root(text):
    (root,) = parse(f" {text} ", "a.json").roots
    assert root.span == (1, 1 + len(text))


def test_comments_alone_are_an_empty_file():
    assert parse("// nothing\n", "a.json").roots == ()


@pytest.mark.parametrize(
    ("text", "position", "message"),
    [
        ('{"a": 1,}', (1, 8), "a trailing comma, which JSON loaders refuse"),
        ('{"a": 1, // c\n}', (1, 8), "a trailing comma, which JSON loaders refuse"),
        ("[1,\n]", (1, 3), "a trailing comma, which JSON loaders refuse"),
        ('{"a": 1\n "b": 2}', (2, 2), "a ',' or a closing bracket is missing before this"),
        ('{"a" 1}', (1, 6), "a ':' is missing after the key"),
        ("{a: 1}", (1, 2), "a key without double quotes"),
        ("{'a': 1}", (1, 2), "single quotes"),
        ('{"a": True}', (1, 7), "True is Python, not JSON"),
        ('{"a": .5}', (1, 7), "no JSON value stands here"),
        ('{"é": "x\ny"}', (1, 7), "a string that is never closed on its line"),
        ('{"a": "x', (1, 7), "a string that is never closed on its line"),
        ('{"a": "\t"}', (1, 8), "a control character in a string"),
        ('{"a": "C:\\dir"}', (1, 10), "an unknown escape after '\\' in a string"),
        ('{"a": 1', (1, 8), "the text ends before the JSON value does"),
        ('{"a": 1}\n{"a": 2}\n', (2, 1), "several JSON values in one file, as in a data file"),
        ('{"a": 1} x', (1, 10), "text after the end of the JSON value"),
        ('\ufeff{"a": x}', (1, 7), "no JSON value stands here"),
        ('{"a": "\ud800"}', (1, 8), "a character that Unicode does not allow (a lone surrogate)"),
    ],
)
def test_errors_say_where_and_what(text, position, message):
    found = error(text)
    assert (found.message, found.position) == (message, Position(*position))


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "[" * 40_000 + "]" * 40_000,
        '["",' * 40_000 + "1",
        "[" * 201 + "]" * 201,
        '{"a":' * 5_000 + "1" + "}" * 5_000,
    ],
    ids=["open", "closed", "strings between", "just too deep", "objects"],
)
def test_deep_nesting_is_an_error_not_a_crash(text):
    assert error(text).message == f"nested more than {MAX_DEPTH} levels deep"


def test_nesting_up_to_the_limit_is_read():
    assert len(list(walk(parse("[" * MAX_DEPTH + "]" * MAX_DEPTH, "a.json").roots[0]))) == MAX_DEPTH


def test_a_number_of_any_length_is_read():
    assert parse("[" + "1" * 5_000 + "]", "a.json").roots[0].items[0].text == "1" * 5_000


def test_data_is_refused():
    assert error("//\n" * (MAX_NODES + 1) + "1").message == "more than 100000 comments"
    assert error("[" + "1," * MAX_NODES + "1]").message == "more than 100000 values"
    assert parse(f'["{"1," * MAX_NODES}"]', "a.json").roots[0].items[0].text.startswith("1,1,")
