"""Launch scripts: words as bash makes them, their places, and hostile input."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loraplan.document import Document, DocumentError, Mapping, Node, Scalar, Sequence, walk
from loraplan.document.shell import parse

SCRIPT = r"""#!/bin/bash
# QLoRA ✓ on one node
export NPROC_PER_NODE=2
LR=2e-4
RANK=${RANK:-16}
DATA="my data"
ARGS=(
    --bf16 True  # mixed precision
    --note "a b"
)
MORE="--alpha 32 --beta=1"
MORE+=" --gamma 3"
CUDA_VISIBLE_DEVICES=0,1 \
torchrun --nproc_per_node=2 --master_port 29500 \
    src/train.py \
    --learning_rate $LR \
    --rank="$RANK" \
    --data "$DATA" 'x#500' \
    --out ./out/$LR/x \
    --steps -1 --flag \
    --late ${LATE:-0.05} --home $HOME_DIR \
    "${ARGS[@]}" $MORE "$@" > log.txt 2>&1 &
echo done --really
"""


def attempt(text: str) -> Document | None:
    """The document, or None where the text is refused; any other exception is a failure."""
    try:
        return parse(text, "run.sh")
    except DocumentError:
        return None


def one(text: str) -> tuple[Document, Mapping]:
    document = parse(text, "run.sh")
    (root,) = document.roots
    assert isinstance(root, Mapping)
    return document, root


def texts(node: Node | None) -> str | list[str] | None:
    if isinstance(node, Sequence):
        return [item.text for item in node.items if isinstance(item, Scalar)]
    return node.text if isinstance(node, Scalar) else None


def source(document: Document, node: Node | None) -> str:
    assert node is not None
    return document.text[node.span.start : node.span.end]


def test_a_command_with_everything() -> None:
    document, root = one(SCRIPT)
    assert root.call == "torchrun src/train.py"
    assert {key: texts(root.get(key)) for key in root.keys() if key != "launcher"} == {  # noqa: SIM118
        "learning_rate": "2e-4", "rank": "16", "data": ["my data", "x#500"], "out": "./out/2e-4/x", "steps": "-1",
        "flag": "True", "late": "0.05", "home": "$HOME_DIR", "bf16": "True", "note": "a b", "alpha": "32", "beta": "1",
        "gamma": "3",
    }  # fmt: skip
    launcher = root.get("launcher")
    assert isinstance(launcher, Mapping)
    assert [(entry.key.text, texts(entry.value)) for entry in launcher.entries] == [
        ("NPROC_PER_NODE", "2"), ("CUDA_VISIBLE_DEVICES", "0,1"), ("0", "torchrun"), ("nproc_per_node", "2"),
        ("master_port", "29500"),
    ]  # fmt: skip
    assert [text for _, text in document.comments] == ["#!/bin/bash", "# QLoRA ✓ on one node", "# mixed precision"]


def test_places_and_sharing() -> None:
    document, root = one(SCRIPT)
    rate, rank, out, flag = (root.get(key) for key in ("learning_rate", "rank", "out", "flag"))
    assert isinstance(rate, Scalar)
    assert isinstance(out, Scalar)
    assert isinstance(rank, Scalar)
    assert isinstance(flag, Scalar)
    assert (document.position(rate.span.start), source(document, rate), rate.shared) == ((4, 4), "2e-4", True)
    assert (document.position(rank.span.start), rank.shared) == ((5, 14), True)
    assert (source(document, out), out.shared) == ("./out/$LR/x", True)
    assert (flag.text, source(document, flag), flag.shared) == ("True", "", False)
    steps = root.get("steps")
    assert isinstance(steps, Scalar)
    assert (source(document, steps), steps.shared) == ("-1", False)
    key = root.entry("learning_rate")
    assert key is not None
    assert document.text[key.key.span.start : key.key.span.end] == "learning_rate"
    alpha = root.get("alpha")
    assert alpha is not None
    assert (document.position(alpha.span.start), source(document, alpha)) == ((11, 15), "32")


@pytest.mark.parametrize(
    ("text", "call", "first"),
    [
        ("swift sft --model x", "swift sft", "model"),
        ("python -m openrlhf.cli.train_sft --x 1", "python -m openrlhf.cli.train_sft", "x"),
        ("deepspeed --num_gpus 8 --module a.b --x 1", "deepspeed -m a.b", "x"),
        ("accelerate launch --config_file c.yaml t.py --x 1", "accelerate launch t.py", "x"),
        ("python -m torch.distributed.run --nproc_per_node 2 t.py --x 1", "python t.py", "x"),
        ("srun --jobid 1 nohup python3 -u t.py --x 1", "python3 t.py", "x"),
        ("env A=1 uv run trl sft --x 1", "trl sft", "x"),
        ("ray job submit --address=a -- python3 -m a.b --x 1", "python3 -m a.b", "x"),
        ("./train.sh pos --x 1", "./train.sh pos", "x"),
        ("axolotl train cfg.yml", "axolotl train cfg.yml", None),
    ],
)
def test_launchers(text: str, call: str, first: str | None) -> None:
    _, root = one(text)
    assert root.call == call
    assert next((key for key in root.keys() if key != "launcher"), None) == first  # noqa: SIM118


def test_repeated_options_keep_the_last() -> None:
    _, root = one("t --a 1 --a 2")
    assert (texts(root.get("a")), [entry.key.text for entry in root.entries]) == ("2", ["a", "a"])


@pytest.mark.parametrize(
    ("text", "value", "style"),
    [
        ("t --a $1", "$1", "expression"),
        ("t --a $(nproc)", "$(nproc)", "expression"),
        ("t --a=$((1 + 2))", "3", "plain"),
        ("N=8; B=2; A=$(($N*16/$N/B)); t --a $A", "8", "plain"),
        ("N=8; t --a $(expr 64 / $N)", "8", "plain"),
        ("t --a $((7 % 4 * (1 + 1)))", "6", "plain"),
        ("t --a $((8 / 0))", "$((8 / 0))", "expression"),
        ("t --a $((1 - 2))", "$((1 - 2))", "expression"),
        ("t --a $((4 / N))", "$((4 / N))", "expression"),
        ("N=x; t --a $(expr 4 / $N)", "$(expr 4 / $N)", "expression"),
        ("t --a $((2 ** 3))", "$((2 ** 3))", "expression"),
        ("t --a `date`", "`date`", "expression"),
        ("t --a ${X%.*}", "${X%.*}", "expression"),
        ("X=3; t --a ${X:+4}", "${X:+4}", "expression"),
        ("t --a ${1:-2e-4}", "2e-4", "plain"),
        ("X=; t --a ${X:-5}", "5", "plain"),
        ("X=7; t --a ${X:-5}", "7", "plain"),
        ("X='a b'; t --a \"$X\"", "a b", "quoted"),
        ("X=(p q); t --a ${X[1]}", "q", "plain"),
        ("t --a {1,2}", "{1,2}", "expression"),
        ('t --a \'{"b": 1, "c": 2}\'', '{"b": 1, "c": 2}', "quoted"),
        ("X=1; unset X; t --a $X", "$X", "expression"),
        ("for X in 1 2; do t --a $X; done", "$X", "expression"),
        ("for X in 1; do t --a $X; done", "1", "plain"),
        ("X=1; if true; then X=2; fi; t --a $X", "$X", "expression"),
        ("X=1; if true; then X=2; else X=2; fi; t --a $X", "2", "plain"),
        ('X=1; while :; do case $1 in -x) X="$2";; esac; done; t --a $X', "1", "plain"),
        ('if [ -z "$X" ]; then X=3; fi; t --a $X', "3", "plain"),
        ("if true; then X=1; else t --a $X; fi", "$X", "expression"),
        ("A=$A$A; t --a $A", "$A", "expression"),
    ],
)
def test_what_variables_come_to(text: str, value: str, style: str) -> None:
    _, root = one(text)
    found = root.get("a")
    assert isinstance(found, Scalar)
    assert (found.text, found.style) == (value, style)


def test_unknown_words_that_may_be_more_options_are_left_out() -> None:
    _, root = one('t --a 1 $EXTRA --b "$@" "${MORE[@]}"')
    assert (texts(root.get("a")), texts(root.get("b"))) == ("1", "True")


def test_scripts_within_a_script() -> None:
    document = parse("sbatch <<EOF\n#!/bin/bash\nsrun t --a 1\nEOF\nbash -c 'u --b 2'\n", "run.sh")
    calls = [(root.call, document.position(root.span.start)) for root in document.roots if isinstance(root, Mapping)]
    assert calls == [("srun t", (3, 1)), ("bash", (5, 1)), ("u", (5, 10))]


def test_a_commented_line_ends_the_command_as_in_bash() -> None:
    _, root = one("t --a 1 \\\n  # --b 2 \\\n")
    assert [entry.key.text for entry in root.entries] == ["a"]


def test_options_gathered_in_a_variable_stay_known_beside_unknown_ones() -> None:
    document, root = one('OPTS="--a $1 \\\n --b 2"\nOPTS+=" --c $(nproc)"\nt $OPTS --d "$OPTS"\n')
    found = [root.get(key) for key in "abcd"]
    assert [(node.text, node.style) for node in found if isinstance(node, Scalar)] == [
        ("$1", "expression"), ("2", "plain"), ("$(nproc)", "expression"), ("$OPTS", "expression"),
    ]  # fmt: skip
    assert found[1] is not None
    assert document.position(found[1].span.start) == (2, 6)


def test_options_read_from_a_here_document() -> None:
    text = "X=7\nread -r -d '' args <<EOF\ntrain.py \\\n  --a $X \\\n  --b 2\nEOF\nX=1; deepspeed $args\n"
    document, root = one(text)
    first, second = root.get("a"), root.get("b")
    assert (root.call, texts(first), texts(second)) == ("deepspeed train.py", "7", "2")
    assert second is not None
    assert document.position(second.span.start) == (5, 7)


def test_crlf_continuations() -> None:
    document, root = one("t --a 1 \\\r\n  --b 2\r\n")
    found = root.get("b")
    assert found is not None
    assert (texts(found), document.position(found.span.start)) == ("2", (2, 7))


def test_characters_not_bytes() -> None:
    document, root = one('# é✓😀\nt --a "é" --b 7')
    found = root.get("b")
    assert found is not None
    assert (source(document, found), document.position(found.span.start)) == ("7", (2, 15))


@pytest.mark.parametrize("text", ["", "# nothing\n", "echo hi --there\n", "ls -la\n"])
def test_nothing_to_read(text: str) -> None:
    assert [root for root in parse(text, "run.sh").roots if isinstance(root, Mapping) and "there" in root] == []


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("\0", "null bytes"),
        ("x" * 300_000, "larger than 256 KiB"),
        ("a|" * 2000, "more than 1000 `|`"),
        ("((((", "broken here"),
        ("X='" + "a " * 9_000 + "'; " + "t --a $X;" * 50, "more than 100,000 words"),
    ],
)
def test_refusals(text: str, part: str) -> None:
    with pytest.raises(DocumentError) as caught:
        parse(text, "run.sh")
    assert part in caught.value.message
    assert caught.value.remedy


def test_a_broken_part_does_not_hide_the_rest() -> None:
    document = parse("t --a 1\nif [ ; then\n", "run.sh")
    assert [texts(root.get("a")) for root in document.roots if isinstance(root, Mapping)] == ["1"]


@pytest.mark.parametrize(
    "text",
    [
        "(" * 50_000, "${" * 4000, "if true; then\n" * 5000, "'" * 9999, "`" * 30_000, "$(" * 20_000, "f(){" * 9000,
        "A=x; " + "A=$A$A;" * 60 + " c --x $A", "A=(1 2);" + 'A=("${A[@]}" "${A[@]}");' * 40 + ' c --x "${A[@]}"',
        "--a \\\n" * 20_000, "t --a {" + "," * 100_000, "t --a " + "{" * 100_000, "t " + "--a " * 30_000,
        "X='" + "a " * 60_000 + "'; " + "t --a $X;" * 50, "A='" + "x" * 100_000 + "';" + "t --a $A;" * 2000,
    ],
)  # fmt: skip
def test_bombs(text: str) -> None:
    document = attempt(text)
    if document is None:
        return
    assert sum(1 for root in document.roots for _ in walk(root)) < 200_000


def test_nothing_is_run(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    text = f"touch {mark} --now\nX=$(touch {mark}); t --a $X `touch {mark}`\neval 'touch {mark}' --b\n"
    parse(text, "run.sh")
    assert not mark.exists()


_PIECES = st.text(alphabet=" \n\\'\"$`{}()[]<>|&;=#-_aB1é@*!%:,.+/~", max_size=60)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_PIECES, st.integers(0, len(SCRIPT)), st.integers(0, 40))
def test_mutated_scripts_only_raise_document_errors(piece: str, start: int, length: int) -> None:
    text = SCRIPT[:start] + piece + SCRIPT[start + length :]
    document = attempt(text)
    if document is None:
        return
    for root in document.roots:
        for _, node in walk(root):
            assert 0 <= node.span.start <= node.span.end <= len(text)


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=200))
def test_any_text_only_raises_document_errors(text: str) -> None:
    document = attempt(text)
    assert document is None or document.text == text


_ORACLE = """
LR=2e-4; EMPTY=; NAME="two words"; LIST=(--p 1 --q "x y"); OPTS="--r 1  --s 2"
LIST+=(--t)
OPTS="$OPTS --u=3"
t --a $LR --b "$LR" --c '$LR' --d ${NONE:-9} --e=${EMPTY:-8} --f "$NAME" --g $NAME
t "${LIST[@]}" $OPTS --h a\\ b --i "q\\"r" --j $'tab\\there' --k pre${LR}post --l "${LIST[0]}"
t --m '' --n "" --o $EMPTY --v "a""b"'c' --w \\
  --x 1 # rest
