import pytest

from tests.formats.reader import at, defaulted, derived, read_one, recognised

LORA = """\
model: unsloth/Qwen2.5-0.5B
data:
  dataset: tatsu-lab/alpaca
training:
  training_type: lora
  learning_rate: 2e-4
  batch_size: 4
  max_steps: 0
lora:
  lora_r: 32
  target_modules: "q_proj,k_proj"
  use_loftq: false
"""


def test_a_studio_config_gives_its_plan_with_places():
    reading = read_one("unsloth", LORA)
    plan = reading.plan
    assert (plan.model.name, plan.method) == ("unsloth/Qwen2.5-0.5B", "sft")
    assert (plan.adapter.method, plan.adapter.r, plan.adapter.alpha, plan.adapter.dropout) == ("lora", 32, 16, 0.0)
    assert at(reading, "adapter.r") == (10, 11)
    assert defaulted(reading, "adapter.alpha") == "unsloth"
    assert plan.adapter.target_modules == ("q_proj", "k_proj")
    assert (plan.quantization.bits, plan.quantization.quant_type) == (4, "nf4")
    assert defaulted(reading, "quantization.load_in_4bit") == "unsloth"
    assert derived(reading, "quantization.bits")
    assert plan.optimizer.learning_rate == 2e-4
    assert at(reading, "optimizer.learning_rate") == (6, 18)
    assert (plan.optimizer.name, plan.schedule.name, plan.schedule.warmup_steps) == ("adamw_8bit", "linear", 5)
    assert (plan.schedule.max_steps, plan.schedule.epochs) == (None, 3)
    assert (plan.batch.micro_batch_size, plan.batch.gradient_accumulation_steps) == (4, 4)
    assert (plan.precision.gradient_checkpointing, plan.precision.checkpointing_kind) == (True, "unsloth")
    assert (plan.data.datasets, plan.data.max_length) == (("tatsu-lab/alpaca",), 2048)
    assert reading.key_issues == []
    assert reading.value_issues == []  # pydantic turns '2e-4' into a number


def test_a_full_fine_tune_keeps_its_lora_section_unused():
    reading = read_one("unsloth", LORA.replace("training_type: lora", "training_type: full"))
    assert (reading.plan.adapter.method, reading.plan.adapter.alpha) == ("none", None)
    assert reading.plan.quantization.bits == 16
    assert reading.lora_keys == {}


@pytest.mark.parametrize(("value", "on"), [('"none"', False), ("true", True), ("false", False)])
def test_checkpointing_has_several_spellings(value, on):
    text = LORA.replace("  batch_size: 4", f"  batch_size: 4\n  gradient_checkpointing: {value}")
    plan = read_one("unsloth", text).plan
    assert (plan.precision.gradient_checkpointing, plan.precision.checkpointing_kind) == (on, None)


def test_a_list_of_targets_and_none():
    text = LORA.replace('"q_proj,k_proj"', "[o_proj]")
    assert read_one("unsloth", text).plan.adapter.target_modules == ("o_proj",)
    reading = read_one("unsloth", LORA.replace('"q_proj,k_proj"', '""'))
    assert len(reading.plan.adapter.target_modules) == 7
    assert defaulted(reading, "adapter.target_modules") == "unsloth"


def test_a_near_miss_is_an_unknown_key():
    (issue,) = read_one("unsloth", LORA.replace("  batch_size", "  batch_sizes")).key_issues
    assert (issue.key, issue.suggestion, issue.effect) == ("training.batch_sizes", "batch_size", "raises")


@pytest.mark.parametrize(
    "text", ["lora:\n  lora_r: 8\ntraining:\n  lr: 1\n", "lora:\n  r: 8\n", "training:\n  training_type: lora\n"]
)
def test_other_files_are_left_alone(text):
    assert not recognised("unsloth", text)


def test_the_studios_training_section_tells_a_file_without_targets():
    text = "lora:\n  lora_r: 16\ntraining:\n  learning_rate: 2e-4\n  gradient_checkpointing: {}\n"
    studio = text + "  train_on_completions: false\n"
    assert recognised("unsloth", studio.format('"unsloth"'))
    assert not recognised("unsloth", studio.format("true"))
    assert not recognised("unsloth", text.format('"unsloth"'))
