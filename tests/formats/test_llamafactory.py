"""LLaMA-Factory's YAML and JSON."""

from __future__ import annotations

import json

import pytest

from loraplan.origin import Default, Explicit
from tests.formats.reader import at, defaulted, read_one, recognised

FLAT = """\
### model
model_name_or_path: acme/Pebble-7B
quantization_bit: 4

### method
stage: sft
do_train: true
finetuning_type: lora
lora_rank: 16
lora_target: all
additional_target: embed_tokens, lm_head
pissa_init: true

### data
dataset: identity, own_data
template: pebble
cutoff_len: 2048
max_samples: 500

### train
output_dir: saves/pebble
per_device_train_batch_size: 1
gradient_accumulation_steps: 8
learning_rate: 1e-4
num_train_epochs: 3.0
lr_scheduler_type: cosine
warmup_ratio: 0.1
bf16: true
deepspeed: examples/deepspeed/ds_z3_config.json
overwrite_output_dir: true
"""


def test_flat_values() -> None:
    reading = read_one("llamafactory", FLAT)
    plan = reading.plan
    assert (plan.method, plan.adapter.method, plan.adapter.r) == ("sft", "lora", 16)
    assert (plan.adapter.target_modules, at(reading, "adapter.target_modules")) == ("all-linear", (10, 14))
    assert plan.adapter.modules_to_save == ("embed_tokens", "lm_head")
    assert (plan.adapter.init, at(reading, "adapter.init")) == ("pissa", (12, 13))
    assert plan.optimizer.learning_rate == 1e-4  # OmegaConf reads 1e-4 as a number
    assert (plan.schedule.warmup_ratio, plan.schedule.epochs, plan.schedule.name) == (0.1, 3.0, "cosine")
    assert plan.data.datasets == ("identity", "own_data")
    assert (plan.data.max_length, plan.data.max_samples, plan.data.packing) == (2048, 500, False)
    assert (plan.distributed.strategy, plan.distributed.deepspeed) == ("zero3", "examples/deepspeed/ds_z3_config.json")
    assert reading.value_issues == []
    assert reading.key_issues == []


def test_flat_defaults() -> None:
    reading = read_one("llamafactory", FLAT)
    plan = reading.plan
    assert (plan.adapter.alpha, plan.adapter.dropout) == (32, 0.0)
    origin = reading.origins["adapter.alpha"]
    assert isinstance(origin, Default)
    assert (origin.key, "lora_rank * 2" in origin.source) == ("lora_alpha", True)
    assert plan.precision.gradient_checkpointing is True
    assert defaulted(reading, "precision.gradient_checkpointing") == "llamafactory"
    quantization = plan.quantization
    assert (quantization.bits, quantization.quant_type, quantization.double_quant) == (4, "nf4", True)
    assert (quantization.compute_dtype, quantization.method) == ("bfloat16", "bnb")
    assert defaulted(reading, "optimizer.weight_decay") == "transformers"


def test_nothing_but_the_model() -> None:
    reading = read_one("llamafactory", "model_name_or_path: acme/P\nstage: sft\ntemplate: pebble\ndataset: d\n")
    plan = reading.plan
    assert (plan.adapter.method, plan.adapter.r, plan.adapter.alpha) == ("lora", 8, 16)
    assert plan.adapter.target_modules == "all-linear"
    assert defaulted(reading, "adapter.target_modules") == "llamafactory"
    assert (plan.optimizer.learning_rate, plan.schedule.warmup_steps) == (5e-5, 0)
    assert plan.quantization.quant_type is None  # nothing is quantized


def test_checkpointing_switch_is_a_negation() -> None:
    reading = read_one("llamafactory", FLAT + "disable_gradient_checkpointing: true\ngradient_checkpointing: true\n")
    assert reading.plan.precision.gradient_checkpointing is False
    assert at(reading, "precision.gradient_checkpointing")[1] == 33


def test_full_fine_tuning_has_no_adapter_defaults() -> None:
    reading = read_one("llamafactory", FLAT.replace("finetuning_type: lora", "finetuning_type: full"))
    assert reading.plan.adapter.method == "none"
    assert isinstance(reading.origins["adapter.method"], Explicit)
    assert reading.plan.adapter.dropout is None
    assert "lora_rank" in reading.lora_keys


@pytest.mark.parametrize(
    ("lines", "method"),
    [
        ("stage: dpo\n", "dpo"),
        ("stage: dpo\npref_loss: orpo\n", "orpo"),
        ("stage: rm\n", "reward"),
        ("stage: pt\n", "pt"),
    ],
)
def test_method(lines: str, method: str) -> None:
    assert read_one("llamafactory", f"model_name_or_path: acme/P\nfinetuning_type: lora\n{lines}").plan.method == method


def test_packing_is_on_for_pretraining() -> None:
    reading = read_one("llamafactory", "model_name_or_path: acme/P\nfinetuning_type: lora\nstage: pt\n")
    assert (reading.plan.data.packing, defaulted(reading, "data.packing")) == (True, "llamafactory")


