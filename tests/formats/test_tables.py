"""The data tables of all formats, and the reader that applies them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from loraplan import formats
from loraplan.document import Mapping, Scalar, Span
from loraplan.document.read import read as read_document
from loraplan.formats.spelling import edit_distance, nearest
from loraplan.formats.table import Draft, load_table, version_in
from loraplan.formats.typed import dtype, typed
from loraplan.origin import Default
from loraplan.plan import field_names

TABLES = sorted(path.stem for path in (Path(formats.__file__).parent / "defaults").glob("*.json"))
TYPES = {
    "int", "float", "bool", "present", "str", "lower", "text", "dtype", "strs", "targets", "ints", "floats", "numbers",
    "pairs", "arguments",
}  # fmt: skip


@pytest.mark.parametrize("name", TABLES)
def test_rows_name_real_fields_types_and_sources(name: str) -> None:
    table = load_table(name)
    assert table["loader"] in ("yaml-1.1", "yaml-1.2", "literal")
    for row in table["keys"]:
        assert row["type"] in TYPES, row
        assert row["field"] == "" or row["field"] in field_names(), row
        if row.get("default") is not None:
            source = row.get("source", table["source"])
            assert "@" in source or "://" in source, row
            assert row["field"], row
        version_in("1.0", row.get("versions"))
    for row in table.get("changed", ()):
        assert row["kind"] in ("removed", "renamed", "deprecated"), row
        assert row["effect"] in ("raises", "ignored", "works"), row
        version_in("1.0", row.get("versions"))


@pytest.mark.parametrize("name", TABLES)
def test_defaults_have_the_type_of_their_key(name: str) -> None:
    for row in load_table(name)["keys"]:
        value, kind = row.get("default"), row["type"]
        if value is None:
            continue
        if kind in ("int", "float"):
            assert isinstance(value, int | float), row
            assert not isinstance(value, bool), row
        elif kind == "bool" and "map" not in row:
            assert isinstance(value, bool), row
        elif kind in ("str", "lower", "dtype"):
            assert isinstance(value, str), row


@pytest.mark.parametrize("name", TABLES)
def test_no_duplicate_rows(name: str) -> None:
    rows = [json.dumps(row, sort_keys=True) for row in load_table(name)["keys"]]
    assert len(rows) == len(set(rows))


@pytest.mark.parametrize(
    ("version", "spec", "holds"),
    [
        ("5.15.0", ">=5.15", True),
        ("5.14.1", ">=5.15", False),
        ("4.57.1", ">=4.51,<5", True),
        ("5.0", "<5", False),
        ("5.0.0rc1", ">=5.0", True),
        ("1.16", "==1.16.0", True),
        (None, ">=5.0", True),
        (None, "<5", False),
        (None, None, True),
        ("1.0", "0.19.0", True),
    ],
)
def test_version_in(version: str | None, spec: str | None, holds: bool) -> None:
    assert version_in(version, spec) is holds


def test_a_bad_spec_is_a_bug_in_the_table() -> None:
    with pytest.raises(ValueError, match="bad version spec"):
        version_in("1.0", ">=x")


def _scalar(text: str) -> Scalar:
    return Scalar(text, Span(0, len(text)))


@pytest.mark.parametrize(
    ("text", "kind", "value", "problem"),
    [
        ("8", "int", 8, None),
        ("8.0", "int", 8, None),
        ("8.5", "int", 8.5, None),
        (".inf", "int", None, "wrong-type"),
        ("2e-4", "float", 2e-4, "string-number"),
        ("2.0e-4", "float", 2e-4, None),
        ("true", "float", None, "wrong-type"),
        ("many", "float", None, "wrong-type"),
        ("yes", "bool", True, None),
        ("maybe", "bool", None, "wrong-type"),
        ("", "float", None, None),
        ("${LR}", "float", None, "unresolved"),
        ("torch.bfloat16", "dtype", "bfloat16", None),
        ("q_proj, v_proj", "strs", ("q_proj", "v_proj"), None),
        ("Cosine", "lower", "cosine", None),
        ("{{ a }}", "text", "{{ a }}", None),
    ],
)
def test_typed(text: str, kind: str, value: Any, problem: str | None) -> None:
    assert typed(_scalar(text), kind, "yaml-1.1") == (value, problem)


def test_dtype_keeps_other_names() -> None:
    assert [dtype(name) for name in ("fp16", "torch.float32", "auto", "int4", "", None)] == [
        "float16",
        "float32",
        "auto",
        "int4",
        None,
        None,
    ]


@pytest.mark.parametrize(
    ("left", "right", "distance"),
    [
        ("lora_alpha", "lora_alpha", 0),
        ("lora_alhpa", "lora_alpha", 1),
        ("lora_alfa", "lora_alpha", 2),
        ("r", "lora_r", 3),
    ],
)
def test_edit_distance(left: str, right: str, distance: int) -> None:
    assert edit_distance(left, right, 2) == distance
    assert edit_distance(right, left, 2) == distance


def test_nearest_wants_one_candidate() -> None:
    known = ["lora_r", "lora_alpha", "seed", "eval_steps", "save_steps"]
    assert nearest("lora_aplha", known) == "lora_alpha"
    assert nearest("xval_steps", known) == "eval_steps"
    assert nearest("aave_steps", ["eave_steps", "save_steps"]) is None
    assert nearest("r", known) is None
    assert nearest("need", known) == "seed"


def test_an_unusable_value_is_not_replaced_by_the_default() -> None:
    document = read_document("c.yaml", "learning_rate: ${LR}\nweight_decay: heavy\nadam_beta1:\n")
    (root,) = document.roots
    draft = Draft("trl", "transformers", root, document, "")
    draft.fill()
    draft.fill_defaults()
    assert "optimizer.learning_rate" not in draft.values
    assert "optimizer.weight_decay" not in draft.values
    assert draft.values["optimizer.beta1"] == 0.9
    assert [(issue.kind, issue.text) for issue in draft.value_issues] == [
        ("unresolved", "${LR}"),
        ("wrong-type", "heavy"),
    ]
    reading = draft.finish()
    assert isinstance(reading.origins["optimizer.beta1"], Default)


def test_the_last_of_duplicate_keys_counts() -> None:
    document = read_document("c.yaml", "seed: 1\nseed: 2\n")
    (root,) = document.roots
    assert isinstance(root, Mapping)
    draft = Draft("trl", "transformers", root, document, "")
    draft.fill()
    place = draft.place("seed")
    assert place is not None
    assert draft.values["run.seed"] == 2
    assert place.key_span is not None
    assert document.position(place.key_span.start) == (2, 1)


def test_a_value_that_means_none_of_it() -> None:
    document = read_document("c.yaml", "resume_from_checkpoint: false\nuse_liger_kernel: true\n")
    draft = Draft("trl", "transformers", document.roots[0], document, "")
    draft.fill()
    assert draft.values == {"precision.fused_loss": "liger"}
