import pytest

from tests.formats.reader import at, corpus, defaulted, read_one, recognised

QLORA = """\
model_type: llm
base_model: meta-llama/Llama-3.1-8B
input_features:
  - name: instruction
    type: text
output_features:
  - name: output
    type: text
adapter:
  type: lora
  r: 16
  use_rslora: true
quantization:
  bits: 4
trainer:
  type: finetune
  learning_rate: 0.0001
  epochs: 3
  gradient_accumulation_steps: 8
  learning_rate_scheduler:
    warmup_fraction: 0.05
preprocessing:
  global_max_sequence_length: 512
backend:
  type: deepspeed
  zero_optimization:
    stage: 2
"""


def test_a_qlora_config_gives_its_plan_with_places():
    reading = read_one("ludwig", QLORA)
    plan = reading.plan
    assert (plan.method, plan.model.name) == ("sft", "meta-llama/Llama-3.1-8B")
    assert (plan.adapter.method, plan.adapter.r, plan.adapter.alpha) == ("lora", 16, 32)
    assert at(reading, "adapter.r") == (11, 6)
    assert defaulted(reading, "adapter.alpha") == "ludwig"
    assert (plan.adapter.dropout, plan.adapter.use_rslora, plan.adapter.target_modules) == (0.05, True, None)
    assert (plan.quantization.bits, plan.quantization.quant_type, plan.quantization.double_quant) == (4, "nf4", True)
    assert plan.quantization.compute_dtype == "float16"
    assert at(reading, "quantization.bits") == (14, 9)
    assert at(reading, "optimizer.learning_rate") == (17, 18)
    assert (plan.schedule.warmup_ratio, plan.schedule.name) == (0.05, "constant_with_warmup")
    assert (plan.batch.micro_batch_size, plan.batch.gradient_accumulation_steps) == (1, 8)
    assert plan.data.max_length == 512
    assert plan.distributed.strategy == "zero2"
    assert reading.key_issues == []


def test_an_adapter_may_be_one_word():
    text = QLORA.replace("adapter:\n  type: lora\n  r: 16\n  use_rslora: true\n", "adapter: lora\n")
    reading = read_one("ludwig", text)
    assert (reading.plan.adapter.method, reading.plan.adapter.r, reading.plan.adapter.alpha) == ("lora", 8, 16)
    assert at(reading, "adapter.method") == (9, 10)


def test_no_adapter_is_a_full_fine_tune():
    text = QLORA.replace("adapter:\n  type: lora\n  r: 16\n  use_rslora: true\n", "")
    reading = read_one("ludwig", text)
    assert (reading.plan.adapter.method, reading.plan.adapter.alpha) == ("none", None)


def test_another_adapter_is_named():
    reading = read_one("ludwig", QLORA.replace("type: lora\n  r: 16\n  use_rslora: true", "type: ia3"))
    assert reading.plan.adapter.method == "ia3"
    assert reading.plan.adapter.r is None


def test_eight_bits_have_no_four_bit_settings():
    plan = read_one("ludwig", QLORA.replace("bits: 4", "bits: 8")).plan
    assert (plan.quantization.bits, plan.quantization.quant_type) == (8, None)


def test_an_encoders_adapter_is_found():
    text = """\
input_features:
  - name: review
    type: text
    encoder:
      type: auto_transformer
      pretrained_model_name_or_path: bigscience/bloom-3b
      adapter: lora
output_features:
  - name: sentiment
    type: category
"""
    reading = read_one("ludwig", text)
    assert (reading.plan.model.name, reading.plan.adapter.method) == ("bigscience/bloom-3b", "lora")
    assert at(reading, "model.name") == (6, 38)
    assert at(reading, "adapter.method") == (7, 16)
    assert (reading.plan.adapter.r, reading.plan.adapter.alpha, reading.plan.adapter.dropout) == (8, 16, 0.05)
    assert defaulted(reading, "adapter.r") == "ludwig"
    text = text.replace("adapter: lora", "adapter: {type: lora, r: 4, dropout: 0.1}")
    reading = read_one("ludwig", text)
    assert (reading.plan.adapter.r, reading.plan.adapter.alpha, reading.plan.adapter.dropout) == (4, 8, 0.1)
    assert at(reading, "adapter.r") == (7, 32)


@pytest.mark.parametrize("text", ["model_type: llama\nhidden_size: 4\n", "input_features: a\n", "base_model: x\n"])
def test_other_files_are_left_alone(text):
    assert not recognised("ludwig", text)


@pytest.mark.parametrize("path", corpus("ludwig"), ids=lambda path: path.name)
def test_corpus_files_are_read_whole(path):
    reading = read_one("ludwig", path.read_text(encoding="utf-8"), path.name)
    assert reading.plan.adapter.method == "lora"
    assert reading.plan.model.name
    assert reading.plan.schedule.epochs in (1, 3)
    assert reading.value_issues == []


def test_auto_is_a_word_of_ludwigs():
    text = QLORA.replace("learning_rate: 0.0001", "learning_rate: auto").replace("epochs: 3", "batch_size: auto")
    reading = read_one("ludwig", text)
    assert reading.value_issues == []
    assert (reading.plan.optimizer.learning_rate, reading.plan.batch.micro_batch_size) == (None, None)
