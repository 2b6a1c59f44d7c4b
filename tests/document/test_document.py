"""What every syntax shares: positions, lines, walking and finding."""

import pytest

from loraplan.document import Document, DocumentError, Mapping, Position, find, walk
from loraplan.document.read import read


def document(text):
    return Document("a.yml", "yaml", text, ())


@pytest.mark.parametrize(
    ("text", "offset", "position"),
    [
        ("", 0, (1, 1)),
        ("ab\ncd", 2, (1, 3)),
        ("ab\ncd", 3, (2, 1)),
        ("ab\ncd", 5, (2, 3)),
        ("ab\r\ncd", 4, (2, 1)),
        ("é😀x\n", 2, (1, 3)),
        ("\ufeffab", 0, (1, 1)),
        ("\ufeffab", 1, (1, 1)),
        ("\ufeffab\nc", 4, (2, 1)),
    ],
)
def test_position(text, offset, position):
    assert document(text).position(offset) == Position(*position)


def test_lines_come_without_their_endings():
    lines = document("\ufeffa\r\n\nb")
    assert [lines.line(number) for number in (1, 2, 3)] == ["a", "", "b"]


def test_walk_is_in_source_order_and_find_follows_its_paths():
    root = read("a.yml", "a: [x, {b: y}]\nc: z\na: 2\n").roots[0]
    found = list(walk(root))
    assert [path for path, _ in found] == [(), ("a",), ("a", 0), ("a", 1), ("a", 1, "b"), ("c",), ("a",)]
    assert find(root, ("c",)).text == "z"
    assert find(root, ("a",)).text == "2"
    for path in [("d",), ("c", "e"), ("a", 0), (0,)]:
        assert find(root, path) is None
    first = root.entries[0].value
    assert find(first, (1, "b")).text == "y"
    assert find(first, (2,)) is None
    assert find(first, (-1,)) is None


def test_entry_and_get_give_the_last_of_duplicates():
    root = read("a.yml", "a: 1\na: 2\n").roots[0]
    assert isinstance(root, Mapping)
    assert (root.get("a").text, root.entry("a").value.text, root.entry("b")) == ("2", "2", None)
    assert "a" in root
    assert "b" not in root


def test_an_error_prints_its_place():
    assert str(DocumentError("a.yml", "what", "do", Position(2, 3))) == "a.yml:2:3: what; do"
    assert str(DocumentError("a.yml", "what", "do")) == "a.yml: what; do"
