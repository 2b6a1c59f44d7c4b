"""OpenRLHF's launch scripts, in both spellings of its options."""

from __future__ import annotations

import pytest

from loraplan import formats
from loraplan.document.shell import parse
from loraplan.origin import Default
from tests.formats.scripts import run, written

FLAT = """\
deepspeed --module openrlhf.cli.train_sft \\
   --pretrain acme/Pebble-8B \\
   --dataset acme/chat --max_len 4096 \\
   --train_batch_size 256 --micro_train_batch_size 2 \\
   --zero_stage 3 --bf16 --learning_rate 5e-5 --max_epochs 1 \\
   --adam_betas 0.9 0.98 --packing_samples --load_in_4bit \\
   --lora_rank 32 --target_modules q_proj v_proj
"""
DOTTED = """\
ray job submit --address="http://127.0.0.1:8265" --runtime-env-json='{"working_dir": "/x"}' -- \\
   python3 -m openrlhf.cli.train_ppo_ray \\
   --actor.model_name_or_path acme/Pebble-8B --ds.lora.rank 16 --ds.lora.alpha 32 \\
   --train.batch_size 64 --train.micro_batch_size 2 --ds.zero_stage 3
"""


def test_flat() -> None:
    reading = run(FLAT, "run.sh")
    plan = reading.plan
    assert (reading.format, plan.method, plan.model.name) == ("openrlhf", "sft", "acme/Pebble-8B")
    assert (plan.adapter.method, plan.adapter.r, plan.adapter.alpha) == ("lora", 32, 16)
    assert (plan.adapter.target_modules, plan.quantization.bits) == (("q_proj", "v_proj"), 4)
    assert (plan.quantization.quant_type, plan.quantization.compute_dtype) == ("nf4", "bfloat16")
    assert (plan.batch.micro_batch_size, plan.batch.global_batch_size, plan.data.max_length) == (2, 256, 4096)
    assert (plan.optimizer.beta1, plan.optimizer.beta2, plan.schedule.warmup_ratio) == (0.9, 0.98, 0.03)
    assert (plan.distributed.strategy, plan.data.packing, plan.precision.bf16) == ("zero3", True, True)
    assert written(reading, "adapter.r") == ("32", 7, 16)
    alpha = reading.origins["adapter.alpha"]
    assert isinstance(alpha, Default)
    assert (alpha.key, alpha.source) == ("lora_alpha", "openrlhf/cli/train_sft.py@0.9.10")
    assert reading.key_issues == []


def test_scripts_beside_the_examples_in_a_here_document() -> None:
    text = """\
read -r -d '' training_commands <<EOF
../train_sft.py \\
    --pretrain acme/Pebble-8B \\
    --save_path ./ckpt/pebble\\
    --micro_train_batch_size 4 --zero_stage 3 --bf16 \\
    --learning_rate 5e-6 --lora_rank 64 --lora_alpha 16
EOF

if [[ ${1} != "slurm" ]]; then
    deepspeed $training_commands
fi
"""
    reading = run(text, "run.sh")
    plan = reading.plan
    assert (reading.format, plan.method, plan.model.name) == ("openrlhf", "sft", "acme/Pebble-8B")
    assert (plan.adapter.r, plan.adapter.alpha, plan.batch.micro_batch_size) == (64, 16, 4)
    assert written(reading, "adapter.r") == ("64", 6, 38)
    with pytest.raises(formats.NotAConfig):
        formats.read(parse("python train_sft.py --data x", "x.sh"))


def test_dotted() -> None:
    reading = run(DOTTED, "run.sh")
    plan = reading.plan
    assert (plan.method, plan.model.name, plan.adapter.r, plan.adapter.alpha) == ("ppo", "acme/Pebble-8B", 16, 32)
    assert written(reading, "adapter.r") == ("16", 3, 61)
    assert reading.key("adapter.r") == "ds.lora.rank"
    assert (plan.batch.global_batch_size, plan.distributed.strategy) == (64, "zero3")
    assert (plan.optimizer.learning_rate, plan.data.max_length) == (None, 2048)


def test_lora_is_off_without_a_rank() -> None:
    reading = run("python -m openrlhf.cli.train_dpo --model.model_name_or_path m --ds.lora.rank 0", "run.sh")
    assert (reading.plan.method, reading.plan.adapter.method, reading.plan.adapter.r) == ("dpo", "none", None)
    assert (reading.plan.optimizer.learning_rate, reading.plan.data.max_length) == (1e-5, 512)
    assert run("deepspeed openrlhf/cli/train_rm.py --pretrain m", "run.sh").plan.adapter.method == "none"


def test_flat_options_under_a_stated_version() -> None:
    found = formats.read(parse(FLAT, "run.sh"), versions={"openrlhf": "0.11.2"})
    assert ("lora_rank", "ds.lora.rank") in [(issue.key, issue.suggestion) for issue in found[0].key_issues]


@pytest.mark.parametrize("text", ["python -m openrlhf.cli.lora_combiner --model_path x", "python train_sft.py --x 1"])
def test_not_ours(text: str) -> None:
    with pytest.raises(formats.NotAConfig):
        formats.read(parse(text, "run.sh"))
