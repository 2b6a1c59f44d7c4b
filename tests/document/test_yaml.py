"""YAML: positions by example, what aliases and merges yield, and errors in plain words."""

import pytest
import yaml as pyyaml

from loraplan.document import MAX_DEPTH, MAX_NODES, DocumentError, Mapping, Position, Scalar, Sequence, find, walk, yaml
from loraplan.document.yaml import parse


@pytest.fixture(params=["libyaml", "pure"], autouse=True)
def loader(request, monkeypatch):
    """Every test holds with and without PyYAML's C extension."""
    if request.param == "libyaml":
        if not pyyaml.__with_libyaml__:
            pytest.skip("PyYAML was built without libyaml")
    else:
        monkeypatch.delattr(yaml.yaml, "CSafeLoader", raising=False)
    return request.param


def source(document, node):
    return document.text[node.span.start : node.span.end]


def sources(text):
    """Key path -> (line, column, source text) of every node below the first root."""
    document = parse(text, "a.yml")
    found = {}
    for path, node in walk(document.roots[0]):
        found[path] = (*document.position(node.span.start), source(document, node))
    return found


def error(text):
    with pytest.raises(DocumentError) as caught:
        parse(text, "a.yml")
    assert caught.value.remedy
    return caught.value


def test_spans_by_example():
    text = (
        "# c\nmodel: é✓😀 # x\nlora:\n  r: 16\n  targets: [q, 'v']\n  list:\n  - a: 1\n    b: \"2\"\n\n# end\nlast: \n"
    )
    assert sources(text) == {
        (): (2, 1, text[4:].rstrip("\n ")),
        ("model",): (2, 8, "é✓😀"),
        ("lora",): (4, 3, text[text.index("r:") : text.index('"2"') + 3]),
        ("lora", "r"): (4, 6, "16"),
        ("lora", "targets"): (5, 12, "[q, 'v']"),
        ("lora", "targets", 0): (5, 13, "q"),
        ("lora", "targets", 1): (5, 16, "'v'"),
        ("lora", "list"): (7, 3, '- a: 1\n    b: "2"'),
        ("lora", "list", 0): (7, 5, 'a: 1\n    b: "2"'),
        ("lora", "list", 0, "a"): (7, 8, "1"),
        ("lora", "list", 0, "b"): (8, 8, '"2"'),
        ("last",): (11, 6, ""),
    }


