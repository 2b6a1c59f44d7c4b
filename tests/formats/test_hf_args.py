"""Options of scripts built on HfArgumentParser."""

from __future__ import annotations

import json
from typing import Any

import pytest

from loraplan.document.read import read as read_document
from loraplan.formats import hf_args
from tests.formats.reader import at, defaulted, derived, read_one, recognised

FIREFLY_LIKE: dict[str, Any] = {
    "output_dir": "output/pebble-sft",
    "model_name_or_path": "acme/Pebble-7B",
    "train_file": "data/mine.jsonl",
    "train_mode": "qlora",
    "num_train_epochs": 2,
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 4,
    "learning_rate": 2e-4,
    "warmup_steps": 100,
    "lr_scheduler_type": "constant_with_warmup",
    "lora_rank": 64,
    "lora_alpha": 16,
    "lora_dropout": 0.05,
    "max_seq_length": 1024,
    "bf16": True,
}


def test_json() -> None:
    reading = read_one("hf-args", json.dumps(FIREFLY_LIKE, indent=2), "sft.json")
    plan = reading.plan
    assert (plan.method, plan.adapter.method, plan.adapter.r, plan.adapter.alpha) == ("sft", "lora", 64, 16)
    assert at(reading, "adapter.r") == (12, 16)
    assert (plan.quantization.bits, plan.quantization.method) == (4, "bnb")
    assert (plan.data.max_length, plan.data.datasets) == (1024, ("data/mine.jsonl",))
    assert (plan.optimizer.learning_rate, plan.schedule.warmup_steps) == (2e-4, 100)
    assert (plan.optimizer.weight_decay, defaulted(reading, "optimizer.weight_decay")) == (0.0, "transformers")
    assert plan.adapter.target_modules is None  # the script's own default, which nobody here knows


def test_yaml_numbers_stay_text() -> None:
    text = (
        "model_name_or_path: acme/P\nuse_lora: true\nlora_r: 8\nper_device_train_batch_size: 1\nlearning_rate: 1e-4\n"
    )
    reading = read_one("hf-args", text)
    (issue,) = reading.value_issues
    assert (issue.kind, issue.field, issue.text, issue.effect) == (
        "string-number",
        "optimizer.learning_rate",
        "1e-4",
        "raises",
    )
    assert reading.document.position(issue.span.start) == (5, 16)
    assert reading.plan.optimizer.learning_rate == 1e-4


def test_an_option_that_is_a_slip() -> None:
    (issue,) = read_one("hf-args", json.dumps({**FIREFLY_LIKE, "lora_alhpa": 1}), "a.json").key_issues
    assert (issue.key, issue.suggestion) == ("lora_alhpa", "lora_alpha")


@pytest.mark.parametrize(("value", "method"), [(True, "lora"), (False, "none")])
def test_switch(value: bool, method: str) -> None:
    text = json.dumps({"per_device_train_batch_size": 1, "learning_rate": 1e-4, "lora_enable": value, "lora_r": 8})
    reading = read_one("hf-args", text, "a.json")
    assert (reading.plan.adapter.method, reading.switch) == (method, "lora_enable: true")


def test_qlora_py_has_defaults_of_its_own() -> None:
    text = json.dumps(
        {
            "model_name_or_path": "acme/P",
            "per_device_train_batch_size": 1,
            "learning_rate": 1e-4,
            "bits": 4,
            "double_quant": True,
            "quant_type": "nf4",
            "source_max_len": 16,
            "target_max_len": 512,
            "bf16": True,
        }
    )
    reading = read_one("hf-args", text, "a.json")
    plan = reading.plan
    assert (plan.adapter.r, plan.adapter.alpha, plan.adapter.target_modules) == (64, 16, "all-linear")
    assert (plan.schedule.name, plan.schedule.warmup_ratio, plan.schedule.max_steps) == ("constant", 0.03, 10000)
    assert (plan.quantization.compute_dtype, plan.data.max_length) == ("bfloat16", 528)
    assert defaulted(reading, "adapter.r") == "qlora.py"
    assert derived(reading, "data.max_length")
    assert reading.facts["script"] == "qlora.py"


SHELL = """\
deepspeed llava/train/train_mem.py \\
    --lora_enable True --lora_r 128 --lora_alpha 256 \\
    --deepspeed ./scripts/zero3.json \\
    --model_name_or_path acme/Pebble-7B \\
    --bf16 True --bits 4 \\
    --num_train_epochs 1 --per_device_train_batch_size 16 \\
    --learning_rate 2e-4 --warmup_ratio 0.03 \\
    --model_max_length 2048 --gradient_checkpointing True
"""


def test_shell() -> None:
    document = read_document("finetune_lora.sh", SHELL)
    (root,) = [node for node in document.roots if hf_args.detect(node, document)]
    (reading,) = hf_args.read(root, document, "", {})
    plan = reading.plan
    assert (plan.adapter.method, plan.adapter.r, plan.adapter.alpha) == ("lora", 128, 256)
    assert at(reading, "adapter.r") == (2, 33)
    assert (plan.quantization.bits, plan.precision.bf16, plan.method) == (4, True, "sft")
    assert (plan.distributed.strategy, plan.data.max_length) == ("zero3", 2048)
    assert (plan.optimizer.learning_rate, reading.value_issues) == (2e-4, [])


@pytest.mark.parametrize(
    "text",
    [
        '{"per_device_train_batch_size": 1, "learning_rate": 1e-4}',
        '{"lora_r": 8, "lora_alpha": 16}',
        '{"train_batch_size": 1, "learning_rate": 1e-4, "lora_r": 8}',
    ],
)
def test_not_hf_args(text: str) -> None:
    assert not recognised("hf-args", text, "a.json")
