"""Launch scripts of projects on transformers' arguments, and what all shell formats share."""

from __future__ import annotations

import dataclasses

import pytest

from loraplan import formats
from loraplan.document import Mapping, Scalar
from loraplan.document.shell import parse
from loraplan.formats import shell_commands
from loraplan.plan import get
from tests.formats.scripts import run, runs, written

LLAVA = """\
#!/bin/bash
deepspeed --include localhost:0,1,2,3 llava/train/train_mem.py \\
    --lora_enable True --lora_r 128 --lora_alpha 256 --mm_projector_lr 2e-5 \\
    --deepspeed ./scripts/zero3.json \\
    --model_name_or_path acme/pebble-13b \\
    --bf16 True \\
    --num_train_epochs 1 \\
    --per_device_train_batch_size 16 \\
    --gradient_accumulation_steps 1 \\
    --learning_rate 2e-4 \\
    --weight_decay 0. \\
    --lr_scheduler_type "cosine" \\
    --model_max_length 2048 \\
    --gradient_checkpointing True
"""
QWEN = """\
GPUS=8
MODEL="acme/Pebble-7B" # the base
ARGS="--nproc_per_node $GPUS --nnodes 1"
torchrun $ARGS finetune.py --model_name_or_path $MODEL --data_path "$1" --fp16 True --num_train_epochs 5 \\
  --per_device_train_batch_size 2 --learning_rate 3e-4 --use_lora --q_lora --gradient_checkpointing
"""


def test_llava() -> None:
    reading = run(LLAVA, "run.sh")
    plan = reading.plan
    assert (reading.format, plan.adapter.method, plan.adapter.r, plan.adapter.alpha) == ("hf-args", "lora", 128, 256)
    assert (plan.distributed.devices, plan.distributed.strategy) == (4, "zero3")
    assert (plan.schedule.name, plan.batch.micro_batch_size, plan.optimizer.weight_decay) == ("cosine", 16, 0.0)
    assert written(reading, "adapter.alpha") == ("256", 3, 50)
    assert written(reading, "schedule.name") == ('"cosine"', 12, 25)


def test_qwen() -> None:
    reading = run(QWEN, "run.sh")
    plan = reading.plan
    assert (plan.model.name, plan.adapter.method, plan.distributed.devices) == ("acme/Pebble-7B", "lora", 8)
    assert (plan.precision.fp16, plan.precision.gradient_checkpointing) == (True, True)
    assert written(reading, "model.name") == ('"acme/Pebble-7B"', 2, 7)
    assert [(issue.kind, issue.field, issue.text) for issue in reading.value_issues] == [
        ("unresolved", "data.datasets", "$1")
    ]


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        (
            ("CUDA_VISIBLE_DEVICES=0,1 torchrun --nproc_per_node 2 supervised_finetuning.py --model_name_or_path m"
            " --per_device_train_batch_size 4 --num_train_epochs 1 --use_peft True --lora_rank 8 --lora_alpha 16"
            " --target_modules all --learning_rate 2e-5"),
            "hf-args",
            {"adapter.r": 8, "adapter.target_modules": "all-linear", "distributed.devices": 2},
        ),
        (
            ("torchrun --nnodes 1 --nproc_per_node 1 run_clm_sft_with_peft.py --model_name_or_path m"
            " --per_device_train_batch_size 1 --num_train_epochs 1 --lora_rank 64 --lora_alpha 128"
            " --trainable 'q_proj,v_proj' --modules_to_save embed_tokens,lm_head"),
            "hf-args",
            {"adapter.r": 64, "adapter.target_modules": ("q_proj", "v_proj"),
             "adapter.modules_to_save": ("embed_tokens", "lm_head")},
        ),
        (
            ("python qlora.py --model_name_or_path m --bits 4 --double_quant --quant_type nf4 --bf16 --lora_r 64"
            " --lora_alpha 16 --lora_modules all --per_device_train_batch_size 1 --max_steps 1875"),
            "hf-args",
            {"quantization.bits": 4, "quantization.double_quant": True, "quantization.quant_type": "nf4",
             "adapter.alpha": 16, "adapter.target_modules": "all-linear", "schedule.max_steps": 1875},
        ),
        (
            "trl sft --model_name_or_path m --dataset_name d --use_peft --lora-r 32 --learning_rate 2.0e-4",
            "trl",
            {"method": "sft", "adapter.method": "lora", "adapter.r": 32, "adapter.alpha": 32},
        ),
        (
            ("accelerate launch --num_processes 8 --config_file configs/deepspeed_zero3.yaml trl/scripts/dpo.py"
            " --model_name_or_path m --dataset_name d --use_peft --no_gradient_checkpointing"),
            "trl",
            {"method": "dpo", "distributed.devices": 8, "distributed.strategy": "zero3",
             "precision.gradient_checkpointing": False},
        ),
        (
            ("llamafactory-cli train --stage sft --model_name_or_path m --finetuning_type lora --lora_rank 16"
            " --dataset identity --template llama3 --learning_rate 1e-4"),
            "llamafactory",
            {"method": "sft", "adapter.r": 16, "adapter.alpha": 32, "adapter.target_modules": "all-linear"},
        ),
        (
            ("accelerate launch --mixed_precision bf16 open_instruct/finetune.py --model_name_or_path m --use_lora"
            " --lora_rank 64 --lora_alpha 16"),
            "open-instruct",
            {"method": "sft", "adapter.r": 64, "adapter.alpha": 16, "adapter.method": "lora"},
        ),
    ],
)  # fmt: skip
def test_launch_scripts(text: str, name: str, expected: dict[str, object]) -> None:
    reading = run(text, "run.sh")
    assert reading.format == name
    assert {field: get(reading.plan, field) for field in expected} == expected


