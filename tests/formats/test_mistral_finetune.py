import pytest

from tests.formats.reader import at, defaulted, read_one, recognised

LORA = """\
data:
  instruct_data: /data/ultrachat.jsonl
  eval_instruct_data: ""
model_id_or_path: /models/mistral_7B_v3
lora:
  rank: 64
seq_len: 32768
batch_size: 1
num_microbatches: 8
max_steps: 300
optim:
  lr: 6e-5
  weight_decay: 0.1
seed: 0
ckpt_freq: 100
run_dir: /runs/one
"""


def test_a_lora_config_gives_its_plan_with_places():
    reading = read_one("mistral-finetune", LORA)
    plan = reading.plan
    assert plan.model.name == "/models/mistral_7B_v3"
    assert (plan.adapter.method, plan.adapter.r, plan.adapter.scaling, plan.adapter.alpha) == ("lora", 64, 2.0, None)
    assert at(reading, "adapter.r") == (6, 9)
    assert defaulted(reading, "adapter.scaling") == "mistral-finetune"
    assert plan.adapter.target_modules == "all-linear"
    assert plan.optimizer.learning_rate == 6e-5
    assert at(reading, "optimizer.learning_rate") == (12, 7)
    assert (plan.schedule.name, plan.schedule.warmup_ratio, plan.schedule.max_steps) == ("cosine", 0.05, 300)
    assert (plan.batch.micro_batch_size, plan.batch.gradient_accumulation_steps) == (1, 8)
    assert (plan.data.datasets, plan.data.max_length) == (("/data/ultrachat.jsonl",), 32768)
    assert plan.precision.gradient_checkpointing is True
    assert (plan.run.save_steps, plan.run.eval_steps) == (100, None)


def test_lora_can_be_switched_off():
    reading = read_one("mistral-finetune", LORA.replace("rank: 64", "rank: 64\n  enable: false"))
    assert reading.plan.adapter.method == "none"
    assert reading.plan.adapter.scaling is None
    assert list(reading.lora_keys) == ["lora.rank"]


@pytest.mark.parametrize("text", ["model_id_or_path: x\n", "lora:\n  rank: 4\n", "num_microbatches: 2\n"])
def test_other_files_are_left_alone(text):
    assert not recognised("mistral-finetune", text)