"""


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_words_are_those_of_bash() -> None:
    """The scripts are this test's own; `t` prints its words, one a line."""
    shown = subprocess.run(
        ["bash", "-c", 't() { printf "%s\\n" "$@"; echo ---; }\n' + _ORACLE], capture_output=True, text=True, check=True
    ).stdout
    groups = [part.split("\n") for part in shown.rstrip("\n").removesuffix("---").split("\n---\n")]
    expected: list[list[tuple[str, list[str]]]] = []
    for words in groups:
        options: list[tuple[str, list[str]]] = []
        for word in words[: len(words)]:
            if word.startswith("--"):
                name, equals, value = word[2:].partition("=")
                options.append((name, [value] if equals else []))
            else:
                options[-1][1].append(word)
        expected.append(options)
    found: list[list[tuple[str, list[str]]]] = []
    for root in parse(_ORACLE, "run.sh").roots:
        assert isinstance(root, Mapping)
        options = []
        for entry in root.entries:
            values = texts(entry.value)
            bare = isinstance(entry.value, Scalar) and entry.value.span.start == entry.value.span.end
            is_flag = bare and values == "True"
            options.append((entry.key.text, [] if is_flag else [values] if isinstance(values, str) else values or []))
        found.append(options)
    assert found == [[pair for pair in group if pair != ("", [])] for group in _trimmed(expected)]


def _trimmed(groups: list[list[tuple[str, list[str]]]]) -> list[list[tuple[str, list[str]]]]:
    """The last group ends in the newline before the mark."""
    name, values = groups[-1][-1]
    groups[-1][-1] = (name, [value for value in values if value])
    return groups


@pytest.mark.parametrize("text", ["{\U000c8c94{{", "\u2028<<E\n$}`", "R=}\n${o=-=${R-}\n}"])
def test_what_fuzzing_found(text):
    """A crash of the grammar, a command of Unicode blanks, and a value whose pieces stand in reverse order."""
    try:
        document = parse(text, "run.sh")
    except DocumentError as refused:
        error = refused
    else:
        spans = [node.span for root in document.roots for _, node in walk(root)]
        assert all(0 <= span.start <= span.end <= len(text) for span in spans)
        return
    assert error.message


def test_text_outside_ascii_keeps_its_place():
    text = "echo '🚀 é'; swift sft --model \"é✓😀\" --lora_rank 8\n"
    document = parse(text, "run.sh")
    model = document.roots[-1].get("model")
    assert (model.text, text[slice(*model.span)]) == ("é✓😀", '"é✓😀"')
    assert text[slice(*document.roots[-1].get("lora_rank").span)] == "8"
