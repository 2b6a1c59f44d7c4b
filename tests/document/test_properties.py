"""Readers against their oracles, and against text that nobody would write."""

import datetime as dt
import json
import math
import tomllib
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from loraplan.document import Document, DocumentError, Mapping, Scalar, Sequence, walk
from loraplan.document.comments import comment_lines
from loraplan.document.read import read
from loraplan.formats.values import plain, scalar_value

CORPUS = Path(__file__).parents[3] / "shared" / "corpus"
SEEDS = [
    "base_model: é✓😀\nlora_r: 16 # loraplan: ignore[RNK001]\ndatasets:\n  - path: a\n    type: 'b c'\n",
    "a: &x {r: 8, k: [1, 2]}\nb:\n  <<: *x\n  t: |\n    text\n\n  u: !!str >-\n    more\n---\n? [c]\n: d\n",
    '{"r": 8, // c\n "t": ["q_proj", "\\u00e9\\ud83d\\ude00"], "lr": 2e-4, "n": null, "b": {"c": NaN}}\n',
    'a.b = 1_0\n[x] # c\ny = [1.5, {z = \'é\'}]\nw = """\nq"""\n[[t]]\nd = 1979-05-27T07:32:00Z\n[[t]]\n',
]
SYNTAXES = ["yaml", "json", "toml"]


def check(document):
    """What holds for every document: spans lie in the text and enclose what is below, comments are where they say."""
    size = len(document.text)
    for root in document.roots:
        for _, node in walk(root):
            assert 0 <= node.span.start <= node.span.end <= size
            if isinstance(node, Scalar):
                node.text.encode()
    for problem in document.problems:
        assert 0 <= problem.span.start <= problem.span.end <= size
    for span, text in comment_lines(document):
        assert document.text[span.start : span.end] == text


def attempt(text, syntax):
    try:
        document = read("x", text, syntax)
    except DocumentError as caught:
        error = caught
    else:
        check(document)
        return document
    assert error.message
    assert error.remedy
    if error.position is not None:
        assert 1 <= error.position.line <= text.count("\n") + 1
        assert error.position.column >= 1
    return None


@pytest.mark.parametrize("syntax", SYNTAXES)
@given(text=st.text() | st.text(alphabet="ab1: -[]{}\"'#&*!|>\n\t\r\\.=,<%@?~é😀\ufeff\x85"))
@settings(deadline=None)
def test_no_text_crashes_a_reader(syntax, text):
    attempt(text, syntax)


@pytest.mark.parametrize("syntax", SYNTAXES)
@given(data=st.data())
@settings(deadline=None)
def test_no_damage_to_a_config_crashes_a_reader(syntax, data):
    text = data.draw(st.sampled_from(SEEDS))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 8)))
        new = data.draw(st.text(alphabet="\"'[]{}:,#&*!-\n\t\r =\\<>|é😀\x00a1", max_size=4))
        text = text[:start] + new + text[end:]
    attempt(text, syntax)


