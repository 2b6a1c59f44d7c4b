"""Storages are counted once, from their birth to their death; models of any depth follow from two shallow ones."""

from __future__ import annotations

from typing import Any

import pytest

from loraplan.trace.setting import Setting

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "vocab_size": 1024,
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 7,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "tie_word_embeddings": False,
}


@pytest.fixture
def torch() -> Any:
    pytest.importorskip("peft")
    pytest.importorskip("transformers")
    return pytest.importorskip("torch")


def test_views_share_a_storage_and_it_dies_with_the_last(torch: Any) -> None:
    from loraplan.trace.ledger import Ledger, watched

    ledger = Ledger()
    with watched(ledger, {}):
        whole = torch.zeros(1000, device="meta")
        part = whole[:10]
        assert ledger.size(ledger.alive()) == 4096
        del whole
        assert ledger.size(ledger.alive()) == 4096
        del part
        assert ledger.alive() == frozenset()
        ledger.phase = "second"
        more = [torch.zeros(128, device="meta") for _ in range(3)]
        del more[0]
        torch.zeros(1, device="meta")
    assert ledger.peak(0, {"load"}).size == 4096
    assert ledger.peak(0, {"second"}).size == 3 * 512
    assert torch.zeros(1).device.type == "cpu"
    assert ledger.note(torch.zeros(1)) is None


def test_a_linear_layer_keeps_its_input_for_the_gradient_of_its_weight(torch: Any) -> None:
    from loraplan.trace.ledger import Ledger, watched
    from loraplan.trace.step import saved_tensors

    layer = torch.nn.Linear(64, 32, bias=False, device="meta")
    ledger = Ledger()
    ledger.label(layer.parameters(), "adapter weights")
    with watched(ledger, {}):
        inputs = torch.zeros(16, 64, device="meta")
        loss = layer(inputs * 2).sum()
        kept = saved_tensors(ledger, loss)
        assert [(item.size, item.shape) for item in kept] == [(16 * 64 * 4, (16, 64))]
        frozen = layer.requires_grad_(requires_grad=False)(inputs * 2)
        assert frozen.grad_fn is None


@pytest.mark.parametrize(
    "setting",
    [
        Setting(batch=2, sequence=64, rank=4),
        Setting(batch=2, sequence=64, rank=4, checkpointing="reentrant", adapter="bfloat16"),
        Setting(batch=2, sequence=64, rank=4, dora=True, autocast=True),
        Setting(batch=2, sequence=64, rank=4, attention="eager", loss="chunked", dropout=0.1),
        Setting(batch=2, sequence=64, rank=4, padded=True, checkpointing="non-reentrant"),
    ],
    ids=["plain", "reentrant", "dora", "eager", "padded"],
)
def test_memory_is_affine_in_layers(torch: Any, setting: Setting) -> None:
    from loraplan.trace.extrapolate import extrapolate
    from loraplan.trace.model import config_of
    from loraplan.trace.step import trace

    if setting.loss == "chunked":
        pytest.importorskip("trl")
    config = config_of(LLAMA)
    guessed, true = extrapolate(config, setting), trace(config, setting)
    assert guessed.depths == (2, 3)
    assert guessed.trainable == true.trainable
    for name, phase in true.phases.items():
        assert guessed.phases[name].size == pytest.approx(phase.size, rel=1e-4), name
        assert sum(guessed.phases[name].by_kind.values()) == guessed.phases[name].size


def test_the_step_holds_what_is_known_of_it(torch: Any) -> None:
    from loraplan.trace.model import config_of
    from loraplan.trace.step import trace

    setting = Setting(batch=2, sequence=64, rank=4)
    found = trace(config_of(LLAMA), setting)
    end = found.phases["end"].by_kind
    assert found.trainable == 7 * 4 * (6 * 256 + 2 * (256 + 128) - 256 * 2 + 256 + 3 * (256 + 512) - 256)
    assert found.phases["load"].by_kind["frozen weights"] >= 2 * (2 * 1024 * 256)
    for kind, each in (("adapter weights", 4), ("gradients", 4), ("optimizer state", 8)):
        assert end[kind] == pytest.approx(found.trainable * each, rel=0.02), kind
    logits = 2 * 64 * 1024
    held = found.ledger
    loss = [held.storages[number] for number in found.phases["loss"].alive]
    # log-probabilities, their gradient and the logits' gradient, all fp32
    assert (
        sum(item.size for item in loss if item.shape and item.shape[-1] == 1024 and "load" not in item.phase)
        == 12 * logits
    )
    kept = trace(config_of(LLAMA), Setting(batch=2, sequence=64, rank=4, outputs_kept=True))
    assert kept.phases["loss"].size > found.phases["loss"].size


def test_a_4_bit_model_has_half_a_byte_a_weight_and_its_statistics(torch: Any) -> None:
    pytest.importorskip("bitsandbytes")
    from loraplan.trace.model import config_of
    from loraplan.trace.step import trace

    plain = trace(config_of(LLAMA), Setting(batch=1, sequence=64, rank=4))
    found = trace(config_of(LLAMA), Setting(batch=1, sequence=64, rank=4, nf4=True))
    linear = 7 * (2 * 256 * 256 + 2 * 256 * 128 + 3 * 256 * 512)
    before, after = (item.phases["load"].by_kind["frozen weights"] for item in (plain, found))
    saved = linear * 2 - linear // 2 - linear // 64 - 4 * linear // 64 // 256
    # tables of 16 and 256 values and an offset a layer, each in its block
    assert before - after == pytest.approx(saved, abs=49 * 4 * 1024)
    assert before - after <= saved
