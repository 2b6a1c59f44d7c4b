"""Insertions: by example in every awkward place, and by property over generated files."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from copy import deepcopy
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from loraplan.document import Document, KeyPath, Mapping, walk
from loraplan.document.comments import every_comment
from loraplan.document.edit import CannotEditError, Edit, apply
from loraplan.document.insertion import fill, insert, insert_table, is_empty, usable
from loraplan.document.layout import Written
from loraplan.document.read import read
from loraplan.document.structure import Place, unchanged_elsewhere
from loraplan.fixing.verify import ranges
from tests.document.styled import json_text, sections, toml_text, yaml_text

NEW = "new_key"
VALUES: tuple[Any, ...] = (7, ["p", "q"], {"a": 1}, {"a": {"b": [1, 2], "c": True}, "d": "x"})


def written(value: Any) -> Written:
    if isinstance(value, dict):
        return {key: written(item) for key, item in value.items()}
    if isinstance(value, list):
        return tuple(map(written, value))
    return json.dumps(value)


def spots(document: Document) -> list[tuple[KeyPath, Place]]:
    return [
        (path, Place(node, entry))
        for root in document.roots
        for path, node in walk(root)
        if isinstance(node, Mapping)
        for entry in node.entries
    ]


def only_inserted(text: str, edits: list[Edit]) -> bool:
    """Whether every edit but those of an empty section adds text and takes none."""
    return all(edit.span.start == edit.span.end for edit in edits)


def put(data: Any, path: KeyPath, key: str, value: Any) -> Any:
    copy = deepcopy(data)
    holder = copy
    for step in path:
        holder = holder[step]
    holder[key] = value
    return copy


LOADERS = {"a.yml": yaml.safe_load, "a.json": json.loads, "a.toml": tomllib.loads}
WRITERS = {"a.yml": yaml_text, "a.json": json_text, "a.toml": toml_text}


@settings(max_examples=150, deadline=None)
@given(data=sections, draw=st.data(), value=st.sampled_from(VALUES), path=st.sampled_from(sorted(WRITERS)))
def test_what_is_inserted_is_read_and_nothing_else_changes(
    data: dict[str, Any], draw: st.DataObject, value: Any, path: str
) -> None:
    text = WRITERS[path](data, draw.draw)
    text = text.replace("\n", draw.draw(st.sampled_from(("\n", "\r\n"))))
    before = LOADERS[path](text)
    document = read(path, text)
    for at, (holder, sibling) in spots(document):
        if not usable(document, holder, sibling) or NEW in holder:
            continue
        try:
            edits = insert(document, holder, sibling, NEW, written(value))
        except CannotEditError:
            # Only what stands in brackets on a line with other things, or in a list of tables, has no place.
            assert path != "a.json"
            continue
        new = apply(text, edits)
        after = read(path, new)
        assert LOADERS[path](new) == put(before, at, NEW, value), new
        assert only_inserted(text, edits)
        assert Counter(every[1] for every in every_comment(document)) == Counter(
            every[1] for every in every_comment(after)
        )
        assert unchanged_elsewhere(document, after, (edit.span for edit in edits), ranges(edits)), new
        if "\r\n" in text:
            assert new.count("\n") == new.count("\r\n")


@settings(max_examples=60, deadline=None)
@given(data=sections, draw=st.data(), value=st.sampled_from(VALUES), empty=st.sampled_from((None, {})))
@pytest.mark.parametrize("path", ["a.yml", "a.json", "a.toml"])
def test_an_empty_section_is_filled(
    path: str, data: dict[str, Any], draw: st.DataObject, value: Any, empty: Any
) -> None:
    data = {**data, "section": {} if path == "a.toml" else empty}
    text = WRITERS[path](data, draw.draw)
    if path == "a.yml" and empty is None and draw.draw(st.booleans()):
        text = text.replace("section: null", draw.draw(st.sampled_from(("section:", "section: ~"))))
        text = text.replace('"section": null', '"section":')
    document = read(path, text)
    place = next(spot for _, spot in spots(document) if spot.entry.key.text == "section" and is_empty(spot.entry.value))
    if path == "a.toml" and not place.entry.value.flow and isinstance(value, dict):  # type: ignore[union-attr]
        return
    edits = fill(document, place.holder, place.entry, {NEW: written(value)})
    new = apply(text, edits)
    assert LOADERS[path](new) == {**LOADERS[path](text), "section": {NEW: value}}, new
    assert Counter(every[1] for every in every_comment(document)) == Counter(
        every[1] for every in every_comment(read(path, new))
    )


@settings(max_examples=60, deadline=None)
@given(data=sections, draw=st.data(), value=st.sampled_from([value for value in VALUES if isinstance(value, dict)]))
def test_a_table_is_added_below_any_table(data: dict[str, Any], draw: st.DataObject, value: dict[str, Any]) -> None:
    text = toml_text(data, draw.draw)
    document = read("a.toml", text)
    before = tomllib.loads(text)
    section = written(value)
    assert isinstance(section, dict)
    for root in document.roots:
        for at, node in walk(root):
            if not isinstance(node, Mapping) or node.flow or NEW in node:
                continue
            if any(isinstance(step, int) for step in at):
                with pytest.raises(CannotEditError):
                    insert_table(document, node, NEW, section)
                continue
            edits = insert_table(document, node, NEW, section)
            new = apply(text, edits)
            assert new.startswith(text)
            assert tomllib.loads(new) == put(before, at, NEW, value)


def inserted(path: str, text: str, sibling: str, value: Any) -> str:
    document = read(path, text)
    place = next(place for _, place in spots(document) if place.entry.key.text == sibling)
    return apply(text, insert(document, place.holder, place.entry, NEW, written(value)))


SECTION = {"a": 1, "b": {"c": 2}}
EXAMPLES = {
    "the file's indentation": (
        "a.yml", "x:\n    y: 1\nz: 2\n", "z", SECTION,
        "x:\n    y: 1\nz: 2\nnew_key:\n    a: 1\n    b:\n        c: 2\n",
    ),
    "within a list": (
        "a.yml", "l:\n  - x: 1 # c\n    y: 2\n", "x", {"a": 1},
        "l:\n  - x: 1 # c\n    new_key:\n      a: 1\n    y: 2\n",
    ),
    "lists in blocks where the file has them so": (
        "a.yml", "l:\n- 1\n- 2\n# - 3\nz: 1\n", "z", ["p", "q"],
        'l:\n- 1\n- 2\n# - 3\nz: 1\nnew_key:\n- "p"\n- "q"\n',
    ),
    "lists in blocks, indented": (
        "a.yml", "s:\n  l:\n     - 1\n  z: 1\n", "z", ["p"], 's:\n  l:\n     - 1\n  z: 1\n  new_key:\n     - "p"\n',
    ),
    "lists in brackets otherwise": ("a.yml", "z: 1\n", "z", ["p"], 'z: 1\nnew_key: ["p"]\n'),
    "after the comments of a section": (
        "a.yml", "s:\n  x: 1\n  # y: 2\n\nz: 1\n", "s", 7, "s:\n  x: 1\n  # y: 2\nnew_key: 7\n\nz: 1\n",
    ),
    "after the commented items of a list": (
        "a.yml", "l:\n- 1\n# - 2\n# z is\nz: 1\n", "l", 7, "l:\n- 1\n# - 2\nnew_key: 7\n# z is\nz: 1\n",
    ),
    "in brackets": ("a.yml", "s: {x: 1, y: 2} # c\n", "x", {"a": 1}, "s: {x: 1, new_key: {a: 1}, y: 2} # c\n"),
    "in brackets over lines": (
        "a.yml", "s: {\n  x: 1, # c\n  y: 2 # d\n}\n", "y", 7, "s: {\n  x: 1, # c\n  y: 2, # d\n  new_key: 7\n}\n",
    ),
    "a key in quotes, closed up": ("a.yml", '{"x":1}\n', "x", 7, '{"x":1, "new_key": 7}\n'),
    "a kept scalar": ("a.yml", "x: |+\n  t\n\n\ny: 1\n", "x", 7, "x: |+\n  t\n\n\nnew_key: 7\ny: 1\n"),
    "a scalar that ends in blanks": (
        "a.yml", "x: |\n  t\n   \n\ny: 1\n", "x", 7, "x: |\n  t\n   \n\nnew_key: 7\ny: 1\n",
    ),
    "a folded scalar": (
        "a.yml", "x: >\n  t\n  # text\n\n# c\ny: 1", "x", 7, "x: >\n  t\n  # text\nnew_key: 7\n\n# c\ny: 1",
    ),
    "a plain scalar over lines": ("a.yml", "x: a\n  b # c\ny: 1", "x", 7, "x: a\n  b # c\nnew_key: 7\ny: 1"),
    "the second document": ("a.yml", "x: 1\n---\ny: 1\n...\n", "y", 7, "x: 1\n---\ny: 1\nnew_key: 7\n...\n"),
    "no final newline": ("a.yml", "x:\n  y: 1", "y", {"a": 1}, "x:\n  y: 1\n  new_key:\n    a: 1"),
    "a byte order mark": ("a.yml", "\ufeffx: 1\ny: 2\n", "x", 7, "\ufeffx: 1\nnew_key: 7\ny: 2\n"),
    "JSON over lines": (
        "a.json", '{\n    "x": 1, // c\n    "y": 2\n}', "x", SECTION,
        """{\n    "x": 1, // c\n    "new_key": {\n        "a": 1,\n        "b": {\n            "c": 2\n        }\n    },
    "y": 2\n}""",
    ),
    "JSON with tabs, closed up": (
        "a.json", '{\n\t"x":1\n}', "x", {"a": [1]}, '{\n\t"x":1,\n\t"new_key":{\n\t\t"a": [1]\n\t}\n}',
    ),
    "JSON on one line": ("a.json", '{"x": 1}', "x", {"a": 1}, '{"x": 1, "new_key": {"a": 1}}'),
    "JSON before a comment": ("a.json", '{"x": 1\n /* c\n */ }', "x", 7, '{"x": 1, "new_key": 7\n /* c\n */ }'),
    "a dotted key": ("a.toml", "x.y = 1 # c\nz = 2\n", "y", 7, "x.y = 1 # c\nx.new_key = 7\nz = 2\n"),
    "an inline table": ("a.toml", "x = {y = 1}\n", "y", {"a": 1}, "x = {y = 1, new_key = {a = 1}}\n"),
    "a table": (
        "a.toml", "x = 1\n[s]\ny = 1 # c", "y", SECTION,
        "x = 1\n[s]\ny = 1 # c\n\n[s.new_key]\na = 1\n\n[s.new_key.b]\nc = 2",
    ),
    "behind an array over lines": ("a.toml", "x = [\n 1, # c\n] # d\n", "x", 7, "x = [\n 1, # c\n] # d\nnew_key = 7\n"),
    "a keyword": (
        "a.py", "SFTConfig(\n    x=1,  # c\n)\n", "x", {"a": True},
        'SFTConfig(\n    x=1,  # c\n    new_key={"a": true},\n)\n',
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", EXAMPLES)
def test_in_the_files_own_style(name: str) -> None:
    path, text, sibling, value, expected = EXAMPLES[name]
    assert inserted(path, text, sibling, value) == expected
    if not path.endswith(".py") and "\ufeff" not in text:
        windows = inserted(path, text.replace("\n", "\r\n"), sibling, value)
        assert windows == expected.replace("\n", "\r\n")


NO_PLACE = {
    "the one pair of a list": ("a.yml", "x: [y: 1]\n", "y"),
    "a scalar that a line ending would join": ("a.yml", "z: 1\nx: |\n  t", "x"),
    "a section that an alias repeats": ("a.yml", "x: &a\n  y: 1\nz: *a\n", "y"),
    "an alias": ("a.yml", "x: &a 1\ny: *a\n", "y"),
    "a key with a question mark": ("a.yml", "? x\n: 1\n", "x"),
    "an entry of a list of tables": ("a.toml", "[[x]]\ny = 1\n", "y"),
    "a value in parentheses": ("a.py", "LoraConfig(r=(8), x=1)\n", "r"),
}


@pytest.mark.parametrize("name", NO_PLACE)
def test_where_nothing_can_be_inserted(name: str) -> None:
    path, text, sibling = NO_PLACE[name]
    with pytest.raises(CannotEditError):
        inserted(path, text, sibling, {"a": 1})


FILLED = {
    "nothing but a comment": (
        "a.yml",
        "x:\n    y: 1\ns:  # c\nz: 1\n",
        "x:\n    y: 1\ns:  # c\n    new_key: 7\nz: 1\n",
    ),
    "nothing at the end": ("a.yml", "x: 1\ns:", "x: 1\ns:\n  new_key: 7"),
    "null": ("a.yml", "s: null # c\n", "s: {new_key: 7} # c\n"),
    "braces": ("a.yml", "s: {  }\n", "s: {new_key: 7}\n"),
    "nothing in brackets": ("a.yml", "{s: , x: 1}\n", "{s: {new_key: 7}, x: 1}\n"),
    "JSON": ("a.json", '{\n  "s": {}\n}', '{\n  "s": {\n    "new_key": 7\n  }\n}'),
    "JSON on one line": ("a.json", '{"s": null}', '{"s": {"new_key": 7}}'),
    "TOML": ("a.toml", "x = 1\n[s] # c\n[t]\ny = 1\n", "x = 1\n[s] # c\nnew_key = 7\n[t]\ny = 1\n"),
    "TOML in line": ("a.toml", "s = {}\n", "s = {new_key = 7}\n"),
}


@pytest.mark.parametrize("name", FILLED)
def test_empty_sections(name: str) -> None:
    path, text, expected = FILLED[name]
    document = read(path, text)
    place = next(place for _, place in spots(document) if place.entry.key.text == "s")
    assert apply(text, fill(document, place.holder, place.entry, {NEW: "7"})) == expected


@pytest.mark.parametrize(
    ("path", "text"),
    [("a.yml", "s: {\n  # c\n}\n"), ("a.yml", "s: 1\n"), ("a.yml", "s: &a {}\nt: *a\n"), ("a.yml", "s: !x\nt: 1\n")],
)
def test_sections_that_are_not_filled(path: str, text: str) -> None:
    document = read(path, text)
    place = next(place for _, place in spots(document) if place.entry.key.text == "s")
    with pytest.raises(CannotEditError):
        fill(document, place.holder, place.entry, {NEW: "7"})
