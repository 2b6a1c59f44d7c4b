"""A model with an encoder: its blocks are told to be unknown, not taken for a decoder's."""

from loraplan.arch.sources import resolve
from loraplan.memory.model import estimate
from loraplan.plan import build


def test_blocks_with_cross_attention_are_told_to_be_unknown() -> None:
    arch = resolve("t5-small", base_dir=None)
    assert arch is not None
    plan = build({"adapter.method": "lora", "adapter.r": 4, "adapter.alpha": 16, "adapter.target_modules": "all-linear",
                  "batch.micro_batch_size": 2, "data.max_length": 256})  # fmt: skip
    found = estimate(plan, arch)
    assert "blocks of a form that is not modelled" in {item.what for item in found.unknown}
