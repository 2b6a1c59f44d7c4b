from loraplan.document import Scalar, find
from loraplan.document.read import read as read_document
from loraplan.formats.interpolation import interpolate
from loraplan.formats.values import Unresolved, scalar_value


def resolved(text: str, *path: str | int) -> Scalar:
    document = read_document("config.yaml", text)
    node = find(interpolate(document.roots[0], document), path)
    assert isinstance(node, Scalar)
    assert "${" in text[node.span.start : node.span.end]  # its place is the reference
    return node


def test_a_whole_reference_keeps_the_targets_type():
    node = resolved("lr: 2e-4\noptimizer:\n  lr: ${lr}\n", "optimizer", "lr")
    assert scalar_value(node, "yaml-1.2") == 2e-4
    assert node.shared


def test_a_reference_inside_text_makes_text():
    document = read_document("config.yaml", "out: 5\nlog: ${out}/logs\n")
    node = find(interpolate(document.roots[0], document), ("log",))
    assert scalar_value(node, "yaml-1.2") == "5/logs"
    assert document.text[node.span.start : node.span.end] == "${out}/logs"


def test_references_may_be_chained_and_dotted():
    assert resolved("a:\n  b: 7\nc: ${a.b}\nd: ${c}\n", "d").text == "7"


def test_what_is_not_here_stays_as_it_is():
    for text in ("a: ${b}\n", "a: ${oc.env:HOME}\n", "a: ${a}\n", "a: ${b}\nb: ${a}\n", "a: ${b}\nb: [1]\n"):
        node = resolved(text, "a")
        assert isinstance(scalar_value(node, "yaml-1.2"), Unresolved)
        assert not node.shared


def test_growing_text_is_left_alone():
    node = resolved("a: ${b}${b}${b}\nb: ${c}${c}${c}\nc: " + "x" * 3000 + "\n", "a")
    assert isinstance(scalar_value(node, "yaml-1.2"), Unresolved)


def test_references_inside_lists():
    assert resolved("n: 3\nlist: [1, {x: '${n}'}]\n", "list", 1, "x").text == "3"


def test_a_file_without_references_is_the_same_tree():
    document = read_document("config.yaml", "a: 1\n")
    assert interpolate(document.roots[0], document) is document.roots[0]
