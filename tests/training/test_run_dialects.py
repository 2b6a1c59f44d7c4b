"""Configs of five frameworks train unchanged, and TRL and PEFT receive what `loraplan show` prints."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.training.dialects import DIALECTS

# Plan field -> attribute of the arguments object that transformers' Trainer was given.
ARGUMENTS = {
    "optimizer.learning_rate": "learning_rate",
    "optimizer.weight_decay": "weight_decay",
    "optimizer.beta1": "adam_beta1",
    "optimizer.beta2": "adam_beta2",
    "optimizer.epsilon": "adam_epsilon",
    "optimizer.max_grad_norm": "max_grad_norm",
    "optimizer.name": "optim",
    "schedule.name": "lr_scheduler_type",
    "schedule.max_steps": "max_steps",
    "batch.micro_batch_size": "per_device_train_batch_size",
    "batch.gradient_accumulation_steps": "gradient_accumulation_steps",
    "precision.bf16": "bf16",
    "precision.fp16": "fp16",
    "data.max_length": "max_length",
    "data.packing": "packing",
    "run.logging_steps": "logging_steps",
    "run.save_steps": "save_steps",
    "run.seed": "seed",
}
# Plan field -> key of the adapter_config.json that PEFT wrote.
ADAPTER = {
    "adapter.r": "r",
    "adapter.alpha": "lora_alpha",
    "adapter.dropout": "lora_dropout",
    "adapter.bias": "bias",
    "adapter.target_modules": "target_modules",
    "adapter.use_rslora": "use_rslora",
    "adapter.use_dora": "use_dora",
}


def _loraplan(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "loraplan", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", DIALECTS)
def test_a_config_trains_unchanged_and_nothing_is_lost_on_the_way(name: str, tiny_model: Path, tmp_path: Path) -> None:
    import torch

    shutil.copytree(tiny_model, tmp_path / "tiny")
    config = DIALECTS[name](tmp_path)
    before = config.read_bytes()
    done = _loraplan(tmp_path, "train", config.name, "--output-dir", "run", "--no-samples", "--plain")
    assert done.returncode == 0, done.stdout + done.stderr
    assert config.read_bytes() == before
    shown = json.loads(_loraplan(tmp_path, "show", config.name, "--format", "json").stdout)
    assert shown["runs"][0]["format"] == name
    values = {item["field"]: item["value"] for item in shown["runs"][0]["values"]}
    [checkpoint] = (tmp_path / "run" / "checkpoints").glob("checkpoint-*")
    arguments = torch.load(checkpoint / "training_args.bin", weights_only=False)
    adapter = json.loads((tmp_path / "run" / "adapter" / "adapter_config.json").read_text())
    compared = 0
    for field, attribute in ARGUMENTS.items():
        if values.get(field) is not None:
            assert _plain(getattr(arguments, attribute)) == values[field], field
            compared += 1
    for field, key in ADAPTER.items():
        if values.get(field) is not None:
            assert _sorted(adapter[key]) == _sorted(values[field]), field
            compared += 1
    assert compared >= 14
    assert arguments.warmup_steps == (values.get("schedule.warmup_steps") or values.get("schedule.warmup_ratio") or 0)
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    said = {record["name"] for record in log if record["event"] == "field"}
    assert set(values) <= said | {"model.name"}, "every field that has a value is accounted for"
    assert log[-1]["outcome"] == "done"
    assert (tmp_path / "run" / "report.html").is_file()


def _plain(value: Any) -> Any:
    return getattr(value, "value", value)


def _sorted(value: Any) -> Any:
    return sorted(value) if isinstance(value, list) else value
