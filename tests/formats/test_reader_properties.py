"""No reader raises, whatever a file of its keys holds, and every value it gives has a place or a source."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loraplan import formats
from loraplan.document.read import read as read_document
from loraplan.formats.table import load_table
from tests.formats.reader import check_origins

TABLES = {
    "peft": "peft",
    "axolotl": "axolotl",
    "llamafactory": "llamafactory",
    "trl": "trl",
    "open-instruct": "open_instruct",
    "chatglm": "chatglm",
    "llm-toolkit": "llm_toolkit",
    "hf-args": "qlora_py",
    "custom": "custom",
}
SECTIONS = ("lora", "model", "training", "data", "quantization", "scenarios", "arguments", "peft_config", "datasets")
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 2**70),
    st.floats(),
    st.sampled_from(
        ["", "all", "all-linear", "2e-4", "${LR}", "{{ x }}", "qlora", "zero3.json", "1_000", ".inf", "0x10", "auto"]
    ),
    st.text(max_size=8),
)


def _values(keys: tuple[str, ...]) -> st.SearchStrategy[Any]:
    names = st.one_of(st.sampled_from(keys + SECTIONS), st.text(max_size=6))
    return st.recursive(
        SCALARS,
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=4)),
        max_leaves=12,
    )


def _nest(pairs: dict[str, Any]) -> dict[str, Any]:
    """Dotted keys as sections; where two disagree the later one wins."""
    root: dict[str, Any] = {}
    for key, value in pairs.items():
        node = root
        *path, leaf = key.split(".")
        for step in path:
            if not isinstance(node.get(step), dict):
                node[step] = {}
            node = node[step]
        node[leaf] = value
    return root


@pytest.mark.parametrize("name", TABLES)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_reader_raises(name: str, data: st.DataObject) -> None:
    keys = tuple(dict.fromkeys(row["key"] for row in load_table(TABLES[name])["keys"]))
    pairs = data.draw(st.dictionaries(st.sampled_from(keys), _values(keys), max_size=25))
    document = read_document("config.json", json.dumps(_nest(pairs)))
    for root in document.roots:
        formats.load(name).detect(root, document)
        for reading in formats.load(name).read(root, document, "", {}):
            check_origins(reading)


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("text", ["- 1\n- {r: 8}\n", "just text\n", "42\n", "{}\n"])
def test_a_root_that_is_no_mapping(name: str, text: str) -> None:
    document = read_document("config.yaml", text)
    for root in document.roots:
        assert formats.load(name).detect(root, document) is None
        readings = list(formats.load(name).read(root, document, "", {}))
        for reading in readings:
            check_origins(reading)
        assert bool(readings) == (text == "{}\n")