def same(left, right):
    """Equality with NaN equal to itself, and 1, 1.0 and True apart."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if type(left) is float and type(right) is float and math.isnan(left):
        return math.isnan(right)
    return type(left) is type(right) and left == right


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(JSON_VALUES, st.sampled_from([None, 1]), st.booleans())
@settings(deadline=None)
def test_json_agrees_with_the_standard_library(value, indent, escape):
    text = json.dumps(value, indent=indent, ensure_ascii=escape)
    document = read("x.json", text)
    check(document)
    read_back = plain(document.roots[0], "literal")
    assert same(str_only(read_back), str_only(json.loads(text)))
    for _, node in walk(document.roots[0]):
        if not (isinstance(node, Scalar) and node.tag == "float"):
            assert same(
                str_only(plain(node, "literal")), str_only(json.loads(document.text[node.span.start : node.span.end]))
            )


def str_only(value):
    """`Unresolved` (a template's text) as the plain string it is to the standard library."""
    if isinstance(value, dict):
        return {key: str_only(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [str_only(inner) for inner in value]
    return str(value) if isinstance(value, str) else value


@given(st.text(alphabet='{}[]",:01.eE+-/*\\un \n\tatrfls"', max_size=20))
@settings(deadline=None)
def test_json_is_refused_where_the_standard_library_refuses_it(text):
    if "//" in text or "/*" in text:
        return
    try:
        json.loads(text)
    except ValueError:
        assert not text.strip() or attempt(text, "json") is None
    else:
        assert attempt(text, "json") is not None


TOML_KEYS = st.from_regex(r"[A-Za-z0-9_-]{1,4}", fullmatch=True) | st.sampled_from(['"a b"', "'é'", '"\\u00e9."'])
TOML_SCALARS = (
    st.integers(-(2**63), 2**63 - 1).map(str)
    | st.floats().map(repr)
    | st.sampled_from("true false +1 1_000 0xDEAD_beef 0o17 0b1_0 +inf -nan 6.6e-3 1e06 -0.0".split())
    | st.sampled_from(["1979-05-27T07:32:00Z", "1979-05-27 07:32:00.5", "1979-05-27", "07:32:00"])
    | st.sampled_from(["''", '""', "'C:\\x'", '"\\u00e9\\t\\""', '"""\na\\\n  b"""', "'''\nx\r\n'y'''", '"""a"b"""'])
    | st.text(alphabet="abé😀 #[]{}=,.", max_size=6).map(lambda text: f'"{text}"')
)
TOML_VALUES = st.recursive(
    TOML_SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: "[" + ", # c\n ".join(items) + "\n]")
        | st.lists(st.tuples(TOML_KEYS, inner), max_size=2).map(
            lambda pairs: "{" + ", ".join(f"{key} = {value}" for key, value in pairs) + "}"
        )
    ),
    max_leaves=6,
)
TOML_LINES = st.one_of(
    st.tuples(st.lists(TOML_KEYS, min_size=1, max_size=3), TOML_VALUES).map(lambda p: f"{' . '.join(p[0])} = {p[1]}#c"),
    st.lists(TOML_KEYS, min_size=1, max_size=3).map(lambda keys: f"[ {'.'.join(keys)} ] # c"),
    st.lists(TOML_KEYS, min_size=1, max_size=2).map(lambda keys: f"[[{'.'.join(keys)}]]"),
)


def toml_plain(value):
    """Dates as `scalar_value` gives them: their text, here reduced to whether there is one."""
    if isinstance(value, dict):
        return {key: toml_plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [toml_plain(inner) for inner in value]
    return "date" if isinstance(value, dt.date | dt.time) else value


def toml_read(node):
    if isinstance(node, Mapping):
        return {entry.key.text: toml_read(entry.value) for entry in node.entries}
    if isinstance(node, Sequence):
        return [toml_read(item) for item in node.items]
    if node.tag == "str" and node.style == "plain":
        return "date"
    return str_only(scalar_value(node, "literal"))


@given(st.lists(TOML_LINES, max_size=6), st.sampled_from(["\n", "\r\n"]))
@example(["a.b = 1", "[a.c]", "d = 1", "[[x.y]]", "[x.y.z]", "[[x.y]]", "[x.y.z]"], "\n")
@settings(deadline=None)
def test_toml_agrees_with_the_standard_library(lines, newline):
    text = "\n".join(lines).replace("\r\n", "\n").replace("\n", newline)
    try:
        expected = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        assert attempt(text, "toml") is None
        return
    document = attempt(text, "toml")
    assert document is not None
    assert same(toml_read(document.roots[0]) if document.roots else {}, toml_plain(expected))


YAML_SCALARS = st.one_of(
    st.from_regex(r"[-+]?[0-9_]{0,4}\.?[0-9_]{0,3}([eE][-+]?[0-9]{0,2})?", fullmatch=True),
    st.from_regex(r"[-+]?(0[bxo])?[0-9a-f_]{1,6}", fullmatch=True),
    st.from_regex(r"[-+]?[0-9_]{1,3}(:[0-9]{1,2}){1,2}(\.[0-9_]{0,2})?", fullmatch=True),
    st.sampled_from(
        "yes No ON off true FALSE True y n ~ null Null .inf -.INF +.Inf .NaN .nAn inf nan = . - + 0 017".split()
    ),
    st.from_regex(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}", fullmatch=True),
    st.text(alphabet="ab1.-_ e", min_size=1, max_size=6),
)


@given(YAML_SCALARS)
@example("1e5")
@example("2e-4")
@example("-.5")
@example("0o17")
@example("0_")
@example("0b_")
@example("1:30")
@settings(deadline=None)
def test_yaml_scalars_are_typed_as_the_loader_types_them(text):
    try:
        expected = yaml.safe_load(f"k: {text}")["k"]
    except (yaml.YAMLError, ValueError, TypeError):
        return
    document = read("x.yml", f"k: {text}")
    node = document.roots[0].get("k")
    if isinstance(expected, dt.date):
        expected = node.text
    if isinstance(node, Scalar):
        assert same(scalar_value(node, "yaml-1.1"), expected)


YAML_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize("flow", [True, False, None])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@given(value=YAML_VALUES, bom=st.sampled_from(["", "\ufeff"]))
@settings(deadline=None, max_examples=60)
def test_yaml_agrees_with_the_loader_and_with_the_pure_parser(flow, newline, value, bom):
    text = bom + yaml.safe_dump(value, default_flow_style=flow, allow_unicode=True, line_break=newline)
    document = read("x.yml", text)
    check(document)
    assert same(str_only(plain(document.roots[0], "yaml-1.1")), yaml.safe_load(text))
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(yaml, "CSafeLoader", raising=False)
        pure = read("x.yml", text)
    assert spans(pure) == spans(document)


def spans(document: Document):
    return [(path, node.span, getattr(node, "text", None)) for root in document.roots for path, node in walk(root)]


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the collected configs are not part of the project")
def test_every_collected_config_is_read():
    paths = [path for path in CORPUS.rglob("*.*") if path.suffix in (".yml", ".yaml", ".json", ".toml")]
    assert len(paths) == 166
    for path in paths:
        document = read(str(path))
        check(document)
        assert document.roots, path
        loaded = {
            ".json": lambda text: [json.loads(text)],
            ".toml": lambda text: [tomllib.loads(text)],
        }.get(path.suffix, lambda text: list(yaml.safe_load_all(text)))
        try:
            expected = loaded(document.text)
        except ValueError:
            continue  # comments in JSON
        assert len(expected) == len(document.roots)
        for value, root in zip(expected, document.roots, strict=True):
            found = plain(root, "yaml-1.1" if document.syntax == "yaml" else "literal")
            assert same(str_only(found), dates_as_text(value)), path


def dates_as_text(value):
    if isinstance(value, dict):
        return {str(key) if not isinstance(key, bool) else key: dates_as_text(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [dates_as_text(inner) for inner in value]
    return str(value) if isinstance(value, dt.date) else value
