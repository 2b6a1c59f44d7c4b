"""open-instruct's finetune.py."""

from __future__ import annotations

from tests.formats.reader import at, defaulted, read_one, recognised

CONFIG = """\
model_name_or_path: acme/Pebble-7B
use_lora: true
use_qlora: true
lora_alpha: 32
dataset_mixer:
  acme/chat: 1.0
  acme/maths: 0.5
max_seq_length: 4096
learning_rate: 1.0e-04
with_tracking: true
checkpointing_steps: epoch
"""


def test_values_and_defaults() -> None:
    reading = read_one("open-instruct", CONFIG)
    plan = reading.plan
    assert (plan.method, plan.adapter.method, plan.adapter.r, plan.adapter.alpha) == ("sft", "lora", 64, 32)
    assert (at(reading, "adapter.alpha"), defaulted(reading, "adapter.r")) == ((4, 13), "open-instruct")
    assert plan.adapter.target_modules is not None
    assert set(plan.adapter.target_modules) >= {"q_proj", "down_proj"}
    assert (plan.quantization.bits, plan.quantization.quant_type, plan.quantization.double_quant) == (4, "nf4", True)
    assert at(reading, "quantization.bits") == (3, 12)
    assert plan.data.datasets == ("acme/chat", "acme/maths")
    assert (plan.schedule.warmup_ratio, plan.schedule.epochs, plan.batch.micro_batch_size) == (0.03, 2, 8)
    assert (plan.precision.bf16, plan.precision.gradient_checkpointing) == (True, False)
    assert plan.optimizer.name == "paged_adamw_32bit"


def test_lora_settings_without_the_switch() -> None:
    reading = read_one("open-instruct", CONFIG.replace("use_lora: true\nuse_qlora: true\n", ""))
    assert (reading.plan.adapter.method, list(reading.lora_keys)) == ("none", ["lora_alpha"])
    assert reading.switch == "use_lora: true"


def test_recognition() -> None:
    assert not recognised("open-instruct", "model_name_or_path: a\nuse_lora: true\nlora_rank: 8\n")
    assert recognised(
        "open-instruct", "accelerate launch open_instruct/finetune.py --use_lora --lora_rank 64\n", "a.sh"
    )
    assert not recognised("open-instruct", "python open_instruct/merge_lora.py --lora_model_name_or_path a\n", "a.sh")