def test_json_is_the_same_dialect() -> None:
    text = json.dumps({"model_name_or_path": "acme/P", "stage": "sft", "lora_rank": 8, "learning_rate": 2e-4})
    reading = read_one("llamafactory", text, "train.json")
    assert (reading.plan.adapter.r, reading.plan.optimizer.learning_rate) == (8, 2e-4)


@pytest.mark.parametrize("lines", ["do_predict: true\n", "export_dir: merged\n", "infer_backend: vllm\n"])
def test_files_that_do_not_train(lines: str) -> None:
    text = f"model_name_or_path: acme/P\nstage: sft\nfinetuning_type: lora\n{lines}"
    assert read_one("llamafactory", text).facts["no_training"] is True


def test_a_file_that_only_tokenizes() -> None:
    text = "model_name_or_path: acme/P\nstage: sft\nfinetuning_type: lora\ndo_train: true\ntokenized_path: saves/p\n"
    assert read_one("llamafactory", text).facts["no_training"] is True
    assert "no_training" not in read_one("llamafactory", text + "learning_rate: 1.0e-4\n").facts


def test_ktransformers_keeps_the_experts_in_host_memory() -> None:
    text = "model_name_or_path: acme/P\nstage: sft\nfinetuning_type: lora\n"
    assert read_one("llamafactory", text + "use_kt: true\n").facts["host_experts"] is True
    assert read_one("llamafactory", text).facts["host_experts"] is False


def test_slips_and_old_names() -> None:
    reading = read_one("llamafactory", FLAT + "lora_dropuot: 0.1\ndpo_beta: 0.1\nevaluation_strategy: steps\n")
    issues = {issue.key: issue for issue in reading.key_issues}
    assert (issues["lora_dropuot"].suggestion, issues["lora_dropuot"].effect) == ("lora_dropout", "raises")
    assert (issues["dpo_beta"].kind, issues["dpo_beta"].suggestion) == ("renamed", "pref_beta")
    assert issues["evaluation_strategy"].framework == "transformers"
    assert len(issues) == 3


V1 = """\
model: acme/Pebble-4B
peft_config:
  name: lora
  r: 16
  target_modules: all
quant_config:
  name: bnb
  quantization_bit: 4
dist_config:
  name: fsdp2
train_dataset: data/my_sft.yaml
learning_rate: 1e-4
max_steps: 10
micro_batch_size: 2
global_batch_size: 16
"""


def test_v1_sections() -> None:
    reading = read_one("llamafactory", V1)
    plan = reading.plan
    assert (plan.method, plan.adapter.method, plan.adapter.r) == ("sft", "lora", 16)
    assert (plan.adapter.alpha, plan.adapter.dropout) == (16, 0.05)
    assert plan.adapter.target_modules == "all-linear"
    assert (plan.quantization.bits, plan.quantization.compute_dtype) == (4, "float16")
    assert (plan.distributed.strategy, plan.batch.global_batch_size, plan.batch.micro_batch_size) == ("fsdp2", 16, 2)
    assert (plan.schedule.max_steps, plan.schedule.name) == (10, "constant")
    assert at(reading, "adapter.r") == (4, 6)
    assert reading.key("adapter.alpha") == "peft_config.lora_alpha"
    assert reading.document.position(reading.span("adapter.alpha").start) == (3, 3)


def test_v1_without_an_adapter() -> None:
    reading = read_one("llamafactory", "model: acme/P\ntrain_dataset: d.yaml\ndist_config: {name: fsdp2}\n")
    assert (reading.plan.adapter.method, reading.plan.adapter.r) == ("none", None)


def test_not_llamafactory() -> None:
    assert not recognised("llamafactory", "model_name_or_path: acme/P\nuse_peft: true\nlora_r: 8\ndataset_name: d\n")
    assert not recognised("llamafactory", "model: {name: x}\npeft_config: {name: lora}\n")


COMMAND = """\
CUDA_VISIBLE_DEVICES=0 llamafactory-cli train \\
    --stage sft --do_train --model_name_or_path acme/P \\
    --dataset own --template pebble --finetuning_type lora --lora_target q_proj,v_proj \\
    --lora_rank 16 --learning_rate 5e-5 --quantization_bit 4 --fp16
"""


def test_command() -> None:
    reading = read_one("llamafactory", COMMAND, "train.sh")
    plan = reading.plan
    assert (plan.adapter.r, plan.adapter.alpha, plan.adapter.target_modules) == (16, 32, ("q_proj", "v_proj"))
    assert at(reading, "adapter.r") == (4, 17)
    assert (plan.optimizer.learning_rate, plan.quantization.bits, plan.quantization.compute_dtype) == (
        5e-5,
        4,
        "float16",
    )
    assert plan.method == "sft"


def test_another_projects_command_is_not_ours() -> None:
    text = "python train.py --model_name_or_path a --stage 2 --lora_rank 8 --per_device_train_batch_size 1\n"
    assert not recognised("llamafactory", text, "a.sh")
