import pytest

from tests.formats.reader import at, corpus, defaulted, derived, read_one, recognised

CONFIG = """\
architecture:
    backbone_dtype: int4
    gradient_checkpointing: true
dataset:
    mask_prompt_labels: true
    train_dataframe: data/train.pq
    validation_size: 0.1
    validation_strategy: automatic
environment:
    gpus: ['0', '1']
    mixed_precision: true
    mixed_precision_dtype: bfloat16
llm_backbone: h2oai/h2o-danube3-4b-base
problem_type: text_causal_language_modeling
tokenizer:
    max_length: 1024
training:
    batch_size: 4
    epochs: 2
    learning_rate: 0.0002
    lora: true
    lora_r: 16
    lora_target_modules: ''
    optimizer: AdamW8bit
    warmup_epochs: 0.1
"""


def test_an_experiment_gives_its_plan_with_places():
    reading = read_one("h2o-llmstudio", CONFIG)
    plan = reading.plan
    assert (plan.method, plan.model.task, plan.model.name) == ("sft", "causal_lm", "h2oai/h2o-danube3-4b-base")
    assert at(reading, "model.name") == (13, 15)
    assert (plan.adapter.method, plan.adapter.r, plan.adapter.alpha, plan.adapter.dropout) == ("lora", 16, 16, 0.05)
    assert at(reading, "adapter.r") == (22, 13)
    assert defaulted(reading, "adapter.alpha") == "h2o-llmstudio"
    assert plan.adapter.target_modules == "all-linear"
    assert (plan.quantization.bits, plan.quantization.quant_type, plan.quantization.compute_dtype) == (
        4, "nf4", "float16",
    )  # fmt: skip
    assert at(reading, "quantization.bits") == (2, 21)
    assert derived(reading, "quantization.double_quant")
    assert (plan.optimizer.name, plan.optimizer.learning_rate) == ("adamw_torch_8bit", 2e-4)
    assert (plan.schedule.name, plan.schedule.warmup_ratio) == ("cosine", 0.05)
    assert at(reading, "schedule.warmup_ratio") == (25, 20)
    assert (plan.data.max_length, plan.data.train_on_prompt, plan.data.val_size) == (1024, False, 0.1)
    assert (plan.distributed.devices, plan.distributed.strategy) == (2, "ddp")
    assert (plan.precision.bf16, plan.precision.fp16) == (True, False)


def test_an_unused_lora_section_is_no_mistake():
    reading = read_one("h2o-llmstudio", CONFIG.replace("lora: true", "lora: false"))
    assert reading.plan.adapter.method == "none"
    assert reading.lora_keys == {}


def test_targets_are_a_comma_separated_string():
    reading = read_one(
        "h2o-llmstudio", CONFIG.replace("lora_target_modules: ''", "lora_target_modules: q_proj, v_proj")
    )
    assert reading.plan.adapter.target_modules == ("q_proj", "v_proj")


@pytest.mark.parametrize(("dtype", "bits", "loaded"), [("int8", 8, None), ("bfloat16", 16, "bfloat16")])
def test_the_backbones_dtype_is_its_quantization(dtype, bits, loaded):
    plan = read_one("h2o-llmstudio", CONFIG.replace("int4", dtype)).plan
    assert (plan.quantization.bits, plan.model.dtype, plan.quantization.quant_type) == (bits, loaded, None)


def test_other_files_are_left_alone():
    assert not recognised("h2o-llmstudio", "problem_type: x\narchitecture: {}\n")


@pytest.mark.parametrize("path", corpus("h2o-llmstudio"), ids=lambda path: path.name)
def test_corpus_files_are_read_whole(path):
    reading = read_one("h2o-llmstudio", path.read_text(encoding="utf-8"), path.name)
    assert reading.plan.adapter.method == "lora"
    assert reading.plan.method in ("cls", "sft")
    assert reading.value_issues == []
