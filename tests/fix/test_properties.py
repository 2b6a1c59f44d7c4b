"""Fixes of generated values: idempotent, and only named fields differ; every rule's case that has a fix is mended."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loraplan.context import Inputs
from loraplan.document import Mapping, Scalar, Span, walk
from loraplan.document.edit import CannotEditError, apply
from loraplan.document.read import read as parse
from loraplan.document.structure import unchanged_elsewhere
from loraplan.engine import Checker, Overrides
from loraplan.fixing import fix_text
from loraplan.fixing.changes import ways
from loraplan.fixing.rewrite import rewrite
from loraplan.fixing.spelling import numbers, spellings
from loraplan.fixing.verify import objection, ranges, same, says
from loraplan.formats import read
from loraplan.formats.values import scalar_value
from loraplan.origin import Explicit
from loraplan.plan import get, ordered_names
from loraplan.rule import Fix, Set
from tests.fix.test_golden import AXOLOTL, LITGPT, LLAMAFACTORY, PEFT, PYTHON, SHELL, TOML, TORCHTUNE, TRL
from tests.rules.harness import CASES, LIVE, Case, page, read_cases

FILES = {
    "a.yml": AXOLOTL, "l.yaml": LLAMAFACTORY, "t.yaml": TRL, "adapter_config.json": PEFT, "t.py": PYTHON,
    "t.sh": SHELL, "q.toml": TOML, "torchtune.yaml": TORCHTUNE, "litgpt.yaml": LITGPT,
}  # fmt: skip
names = st.text("abcdefgh_.: #'\"é", min_size=1, max_size=8)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "adapter.r": st.integers(1, 512),
    "adapter.alpha": st.integers(1, 512),
    "adapter.dropout": st.floats(0, 1),
    "adapter.target_modules": st.one_of(
        st.just("all-linear"),
        st.lists(st.sampled_from(("q_proj", "k_proj", "up_proj", "x")), min_size=1, max_size=4).map(tuple),
    ),
    "optimizer.learning_rate": st.floats(1e-9, 10),
    "optimizer.weight_decay": st.floats(0, 1),
    "schedule.warmup_steps": st.integers(1, 1000),
    "schedule.name": st.sampled_from(("linear", "cosine", "constant_with_warmup")),
    "precision.bf16": st.booleans(),
    "precision.gradient_checkpointing": st.booleans(),
    "model.dtype": st.sampled_from(("bfloat16", "float16", "float32")),
    "run.seed": st.integers(0, 2**31),
}


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_change_sets_its_field_and_no_other(data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(sorted(FILES)))
    field = data.draw(st.sampled_from(sorted(VALUES)))
    value = data.draw(VALUES[field])
    ending = data.draw(st.sampled_from(("\n", "\r\n")))
    text = FILES[path].replace("\n", ending)
    before = read(parse(path, text))
    fix = Fix("set it", (Set(field, value),), "safe")
    try:
        for edits in ways(before[0], fix):
            new = apply(text, edits)
            after = read(parse(path, new))
            if objection(before, after, 0, fix, edits) is None:
                break
        else:
            return
    except CannotEditError:
        return
    assert says(after[0], field, value)
    written = {name for name, origin in before[0].origins.items() if isinstance(origin, Explicit)} - {field}
    key = after[0].explicit(field)
    for name in ordered_names():
        origin = after[0].explicit(name)
        shared = origin is not None and key is not None and origin.key_path == key.key_path
        if name in written and not shared:
            assert same(get(before[0].plan, name), get(after[0].plan, name)), name
    assert new.count("\n") - new.count("\r\n") == (new.count("\n") if ending == "\n" else 0)


@given(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(("", "2e-4", "0.1", "1.0", "5")))
def test_numbers_are_read_as_what_they_are(value: float, old: str) -> None:
    for written in numbers(value, old):
        read_back = scalar_value(Scalar(written, Span(0, 0)), "yaml-1.1")
        assert not isinstance(read_back, str), written
        assert read_back == pytest.approx(value, rel=1e-12), written


@given(names, st.sampled_from(("", "'", '"')))
def test_texts_are_read_as_what_they_are(value: str, quote: str) -> None:
    for syntax, path in (("yaml", "a.yml"), ("json", "a.json"), ("toml", "a.toml")):
        written = next(spellings(value, syntax, quote))  # type: ignore[arg-type]
        line = {"yaml": f"k: {written}\n", "json": f'{{"k": {written}}}', "toml": f"k = {written}\n"}[syntax]
        root = parse(path, line).roots[0]
        node = root.get("k")  # type: ignore[union-attr]
        assert isinstance(node, Scalar)
        assert node.text == value
        assert scalar_value(node, "yaml-1.1") == value


def _cases() -> list[tuple[str, Case]]:
    texts = [(path.name, path.read_text("utf-8")) for path in sorted(CASES.glob("*.md"))]
    texts += [(code, page(code)) for code in LIVE]
    return [(name, case) for name, text in texts for case in read_cases(text) if case.expected or name in LIVE]


def _checker(case: Case, folder: Path) -> Checker:
    options = {key: value for key, value in case.inputs.items() if "." in key}
    known = ("dataset_size", "model", "gpu")
    versions = {key: value for key, value in case.inputs.items() if key not in known and key not in options}
    lines = ["[versions]", *(f'{key} = "{value}"' for key, value in versions.items())]
    for key, value in options.items():
        code, _, option = key.partition(".")
        lines += [f"[rules.{code}]", f'{option} = "{value}"']
    (folder / "loraplan.toml").write_text("\n".join(lines) + "\n")
    baseline = folder / f"earlier{Path(case.path).suffix}"
    if case.baseline is not None:
        baseline.write_text(case.baseline, encoding="utf-8")
    size = case.inputs.get("dataset_size")
    inputs = Inputs(
        model=case.inputs.get("model"),
        gpu=case.inputs.get("gpu"),
        dataset_size=int(size) if size else None,
        baseline=str(baseline) if case.baseline is not None else None,
    )
    return Checker(inputs, Overrides(preview=case.preview, settings=str(folder / "loraplan.toml")))


@pytest.mark.parametrize(("name", "case"), _cases(), ids=lambda item: item if isinstance(item, str) else "")
def test_every_case_of_a_rule_that_has_a_fix_is_mended(name: str, case: Case) -> None:
    with tempfile.TemporaryDirectory() as folder:
        checker = _checker(case, Path(folder))
        path = str(Path(folder) / case.path)
        done = fix_text(checker, path, case.text, unsafe=True)
        assert done is not None
        left = {item.code for item in done.result.diagnostics}
        assert not left & {item.code for item in done.applied}
        refused = {item.finding.code for item in done.refused}
        for item in done.result.diagnostics:
            fixable = item.fix is not None and item.fix.applicability != "show"
            assert not fixable or item.code in refused, item
        again = fix_text(checker, path, done.text, unsafe=True)
        assert again is not None
        assert again.text == done.text


PLAIN = {
    "a.yml": "# é\na: 16  # keep ✓\nb: {c: 'x', d: \"y\"}\ne:\n  k: 2e-4\n",
    "a.json": '{"a": 16, // keep ✓\n "b": {"c": "x", "d": 2e-4}}\n',
    "a.toml": "a = 16 # keep ✓\n[b]\nc = 'x'\nd = \"y\"\nk = 2e-4\n",
}


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("path", PLAIN)
@given(value=st.integers(-(10**9), 10**9) | st.floats(1e-9, 1e9) | names)
def test_setting_and_reading_gives_the_value(path: str, newline: str, value: float | str) -> None:
    text = PLAIN[path].replace("\n", newline)
    document = parse(path, text)
    entries = [
        entry
        for _, node in walk(document.roots[0])
        if isinstance(node, Mapping)
        for entry in node.entries
        if isinstance(entry.value, Scalar)
    ]
    assert len(entries) >= 3
    for entry in entries:
        edits = next(rewrite(document, entry, value), None)
        if edits is None:  # the value that stands there
            assert str(value) in text
            continue
        [edit] = edits
        assert edit.span == entry.value.span
        new = apply(text, edits)
        assert new.startswith(text[: edit.span.start])
        assert new.endswith(text[edit.span.end :])
        after = parse(path, new)
        assert unchanged_elsewhere(document, after, [edit.span], ranges(edits))
        written = next(
            other.value
            for _, node in walk(after.roots[0])
            if isinstance(node, Mapping)
            for other in node.entries
            if other.key.span == entry.key.span
        )
        assert isinstance(written, Scalar)
        got = scalar_value(written, "yaml-1.1")
        assert got == (value if isinstance(value, str) else pytest.approx(value, rel=1e-12))
