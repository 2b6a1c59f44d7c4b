"""ms-swift: launch scripts, YAML and JSON."""

from __future__ import annotations

import pytest

from loraplan.formats.targets import made_by_peft
from loraplan.memory.stack import stack_of
from loraplan.origin import Default, Derived, Explicit
from tests.formats.reader import read_one, recognised
from tests.formats.scripts import run, written

QLORA = """\
#!/bin/bash
export NPROC_PER_NODE=2
LR=${LR:-2e-4}
CUDA_VISIBLE_DEVICES=0,1 \\
swift sft \\
    --model acme/Pebble-7B \\
    --tuner_type lora \\
    --dataset 'acme/chat#500' \\
              'acme/code#250' \\
    --torch_dtype bfloat16 \\
    --quant_method bnb --quant_bits 4 \\
    --per_device_train_batch_size 2 \\
    --learning_rate $LR \\
    --lora-rank=64 \\
    --target_modules q_proj v_proj \\
    --attn_impl flash_attn --max_length 2048 \\
    --deepspeed zero2 "$@" 2>&1 | tee log.txt
"""


def test_qlora_script() -> None:
    reading = run(QLORA, "run.sh")
    plan = reading.plan
    assert (reading.format, reading.framework, plan.method) == ("ms-swift", "ms-swift", "sft")
    assert (plan.adapter.method, plan.adapter.r, plan.adapter.alpha) == ("lora", 64, 32)
    assert plan.adapter.target_modules == ("q_proj", "v_proj")
    assert (plan.quantization.bits, plan.quantization.quant_type, plan.quantization.double_quant) == (4, "nf4", True)
    assert (plan.quantization.compute_dtype, plan.precision.bf16, plan.precision.fp16) == ("bfloat16", True, False)
    assert (plan.data.datasets, plan.data.max_samples) == (("acme/chat", "acme/code"), 750)
    assert (plan.model.attn_implementation, plan.data.max_length) == ("flash_attention_2", 2048)
    assert (plan.distributed.devices, plan.distributed.strategy) == (2, "zero2")
    assert (plan.batch.micro_batch_size, plan.batch.gradient_accumulation_steps) == (2, 4)
    assert reading.key_issues == []


def test_where_it_comes_from() -> None:
    reading = run(QLORA, "run.sh")
    assert written(reading, "adapter.r") == ("64", 14, 17)
    assert written(reading, "optimizer.learning_rate") == ("2e-4", 3, 10)
    rate = reading.origins["optimizer.learning_rate"]
    assert isinstance(rate, Explicit)
    assert rate.shared
    assert written(reading, "distributed.devices") == ("2", 2, 23)
    assert written(reading, "data.datasets") == ("'acme/chat#500' \\\n              'acme/code#250'", 8, 15)
    alpha = reading.origins["adapter.alpha"]
    assert alpha == Default("ms-swift", "4.6.0", "swift/arguments/tuner_args.py@4.6.0", "lora_alpha")
    assert isinstance(reading.origins["method"], Derived)
    assert list(reading.lora_keys) == ["lora_rank", "target_modules"]


@pytest.mark.parametrize(
    ("command", "method", "adapter", "rate", "accumulation"),
    [
        ("swift sft --model m", "sft", "lora", 1e-4, 16),
        ("swift pt --model m --tuner_type full", "pt", "none", 1e-5, 16),
        ("swift rlhf --model m --rlhf_type grpo --per_device_train_batch_size 4", "grpo", "lora", 1e-4, 4),
        ("swift rlhf --model m --tuner_type adalora", "dpo", "adalora", 1e-4, 16),
        ("NPROC_PER_NODE=8 swift sft --model m", "sft", "lora", 1e-4, 2),
        ("torchrun --nproc_per_node 4 --nnodes 2 swift/cli/sft.py --model m", "sft", "lora", 1e-4, 2),
        ("python -m swift.cli.sft --model m --gradient_accumulation_steps 3", "sft", "lora", 1e-4, 3),
    ],
)
def test_defaults(command: str, method: str, adapter: str, rate: float, accumulation: int) -> None:
    plan = run(command, "run.sh").plan
    assert (plan.method, plan.adapter.method) == (method, adapter)
    assert (plan.optimizer.learning_rate, plan.batch.gradient_accumulation_steps) == (rate, accumulation)
    assert (plan.adapter.r, plan.adapter.alpha) == ((None, None) if adapter == "none" else (8, 32))


def test_old_names_of_the_switch() -> None:
    reading = run("swift sft --model_id_or_path m --sft_type lora --lora_target_modules ALL", "run.sh")
    assert (reading.plan.model.name, reading.plan.adapter.target_modules) == ("m", "all-linear")
    assert [(issue.kind, issue.key, issue.suggestion) for issue in reading.key_issues] == [
        ("removed", "sft_type", "tuner_type"), ("removed", "model_id_or_path", "model"),
    ]  # fmt: skip


def test_bits_without_a_method_do_nothing() -> None:
    assert run("swift sft --model m --quant_bits 4", "run.sh").plan.quantization.bits is None
    unsloth = run("swift sft --model m --tuner_backend unsloth --quant_bits 4", "run.sh").plan.quantization
    assert (unsloth.method, unsloth.bits, unsloth.load_in_4bit) == ("bnb", 4, True)


def test_misspelt_option() -> None:
    reading = run("swift sft --model m --lora_rnak 8", "run.sh")
    (issue,) = reading.key_issues
    assert (issue.kind, issue.key, issue.suggestion, issue.effect) == ("unknown", "lora_rnak", "lora_rank", "raises")


def test_yaml() -> None:
    reading = read_one(
        "ms-swift",
        "model: acme/Pebble-7B\ntuner_type: lora\ndataset:\n- acme/chat#10\nlora_rank: 4\nlearning_rate: 1e-4\n",
    )
    assert (reading.plan.adapter.r, reading.plan.data.max_samples) == (4, 10)
    assert reading.plan.optimizer.learning_rate == 1e-4


@pytest.mark.parametrize(
    "text", ["model: m\nlora_rank: 8\n", "model:\n  name: x\ntrain_type: lora\n", "base_model: x\n"]
)
def test_not_ours(text: str) -> None:
    assert not recognised("ms-swift", text)


MEGATRON = """\
model: Qwen/Qwen3-30B-A3B
tuner_type: lora
target_modules: all-linear
dataset: acme/chat#1000
lr: 1e-4
lr_warmup_fraction: 0.05
micro_batch_size: 2
global_batch_size: 16
recompute_granularity: full
save_safetensors: true
"""


def test_megatrons_own_keys() -> None:
    reading = read_one("ms-swift", MEGATRON)
    plan = reading.plan
    assert (plan.optimizer.learning_rate, plan.schedule.warmup_ratio, plan.schedule.warmup_steps) == (1e-4, 0.05, None)
    assert (plan.batch.micro_batch_size, plan.batch.global_batch_size) == (2, 16)
    assert (plan.batch.gradient_accumulation_steps, plan.schedule.name) == (None, None)
    assert plan.precision.gradient_checkpointing is True
    assert reading.key_issues == []
    assert not made_by_peft(reading)
    assert "megatron-swift" in stack_of(reading, {}).name
    off = read_one("ms-swift", MEGATRON.replace("granularity: full", "granularity: none"))
    assert off.plan.precision.gradient_checkpointing is False


def test_a_megatron_size_that_is_no_whole_number_is_unknown() -> None:
    plan = read_one("ms-swift", MEGATRON.replace("micro_batch_size: 2", "micro_batch_size: 1.5")).plan
    assert plan.batch.micro_batch_size is None