def test_several_commands_are_several_runs() -> None:
    found = runs(
        "swift sft --model a --lora_rank 4\nswift rlhf --model b --lora_rank 8\npip install x --upgrade\n", "x.sh"
    )
    assert [(reading.plan.method, reading.plan.adapter.r, reading.name) for reading in found] == [
        ("sft", 4, "the command in line 1"), ("dpo", 8, "the command in line 2"),
    ]  # fmt: skip


def test_a_format_that_the_user_names() -> None:
    text = "mkdir -p out\npip install --upgrade x\npython my_train.py --lora_rank 4 --learning_rate 1e-4\n"
    (reading,) = formats.read(parse(text, "x.sh"), "ms-swift")
    assert (reading.format, reading.plan.adapter.r) == ("ms-swift", 4)
    (reading,) = formats.read(parse(text + "swift sft --model m --lora_rank 8\n", "x.sh"), "ms-swift")
    assert reading.plan.adapter.r == 8


@pytest.mark.parametrize(
    ("text", "file"),
    [
        ("accelerate launch -m axolotl.cli.train qlora.yml", "qlora.yml"),
        ("axolotl train $DIR/qlora.yml --debug", "$DIR/qlora.yml"),
        ("llamafactory-cli train examples/lora.yaml", "examples/lora.yaml"),
        ("tune run lora_finetune_single_device --config llama3/8B_lora.yaml", "llama3/8B_lora.yaml"),
        ("trl sft --config sft.yaml --output_dir x", "sft.yaml"),
    ],
)
def test_scripts_for_a_config_file(text: str, file: str) -> None:
    with pytest.raises(formats.NotAConfig) as caught:
        formats.read(parse(text, "run.sh"))
    assert caught.value.looks_like == f"a launch script for {file}; check that file"


def test_option_names() -> None:
    (root,) = parse("t --a-b 1 --no-packing --no_cuda --e.f.g 2", "x.sh").roots
    options = shell_commands.options(root)
    assert isinstance(options, Mapping)
    assert list(options.keys()) == ["a_b", "no_packing", "packing", "no_cuda", "e.f.g"]
    off = options.get("packing")
    assert isinstance(off, Scalar)
    assert (off.text, off.shared) == ("False", True)
    deep = shell_commands.nested(options).get("e")
    assert isinstance(deep, Mapping)
    assert isinstance(deep.get("f"), Mapping)


@pytest.mark.slow
def test_values_are_those_of_hf_argument_parser() -> None:
    transformers = pytest.importorskip("transformers")
    words = (
        "--output_dir out --per_device_train_batch_size 3 --learning_rate 3e-4 --bf16 --num_train_epochs 2"
        " --lr_scheduler_type cosine --warmup_steps 7 --weight_decay=0.1 --max_steps -1 --seed 7 --save_steps 0.25"
        " --max_grad_norm 0.3 --adam_beta2 .99 --tf32 False --learning_rate 1e-4"
    )
    wanted = {field.name for field in dataclasses.fields(transformers.TrainingArguments)}
    reading = run(f"python t.py --lora_r 8 --model_name_or_path m {words}", "run.sh")
    parser = transformers.HfArgumentParser(transformers.TrainingArguments)
    namespace = vars(super(type(parser), parser).parse_args([*words.replace("--bf16", "").split(), "--use_cpu"]))
    assert "learning_rate" in wanted
    for field, key in {
        "optimizer.learning_rate": "learning_rate", "batch.micro_batch_size": "per_device_train_batch_size",
        "schedule.epochs": "num_train_epochs", "schedule.name": "lr_scheduler_type",
        "schedule.warmup_steps": "warmup_steps", "optimizer.weight_decay": "weight_decay", "run.seed": "seed",
        "run.save_steps": "save_steps", "optimizer.max_grad_norm": "max_grad_norm", "optimizer.beta2": "adam_beta2",
        "precision.tf32": "tf32", "batch.eval_batch_size": "per_device_eval_batch_size",
        "batch.gradient_accumulation_steps": "gradient_accumulation_steps", "run.eval_strategy": "eval_strategy",
    }.items():  # fmt: skip
        theirs = namespace[key]
        assert get(reading.plan, field) == getattr(theirs, "value", theirs), field
