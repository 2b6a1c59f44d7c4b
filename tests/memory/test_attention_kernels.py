"""Which kernel attends: no score matrix where a fused one takes the input, all of it where none does."""

from __future__ import annotations

import pytest

from loraplan.arch.sources import resolve
from loraplan.arch.spec import ArchSpec
from loraplan.memory.model import estimate
from loraplan.memory.stack import Stack, stack_for
from loraplan.memory.term import Estimate
from loraplan.plan import build

LENGTH = 2048


def arch_of(name: str) -> ArchSpec:
    found = resolve(name, base_dir=None)
    assert found is not None
    return found


def run(arch: ArchSpec, stack: Stack, length: int = LENGTH, *, bits: int = 16, autocast: bool = False) -> Estimate:
    plan = build({
        "adapter.method": "lora", "adapter.r": 8, "adapter.alpha": 16, "adapter.target_modules": "all-linear",
        "model.dtype": "bfloat16", "batch.micro_batch_size": 1, "data.max_length": length, "data.packing": True,
        "precision.bf16": autocast, "precision.gradient_checkpointing": False, "quantization.bits": bits,
        "quantization.method": "bnb" if bits == 4 else None,
    })  # fmt: skip
    return estimate(plan, arch, stack=stack)


def phase(found: Estimate, name: str) -> int:
    return next(item.bytes for item in found.phases if item.name == name)


def bend(arch: ArchSpec, stack: Stack, bits: int = 16, autocast: bool = False) -> int:
    """Second difference over the length, in bytes: what grows with its square."""
    low, mid, high = (phase(run(arch, stack, LENGTH * n, bits=bits, autocast=autocast), "forward") for n in (1, 2, 3))
    return high - 2 * mid + low


@pytest.mark.parametrize("autocast", [False, True])
def test_fp32_streams_with_few_key_heads(autocast: bool) -> None:
    """Autocast casts the kernel's inputs; without it PyTorch writes the scores out."""
    arch = arch_of("meta-llama/Llama-3.1-8B")
    stack = stack_for("transformers", upcast="all", autocast=autocast)
    square = bend(arch, stack, bits=4, autocast=autocast)
    scores = 2 * LENGTH**2 * arch.num_heads * 4  # of one layer: (3² - 2·2² + 1²) = 2
    if autocast:
        assert abs(square) < scores / 16  # another instant of the block can be its largest
    else:
        assert square >= arch.num_layers * scores


def test_one_key_head_without_enable_gqa() -> None:
    falcon = arch_of("tiiuae/falcon-7b")
    square = bend(falcon, stack_for("transformers"))
    scores = 2 * LENGTH**2 * falcon.num_heads * 4
    assert falcon.num_layers * scores <= square < 1.2 * falcon.num_layers * scores


def test_layers_that_bitsandbytes_leaves_are_upcast_like_the_rest() -> None:
    falcon = arch_of("tiiuae/falcon-7b")
    load = phase(run(falcon, stack_for("transformers", upcast="all"), bits=4), "load")
    assert load > 4 * falcon.parameters


def test_litgpt_quantizes_falcon() -> None:
    falcon = arch_of("tiiuae/falcon-7b")
    load = phase(run(falcon, stack_for("litgpt"), bits=4), "load")
    assert load < falcon.parameters


def masked(arch: ArchSpec, stack: Stack, *, packing: bool, rows: int = 4, **fields: object) -> Estimate:
    plan = build({
        "adapter.method": "lora", "adapter.r": 8, "adapter.alpha": 16, "adapter.target_modules": "all-linear",
        "model.dtype": "bfloat16", "batch.micro_batch_size": rows, "data.max_length": LENGTH, "data.packing": packing,
        "precision.gradient_checkpointing": False, **fields,
    })  # fmt: skip
    return estimate(plan, arch, stack=stack)


def mask(found: Estimate) -> int:
    forward = next(item for item in found.phases if item.name == "forward")
    return sum(term.bytes for term in forward.terms if term.name == "attention mask")


def test_padding_costs_a_boolean_mask_and_an_addend_of_each_layer() -> None:
    arch = arch_of("meta-llama/Llama-3.1-8B")
    now, before = (stack_for("transformers", {"transformers": version}) for version in ("5.23.0", "4.52.0"))
    pairs = 4 * LENGTH**2
    assert mask(masked(arch, now, packing=False)) == pairs
    assert mask(masked(arch, before, packing=False)) == 2 * pairs  # an addend already, which all layers share
    padded, packed = (phase(masked(arch, now, packing=item), "loss") for item in (False, True))
    repeated = 2 * 4 * LENGTH * (arch.num_heads - arch.num_kv_heads) * arch.head_dim * 2  # keys and values of all heads
    assert padded - packed == pytest.approx(arch.num_layers * (2 * pairs + repeated), rel=0.01)


def test_one_sequence_has_no_padding() -> None:
    arch = arch_of("meta-llama/Llama-3.1-8B")
    assert mask(masked(arch, stack_for("transformers"), packing=False, rows=1)) == 0
    assert mask(masked(arch, stack_for("axolotl"), packing=False, rows=1)) == LENGTH**2  # rounded up to 64 tokens
    assert mask(masked(arch, stack_for("litgpt"), packing=False)) == 0


def test_trl_packs_a_batch_into_one_row() -> None:
    """sdpa then sees every pair of the whole batch; FlashAttention does not, and older releases did not know."""
    arch, trl = arch_of("meta-llama/Llama-3.1-8B"), stack_for("trl")
    assert mask(masked(arch, trl, packing=True)) == (4 * LENGTH) ** 2
    assert mask(masked(arch, trl, packing=False, **{"data.padding_free": True})) == (4 * LENGTH) ** 2
    flash = {"model.attn_implementation": "flash_attention_2"}
    assert mask(masked(arch, trl, packing=True, **flash)) == 0
    assert mask(masked(arch, trl, packing=True, **{"data.packing_strategy": "wrapped"})) == 0
    assert mask(masked(arch, stack_for("trl", {"trl": "0.17.0"}), packing=True)) == 0
