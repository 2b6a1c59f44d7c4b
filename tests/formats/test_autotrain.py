import pytest

from tests.formats.reader import at, corpus, defaulted, derived, read_one, recognised

SFT = """\
task: llm-sft
base_model: meta-llama/Meta-Llama-3-8B
project_name: llama3
backend: local
data:
  path: tatsu-lab/alpaca
  train_split: train
  valid_split: null
  chat_template: null
params:
  peft: true
  lora_r: 32
  lr: 1e-4
  epochs: 2
  mixed_precision: bf16
hub:
  token: ${HF_TOKEN}
  push_to_hub: true
"""


def test_an_sft_config_gives_its_plan_with_places():
    reading = read_one("autotrain", SFT)
    plan = reading.plan
    assert (plan.method, plan.model.name) == ("sft", "meta-llama/Meta-Llama-3-8B")
    assert at(reading, "method") == (1, 7)
    assert (plan.adapter.method, plan.adapter.r, plan.adapter.alpha, plan.adapter.dropout) == ("lora", 32, 32, 0.05)
    assert at(reading, "adapter.r") == (12, 11)
    assert defaulted(reading, "adapter.alpha") == "autotrain"
    assert plan.adapter.target_modules == "all-linear"
    assert (plan.quantization.bits, plan.quantization.quant_type, plan.quantization.double_quant) == (4, "nf4", False)
    assert defaulted(reading, "quantization.bits") == "autotrain"
    assert derived(reading, "quantization.compute_dtype")
    assert plan.optimizer.learning_rate == 1e-4
    assert at(reading, "optimizer.learning_rate") == (13, 7)
    assert (plan.schedule.name, plan.schedule.warmup_ratio, plan.schedule.epochs) == ("linear", 0.1, 2)
    assert (plan.batch.micro_batch_size, plan.batch.gradient_accumulation_steps) == (2, 4)
    assert (plan.data.max_length, plan.data.packing) == (1024, True)
    assert (plan.precision.bf16, plan.precision.gradient_checkpointing) == (True, True)
    assert (plan.run.push_to_hub, plan.run.hub_private_repo, plan.run.eval_strategy) == (True, True, "no")
    assert reading.value_issues == []  # pydantic turns '1e-4' into a number


def test_lora_is_off_by_default():
    reading = read_one("autotrain", SFT.replace("  peft: true\n", ""))
    assert reading.plan.adapter.method == "none"
    assert defaulted(reading, "adapter.method") == "autotrain"
    assert reading.plan.quantization.bits == 16
    assert list(reading.lora_keys) == ["params.lora_r"]
    assert reading.switch == "params.peft: true"


def test_a_null_quantization_is_none():
    reading = read_one("autotrain", SFT.replace("  lora_r: 32", "  lora_r: 32\n  quantization: null"))
    assert reading.plan.quantization.bits == 16
    assert reading.plan.quantization.quant_type is None


def test_targets_are_a_comma_separated_string():
    reading = read_one("autotrain", SFT.replace("  lora_r: 32", "  lora_r: 32\n  target_modules: q_proj,v_proj"))
    assert reading.plan.adapter.target_modules == ("q_proj", "v_proj")


@pytest.mark.parametrize(("task", "method"), [("llm-orpo", "orpo"), ("llm-dpo", "dpo"), ("llm", None)])
def test_the_task_tells_the_method(task, method):
    assert read_one("autotrain", SFT.replace("llm-sft", task)).plan.method == method


def test_an_unknown_parameter_is_ignored_by_autotrain():
    (issue,) = read_one("autotrain", SFT.replace("lora_r:", "lora_rr:")).key_issues
    assert (issue.key, issue.suggestion, issue.effect) == ("params.lora_rr", "lora_r", "ignored")


@pytest.mark.parametrize(
    "text", ["task: text-classification\nbase_model: x\n", "task: llm\n", "base_model: x\ntask: {a: b}\n"]
)
def test_other_files_are_left_alone(text):
    assert not recognised("autotrain", text)


@pytest.mark.parametrize("path", corpus("autotrain"), ids=lambda path: path.name)
def test_corpus_files_are_read_whole(path):
    reading = read_one("autotrain", path.read_text(encoding="utf-8"), path.name)
    assert reading.plan.adapter.method == "lora"
    assert reading.plan.adapter.target_modules == "all-linear"
    assert reading.plan.method in path.name or reading.plan.method == "sft"
    assert reading.plan.data.datasets
    assert reading.key_issues == []
