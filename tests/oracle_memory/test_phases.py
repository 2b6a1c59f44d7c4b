"""The estimate's phases against a real step of transformers, PEFT, bitsandbytes and TRL, watched on the meta device."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest

from loraplan.arch.catalogue import all_rows
from loraplan.trace.setting import Setting
from tests.oracle_memory.closed import closed_form, phases
from tests.oracle_memory.explained import bound

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

TOLERANCE = 0.02
BATCH, SEQUENCE = 4, 384
"""Shorter than any window, longer than what bitsandbytes multiplies without dequantizing."""

FAMILIES = (
    "llama mistral qwen2 qwen3 smollm3 granite olmo2 cohere stablelm gemma gemma2 gemma3_text phi phi3 glm4 starcoder2"
    " gpt_neox falcon mixtral qwen3_moe"
).split()
NO_SDPA = {"gemma2"}
"""Models whose attention caps its scores, which torch's attention cannot."""


def settings(family: str) -> Iterator[Setting]:
    """LoRA, QLoRA as PEFT's guide prepares it and as TRL does, DoRA; each with and without what changes most."""
    attention = "eager" if family in NO_SDPA else "sdpa"
    moe = family in {"mixtral", "qwen3_moe"}
    for method, adapter, checkpointing, loss in product(
        ("lora", "qlora", "dora"), ("float32", "bfloat16"), ("off", "reentrant"), ("unfused", "chunked")
    ):
        if moe and (method == "dora" or (method == "qlora" and adapter == "float32")):
            continue  # PEFT has no DoRA for fused experts; fp32 experts have no grouped product
        prepared = method == "qlora" and adapter == "float32"
        yield Setting(
            batch=BATCH,
            sequence=SEQUENCE,
            dora=method == "dora",
            adapter=adapter,
            nf4=method == "qlora",
            upcast=prepared,
            autocast=prepared,
            checkpointing=checkpointing,
            loss=loss,
            attention=attention,
            cache=False,
        )  # type: ignore[call-arg]


def name(setting: Setting) -> str:
    """As it stands in a table."""
    method = "QLoRA" if setting.nf4 else "DoRA" if setting.dora else "LoRA"
    return f"{method} {setting.adapter} checkpointing {setting.checkpointing} {setting.loss}"


SHALLOW = {"gemma3_text": "google/gemma-3-1b-pt"}
"""Where the smallest model's depth would have many layers traced."""


def config_of_family(family: str) -> dict[str, Any]:
    """The config of the catalogue's smallest model of a family."""
    if family in SHALLOW:
        return dict(next(row.config for row in all_rows() if row.name == SHALLOW[family]))
    rows = [row for row in all_rows() if row.config["model_type"] == family and not row.prequantized]
    return dict(min(rows, key=lambda row: row.config.get("hidden_size", 0)).config)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_phase_agrees(family: str) -> None:
    for module in ("peft", "bitsandbytes", "trl"):
        pytest.importorskip(module)
    from loraplan.trace.extrapolate import extrapolate
    from loraplan.trace.model import config_of

    config = config_of_family(family)
    wrong = []
    for setting in settings(family):
        traced = extrapolate(config_of(config), setting)
        for phase, size in phases(closed_form(config, setting)).items():
            true = traced.phases[phase].size
            if abs(size - true) > bound(family, setting, phase, TOLERANCE) * true:
                wrong.append(f"{name(setting)}, {phase}: {size / true - 1:+.2%} of {true / 2**30:.3f} GiB")
    assert not wrong, "\n".join(wrong)


def shallow(name: str, layers: int) -> dict[str, Any]:
    """A catalogued model's config with its first layers; positions as they are unscaled, which no size depends on."""
    config = dict(next(row.config for row in all_rows() if row.name == name))
    config = {key: value for key, value in config.items() if not key.startswith("rope_")}
    if "layer_types" in config:
        config["layer_types"] = config["layer_types"][:layers]
    return config | {"num_hidden_layers": layers}


@pytest.mark.parametrize(
    "model", ["meta-llama/Llama-3.2-1B", "Qwen/Qwen2.5-7B", "google/gemma-2b"], ids=["tied", "untied", "gemma"]
)
def test_full_fine_tuning(model: str) -> None:
    """Two instants compete for the backward's peak, so that a shallow model does not tell of a deep one."""
    pytest.importorskip("trl")
    from loraplan.trace.model import config_of
    from loraplan.trace.step import trace

    config = shallow(model, 6)
    wrong = []
    numerics = (("bfloat16", False), ("bfloat16", True), ("float32", True))
    for (base, autocast), checkpointing, loss in product(numerics, ("off", "reentrant"), ("unfused", "chunked")):
        setting = Setting(
            batch=2,
            sequence=2048,
            rank=0,
            base=base,  # type: ignore[arg-type]
            autocast=autocast,
            checkpointing=checkpointing,  # type: ignore[arg-type]
            loss=loss,  # type: ignore[arg-type]
            cache=False,
        )
        traced = trace(config_of(config), setting)
        for phase, size in phases(closed_form(config, setting)).items():
            true = traced.phases[phase].size
            if abs(size - true) > TOLERANCE * true:
                wrong.append(f"{base} {autocast} {checkpointing} {loss}, {phase}: {size / true - 1:+.2%} of {true}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("family", ["llama", "qwen2", "mistral"])
def test_dora_with_dropout(family: str) -> None:
    """PEFT then multiplies the base weights once more, and keeps a copy of them for each layer."""
    pytest.importorskip("bitsandbytes")
    from loraplan.trace.extrapolate import extrapolate
    from loraplan.trace.model import config_of

    config = config_of_family(family)
    wrong = []
    for nf4, autocast, checkpointing in product((False, True), (False, True), ("off", "reentrant")):
        setting = Setting(
            batch=BATCH,
            sequence=SEQUENCE,
            dora=True,
            dropout=0.05,
            nf4=nf4,
            autocast=autocast,
            checkpointing=checkpointing,  # type: ignore[arg-type]
            loss="chunked",
            cache=False,
        )
        true, size = extrapolate(config_of(config), setting).peak, closed_form(config, setting).peak.bytes
        # In a small batch the copies of one layer's weights are the most, and not all of them are alive at once.
        if not -0.03 * true < size - true < (0.03 if checkpointing == "off" else 0.1) * true:
            wrong.append(f"nf4 {nf4} autocast {autocast} {checkpointing}: {size / true - 1:+.2%} of {true}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("model", ["meta-llama/Llama-3.2-1B", "Qwen/Qwen2.5-7B"])
def test_padded_batches(model: str) -> None:
    """A boolean mask that checkpoints hold, and an addend of it for each layer."""
    pytest.importorskip("bitsandbytes")
    from loraplan.trace.model import config_of
    from loraplan.trace.step import trace

    config = shallow(model, 4)
    wrong = []
    for nf4, checkpointing, loss in product((False, True), ("off", "reentrant"), ("unfused", "chunked")):
        setting = Setting(
            batch=4,
            sequence=2048,
            nf4=nf4,
            checkpointing=checkpointing,  # type: ignore[arg-type]
            loss=loss,  # type: ignore[arg-type]
            padded=True,
            cache=False,
        )
        traced = trace(config_of(config), setting)
        for phase, size in phases(closed_form(config, setting)).items():
            true = traced.phases[phase].size
            if abs(size - true) > 0.025 * true:
                wrong.append(f"nf4 {nf4} {checkpointing} {loss}, {phase}: {size / true - 1:+.2%} of {true}")
    assert not wrong, "\n".join(wrong)
