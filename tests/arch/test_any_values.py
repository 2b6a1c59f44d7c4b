"""No configuration and no adapter makes the architectures raise anything but what they promise."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loraplan.arch.catalogue import all_rows
from loraplan.arch.families import FAMILIES, describe
from loraplan.arch.families.layout import BadConfig
from loraplan.arch.match import match, saved_modules
from loraplan.arch.sources import resolve
from loraplan.arch.spec import ArchSpec
from loraplan.plan import Adapter

VALUES: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 70),
    st.sampled_from([2**24, 2**63, 10**400, 0.5, float("nan"), float("inf"), "", "64", "llama3"]),
    st.lists(st.one_of(st.integers(-1, 10**9), st.text(max_size=3), st.none()), max_size=3),
    st.dictionaries(st.sampled_from(["rope_type", "type", "hidden_size"]), st.integers(-1, 64), max_size=2),
)


def keys(config: dict[str, Any]) -> list[str]:
    return sorted({*config, *(key for part in config.values() if isinstance(part, dict) for key in part)})


@pytest.mark.parametrize("model_type", sorted(FAMILIES))
@settings(max_examples=25, deadline=None)
@given(st.data())
def test_describe_returns_or_refuses(model_type: str, data: st.DataObject) -> None:
    row = next((row.config for row in all_rows() if row.config["model_type"] == model_type), {})
    config: dict[str, Any] = {key: dict(value) if isinstance(value, dict) else value for key, value in row.items()}
    config["model_type"] = model_type
    known = [
        *keys(config),
        "num_hidden_layers",
        "hidden_size",
        "vision_config",
        "text_config",
        "layer_types",
        "head_dim",
    ]
    for key in data.draw(st.lists(st.sampled_from(known), max_size=4)):
        part = config.get(data.draw(st.sampled_from(["text_config", "vision_config", ""])))
        (part if isinstance(part, dict) else config)[key] = data.draw(VALUES)
    config["model_type"] = model_type
    try:
        found = describe(config)
    except BadConfig as error:
        assert str(error)  # noqa: PT017  either outcome is right
    else:
        assert found is not None
        assert found.parameters > 0
        assert all(len(module.layers or ()) <= 1024 for module in found.modules)


NAMES = st.sampled_from(
    [
        "q_proj",
        "v_proj",
        "gate_proj",
        "w1",
        "mlp",
        "1",
        "layers.1",
        "all-linear",
        "",
        ".",
        "*",
        "(",
        "{i}",
        "lm_head",
        "é",
    ]
)
LISTS = st.none() | st.lists(NAMES, max_size=4).map(tuple)
ARCHITECTURES = ["meta-llama/Llama-3.1-8B", "Qwen/Qwen3-30B-A3B", "google/gemma-3-4b-it", "openai-community/gpt2"]


def arch(name: str) -> ArchSpec:
    found = resolve(name, base_dir=None)
    assert found is not None
    return found


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(ARCHITECTURES),
    st.builds(
        Adapter,
        r=st.none() | st.floats() | st.integers(-2, 300),
        target_modules=LISTS | NAMES | st.text(alphabet=r"q.*+()[]{}|\d1?^$", max_size=12),
        exclude_modules=LISTS | NAMES,
        target_parameters=LISTS,
        modules_to_save=LISTS,
        layers_to_transform=st.none() | st.lists(st.integers(-3, 10**12), max_size=3).map(tuple),
        layers_pattern=LISTS | NAMES,
        rank_pattern=st.none() | st.dictionaries(NAMES, st.floats() | st.integers(-3, 99), max_size=3),
        use_dora=st.none() | st.booleans(),
        lora_bias=st.none() | st.booleans(),
    ),
)
def test_match_never_raises(name: str, adapter: Adapter) -> None:
    spec = arch(name)
    found = match(adapter, spec)
    assert found.parameters(adapter) >= 0
    for module in found.modules:
        assert set(module.layers or ()) <= set(range(spec.num_layers + 100))
    saved_modules(adapter.modules_to_save or (), spec)
