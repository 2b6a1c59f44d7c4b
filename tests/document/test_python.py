"""Python sources: assignments, calls, names that resolve, places, hostile input."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loraplan.document import Document, DocumentError, Mapping, Node, Scalar, Sequence, find, walk
from loraplan.document.python import parse

SCRIPT = """\
# é ✓
from peft import LoraConfig as LC, TaskType
import torch
!pip install \\
   more
rate = 2e-4
r: int = 16
common = dict(dropout=0.05, bias="none")
table = {"r": 32, **common}
def main():
    é = "é"; cfg = LC(r, alpha=2 * r, **common, task=TaskType.CAUSAL_LM, names=["q", "v"])
    a, b = load("x", size=2_048, dtype=torch.bfloat16, r=table["r"])
    trainer = Trainer(args=Args(lr=rate, steps=-1, x=args.y, half=2**-1), cfg=LC(r=4) if a else None)
    Model.open("m").to(device)
"""


def attempt(text: str) -> Document | None:
    """The document, or None where the text is refused; any other exception is a failure."""
    try:
        return parse(text, "train.py")
    except DocumentError:
        return None


def root_of(text: str) -> tuple[Document, Mapping]:
    document = parse(text, "train.py")
    (root,) = document.roots
    assert isinstance(root, Mapping)
    return document, root


def scalar(node: Node | None) -> Scalar:
    assert isinstance(node, Scalar)
    return node


def test_a_script_with_everything() -> None:
    document, root = root_of(SCRIPT)
    assert [(entry.key.text, getattr(entry.value, "call", None)) for entry in root.entries] == [
        ("rate", None), ("r", None), ("common", None), ("table", None), ("é", None), ("cfg", "LoraConfig"),
        ("", "load"), ("trainer", "Trainer"), ("", "LoraConfig"), ("", "to"),
    ]  # fmt: skip
    cfg = root.get("cfg")
    assert isinstance(cfg, Mapping)
    values = {entry.key.text: entry.value for entry in cfg.entries if isinstance(entry.value, Scalar)}
    assert {name: (value.text, value.tag, value.shared) for name, value in values.items()} == {
        "0": ("16", "int", True), "alpha": ("32", "int", True), "dropout": ("0.05", "float", True),
        "bias": ("none", "str", True), "task": ("CAUSAL_LM", "str", False),
    }  # fmt: skip
    assert document.position(values["0"].span.start) == (7, 10)
    assert document.position(values["task"].span.start) == (11, 54)
    names = cfg.get("names")
    assert isinstance(names, Sequence)
    assert [scalar(item).text for item in names.items] == ["q", "v"]
    load = root.entries[6].value
    assert isinstance(load, Mapping)
    assert [scalar(entry.value).text for entry in load.entries] == ["x", "2_048", "bfloat16", "32"]
    assert document.position(scalar(load.get("r")).span.start) == (9, 15)
    inner = find(root, ("trainer", "args"))
    assert isinstance(inner, Mapping)
    assert [(scalar(entry.value).text, scalar(entry.value).style) for entry in inner.entries] == [
        ("2e-4", "plain"), ("-1", "plain"), ("args.y", "expression"), ("0.5", "plain"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "value", "style"),
    [
        ("x = 3\ny = x", "3", "plain"),
        ("x = 3\nx = 4\ny = x\nx = 5", "4", "plain"),
        ("if a:\n    x = 3\nelse:\n    x = 4\ny = x", "x", "expression"),
        ("x = 3\nx += 1\ny = x", "x", "expression"),
        ("x = 3\nfor x in z: pass\ny = x", "x", "expression"),
        ("x = y\ny = x", "x", "expression"),
        ("y = 1 / 2", "0.5", "plain"),
        ("y = 1 / 0", "1 / 0", "expression"),
        ("y = 10 ** 400", "10 ** 400", "expression"),
        ("y = 9 ** 9 ** 9 ** 9", "9 ** 9 ** 9 ** 9", "expression"),
        ("y = f'{a}'", "f'{a}'", "expression"),
        ("y = 'a' 'b'", "ab", "quoted"),
        ("y = None", "None", "plain"),
        ("y = 0x10", "16", "plain"),
        ("d = {'a': {'b': 1}}\ny = d['a']['b']", "1", "plain"),
        ("y = os.environ['A']", "os.environ['A']", "expression"),
        ("def f(x=3):\n    y = x\ny = f", "f", "expression"),
    ],
)
def test_what_names_come_to(text: str, value: str, style: str) -> None:
    _, root = root_of(text)
    found = scalar(root.get("y"))
    assert (found.text, found.style) == (value, style)


def test_parameters_hide_module_names() -> None:
    _, root = root_of("r = 8\ndef f(r):\n    c = L(r=r)\n")
    assert scalar(find(root, ("c", "r"))).style == "expression"


def test_bom_and_crlf() -> None:
    document, root = root_of("\ufeffx = 1\r\ny = 22\r\n")
    first, second = scalar(root.get("x")), scalar(root.get("y"))
    assert (document.text[first.span.start : first.span.end], document.position(first.span.start)) == ("1", (1, 5))
    assert (document.text[second.span.start : second.span.end], document.position(second.span.start)) == ("22", (2, 5))


def test_comments_only_where_they_speak_to_us() -> None:
    document, _ = root_of("x = 1  # loraplan: ignore[ALP001]\ns = '# no'\n# é\n")
    assert [(tuple(document.position(span.start)), text) for span, text in document.comments] == [
        ((1, 8), "# loraplan: ignore[ALP001]"), ((3, 1), "# é"),
    ]  # fmt: skip
    assert root_of("x = 1  # other\n")[0].comments == ()


@pytest.mark.parametrize(
    ("text", "part", "position"),
    [
        ("x = (", "was never closed", (1, 5)),
        ("x = 1\nif\n", "invalid syntax", (2, 3)),
        ("\0", "null bytes", None),
        ("x" * 600_000, "larger than 512 KiB", None),
        ("x = " + "-" * 100_000 + "1", "nested too deeply", None),
        ("a" + ".a" * 50_000, "nested too deeply", None),
        ("x = " + "9" * 5000, "cannot parse", None),
    ],
)
def test_refusals(text: str, part: str, position: tuple[int, int] | None) -> None:
    with pytest.raises(DocumentError) as caught:
        parse(text, "train.py")
    assert part in caught.value.message
    assert caught.value.remedy
    if position is not None:
        assert caught.value.position == position


@pytest.mark.parametrize(
    "text",
    [
        "b0=[1,1]\n" + "".join(f"b{i + 1}=[b{i},b{i}]\n" for i in range(60)),
        "c0={'a':1}\n" + "".join(f"c{i + 1}={{**c{i},**c{i}}}\n" for i in range(40)),
        "d0=1\n" + "".join(f"d{i + 1}=d{i}+d{i}\n" for i in range(80)),
        "x=" + "A() if B() else " * 500 + "1",
        "x=" + "1," * 100_000,
        "L(r=" * 80 + "1" + ")" * 80,
    ],
)
def test_bombs(text: str) -> None:
    _, root = root_of(text)
    assert sum(1 for _ in walk(root)) < 200_000


def test_nothing_is_run(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    root_of(f"open({str(mark)!r}, 'w').close()\nx = __import__('os').system('touch {mark}')\n!touch {mark}\n")
    assert not mark.exists()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.text(alphabet=" \n\\'\"()[]{}=#-_aB1é@*!%:,.+/~", max_size=40),
    st.integers(0, len(SCRIPT)),
    st.integers(0, 40),
)
def test_mutated_scripts_only_raise_document_errors(piece: str, start: int, length: int) -> None:
    text = SCRIPT[:start] + piece + SCRIPT[start + length :]
    document = attempt(text)
    if document is None:
        return
    for _, node in walk(document.roots[0]):
        assert 0 <= node.span.start <= node.span.end <= len(text)


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=200))
def test_any_text_only_raises_document_errors(text: str) -> None:
    document = attempt(text)
    assert document is None or document.text == text


def test_lone_surrogates_stay_printable():
    root = parse("c = LoraConfig(r=8, target_modules=['q\\ud800'], rank_pattern={'\\udfff': 1})\n", "train.py").roots[0]
    texts = [node.text for _, node in walk(root) if isinstance(node, Scalar)]
    texts += [entry.key.text for _, node in walk(root) if isinstance(node, Mapping) for entry in node.entries]
    assert {"q\ufffd", "\ufffd"} <= set(texts)
    assert "".join(texts).encode()