@pytest.mark.parametrize("bom", ["", "\ufeff"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_byte_order_mark_and_line_endings_do_not_shift(bom, newline):
    text = bom + newline.join(["é: '😀'", "b:", "  c: |", "    x", "", "d: 1", ""])
    document = parse(text, "a.yml")
    root = document.roots[0]
    assert [source(document, entry.key) for entry in root.entries] == ["é", "b", "d"]
    assert source(document, root.get("é")) == "'😀'"
    assert document.position(root.get("é").span.start) == Position(1, 4)
    block = find(root, ("b", "c"))
    assert (source(document, block), block.text, block.style) == (f"|{newline}    x", "x\n", "block")
    assert document.position(root.get("d").span.start) == Position(6, 4)


def test_styles_tags_and_text():
    root = parse(
        "a: 2e-4\nb: '2e-4'\nc: \"\\u00e9\"\nd: >\n  x\n  y\ne: !!float 1\nf: !include x.yml\n", "a.yml"
    ).roots[0]
    found = [(entry.value.text, entry.value.style, entry.value.tag) for entry in root.entries]
    assert found == [
        ("2e-4", "plain", None),
        ("2e-4", "quoted", None),
        ("é", "quoted", None),
        ("x y\n", "block", None),
        ("1", "plain", "tag:yaml.org,2002:float"),
        ("x.yml", "plain", "!include"),
    ]


def test_a_span_leaves_out_tag_and_anchor():
    found = sources("a: &x !!str  16\nb: !!map &y\n  c: 1\nd: &z # why\n  - 2\ne: [&q 1, !!int 2]\nf: &w {g: 1}\n")
    assert found["a",] == (1, 14, "16")
    assert found["b",] == (3, 3, "c: 1")
    assert found["d",] == (5, 3, "- 2")
    assert found["e", 0] == (6, 8, "1")
    assert found["e", 1] == (6, 17, "2")
    assert found["f",] == (7, 7, "{g: 1}")
    assert sources("a: !<tag:yaml.org,2002:str> 16\n")["a",] == (1, 29, "16")


def test_alias_is_the_anchors_node_and_both_are_shared():
    root = parse("a: &x {r: 8}\nb: *x\nc: &y 1\nd: {r: 2}\n", "a.yml").roots[0]
    assert find(root, ("b", "r")).text == "8"
    assert find(root, ("b", "r")).span == find(root, ("a", "r")).span
    shared = {path: node.shared for path, node in walk(root)}
    assert shared == {
        (): False,
        ("a",): True,
        ("a", "r"): True,
        ("b",): True,
        ("b", "r"): True,
        ("c",): False,
        ("d",): False,
        ("d", "r"): False,
    }


def test_a_block_ends_at_its_alias():
    assert sources("a: &x 1\nb:\n  c: *x\n\nd: 1\n")["b",] == (3, 3, "c: *x")


def test_merge_keys_come_after_own_entries_and_yield_to_them():
    text = "a: &a {lr: 1, r: 8}\nb: &b {lr: 2, x: 3}\nrun:\n  <<: [*a, *b]\n  r: 16\n"
    run = parse(text, "a.yml").roots[0].get("run")
    assert [(entry.key.text, entry.value.text, entry.value.shared) for entry in run.entries] == [
        ("r", "16", False),
        ("lr", "1", True),
        ("x", "3", True),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: &a {lr: 1}\nb: &b {lr: 2}\nrun:\n  <<: *a\n  <<: *b\n", {"lr": 2}),
        ("a: &a {lr: 1}\nb: &b {lr: 2}\nrun:\n  <<: [*a, *b]\n", {"lr": 1}),
        ("a: &a {lr: 1}\nb: &b {<<: *a, j: 1}\nrun:\n  <<: *b\n", {"lr": 1, "j": 1}),
        ("run: {<<: {lr: 1}, lr: 2}\n", {"lr": 2}),
    ],
)
def test_merges_agree_with_the_loader(text, expected):
    run = parse(text, "a.yml").roots[0].get("run")
    assert {entry.key.text: int(entry.value.text) for entry in run.entries} == expected
    if pyyaml.__version__ != "6.0.4":  # which compares keys by identity
        assert pyyaml.safe_load(text)["run"] == expected


def test_a_quoted_merge_key_is_a_key():
    assert parse("'<<': 1\n", "a.yml").roots[0].get("<<").text == "1"


def test_duplicate_keys_are_a_problem():
    document = parse("r: 8\nx: {a: 1, a: 2}\nr: 16\n", "a.yml")
    assert [
        (p.kind, document.position(p.span.start), document.position(p.related.start)) for p in document.problems
    ] == [
        ("duplicate-key", (2, 11), (2, 5)),
        ("duplicate-key", (3, 1), (1, 1)),
    ]
    assert document.roots[0].get("r").text == "16"


def test_every_document_is_a_root():
    document = parse("---\na: 1\n---\nb: 2\n...\n", "a.yml")
    assert [list(root.keys()) for root in document.roots] == [["a"], ["b"]]
    assert [(p.kind, document.position(p.span.start)) for p in document.problems] == [("multi-document", (3, 1))]
    assert parse("---\na: 1\n", "a.yml").problems == ()


def test_anchors_do_not_outlive_their_document():
    assert error("a: &x 1\n---\nb: *x\n").position == Position(3, 4)


def test_only_comments_is_no_root():
    assert parse("# nothing\n", "a.yml").roots == ()


def test_keys_that_are_no_scalars_are_skipped():
    root = parse("? [a, b]\n: 1\n? {c: 1}\n: 2\nr: 8\n", "a.yml").roots[0]
    assert list(root.keys()) == ["r"]


def test_an_unquoted_template_is_an_expression():
    root = parse("lr: {{ lr }}\nlist: [{{ a }}, 1]\n", "a.yml").roots[0]
    value = root.get("lr")
    assert isinstance(value, Scalar)
    assert (value.text, value.style) == ("{{ lr }}", "expression")
    assert isinstance(root.get("list"), Sequence)
    assert root.get("list").items[0].text == "{{ a }}"


def test_unknown_tags_on_collections_do_not_crash():
    root = parse("a: !ENV [x]\nb: !!python/object:os.system {c: 1}\n", "a.yml").roots[0]
    assert isinstance(root.get("a"), Sequence)
    assert isinstance(root.get("b"), Mapping)


@pytest.mark.parametrize(
    ("text", "position", "message"),
    [
        ("a:\n\tb: 1\n", (2, 1), "line 2 is indented with a tab"),
        ("a:\n  b: 1\n \tc: 2\n", (3, 2), "line 3 is indented with a tab"),
        ("a: 1\nb: c: 2\n", (2, 5), "a ':' where no key can stand"),
        ('a: "x\nb: 1\n', (1, 4), "a quote that is never closed"),
        ("a: [1,\nb: 2\n", (1, 4), "a bracket that is never closed"),
        ("a: @x\n", (1, 4), "'@' cannot start a value"),
        ("{% if x %}\n", (1, 2), "'%' cannot start a value"),
        ("a: *x\n", (1, 4), "the alias *x has no anchor &x above it"),
        ("a: &x [*x]\n", (1, 8), "the alias *x stands inside its own anchor"),
        ("a: &x 1\nb: &x 2\n", (2, 4), "the anchor &x is defined twice"),
        ("a: 1\n<<: 2\n", (2, 1), "the merge key << needs a mapping or a list of mappings"),
        ("a: !x!y z\n", (1, 4), "a tag with an unknown handle"),
        ("é: \x07\n", (1, 4), "the character U+0007 is not allowed in YAML"),
        ("a: \ud800\n", (1, 4), None),
        ("a: {{ x }}/y\n", (1, 11), "this is no continuation of the lines above"),
        ("- a\nb: 1\n", (2, 1), None),
        ("a: 1\nr:16\nb: 2\n", (2, 2), "no space after ':'"),
        ("r:16\nb: 2\n", (1, 2), "no space after ':'"),
        ("a:\n- b\nc\n", (3, 1), "a key without ':'"),
        ("a: [q, v\nr: 16\nb: 2\n", (2, 2), "the bracket opened on line 1 is not closed before this"),
        ("a: *\n", None, "a '*' or '&' without a name"),
        ("\ufeffa: *x\n", (1, 4), "the alias *x has no anchor &x above it"),
    ],
)
def test_errors_say_where_and_what(text, position, message):
    found = error(text)
    assert found.position == (found.position if position is None else Position(*position))
    assert message is None or found.message == message


def test_a_tab_error_says_what_to_use():
    assert error("a:\n\tb: 1\n").remedy == "use spaces"


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "[" * 100_000 + "]" * 100_000,
        "{a: " * 10_000,
        "- " * 100_000 + "a",
        "? " * 10_000,
        "\n".join(" " * depth + "a:" for depth in range(1_000)),
    ],
    ids=["open", "closed", "flow mappings", "lists", "complex keys", "block mappings"],
)
def test_deep_nesting_is_an_error_not_a_crash(text):
    assert error(text).message == f"nested more than {MAX_DEPTH} levels deep"


def test_nesting_up_to_the_limit_is_read():
    document = parse("[" * MAX_DEPTH + "]" * MAX_DEPTH, "a.yml")
    assert len(list(walk(document.roots[0]))) == MAX_DEPTH


def test_an_alias_bomb_is_an_error():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    assert error("\n".join(lines)).message == "aliases and merge keys expand to more than 100000 values"


def test_a_merge_bomb_is_an_error():
    keys = ", ".join(f"k{n}: 1" for n in range(1_000))
    text = f"a: &a {{{keys}}}\n" + "".join(f"b{n}: {{<<: *a}}\n" for n in range(200))
    assert error(text).message == "aliases and merge keys expand to more than 100000 values"


@pytest.mark.parametrize("item", ["- a\n", "- []\n", "- a: b\n"])
def test_data_is_refused(item, monkeypatch):
    assert MAX_NODES == 100_000
    monkeypatch.setattr(yaml, "MAX_NODES", 1_000)
    parse(item * 300, "a.yml")
    assert error(item * 1_001).message == "more than 1000 values"
