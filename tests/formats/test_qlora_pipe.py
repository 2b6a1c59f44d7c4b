import pytest

from tests.formats.reader import at, corpus, defaulted, read_one, recognised

QLORA = """\
model = '/models/Llama-3.1-8B'
output_dir = 'out'
lora_rank = 64
lora_alpha = 32
layers_to_transform = '16:18,30:31'
epochs = 2
lr_scheduler = 'constant'
warmup_steps = 100
micro_batch_size_per_gpu = 1
pipeline_stages = 1
gradient_accumulation_steps = 4
model_weight_dtype = 'bfloat16'
activation_checkpointing = 'unsloth'

[quantization.bnb]
load_in_4bit = true
bnb_4bit_use_double_quant = false
bnb_4bit_compute_dtype = 'bfloat16'

[rl]
method = 'dpo'

[optimizer]
type = 'adamw_kahan'
lr = 5e-5
beta2 = 0.99

[[datasets]]
dataset_path = 'a.yml'
sequence_len = 2048

[[datasets]]
dataset_path = 'b.yml'
sequence_len = 4096
"""


def test_a_dpo_config_gives_its_plan_with_places():
    reading = read_one("qlora-pipe", QLORA, "config.toml")
    plan = reading.plan
    assert (plan.method, plan.model.name, plan.model.dtype) == ("dpo", "/models/Llama-3.1-8B", "bfloat16")
    assert (plan.adapter.method, plan.adapter.r, plan.adapter.alpha, plan.adapter.dropout) == ("lora", 64, 32, 0.0)
    assert at(reading, "adapter.r") == (3, 13)
    assert defaulted(reading, "adapter.target_modules") == "qlora-pipe"
    assert plan.adapter.target_modules == "all-linear"
    assert plan.adapter.layers_to_transform == (16, 17, 18, 30, 31)
    assert (plan.quantization.bits, plan.quantization.double_quant) == (4, False)
    assert plan.quantization.compute_dtype == "bfloat16"
    assert at(reading, "quantization.bits") == (16, 16)
    assert (plan.optimizer.name, plan.optimizer.learning_rate, plan.optimizer.beta2) == ("adamw_kahan", 5e-5, 0.99)
    assert at(reading, "optimizer.learning_rate") == (25, 6)
    assert (plan.schedule.name, plan.schedule.warmup_steps) == ("constant_with_warmup", 100)
    assert (plan.batch.micro_batch_size, plan.batch.gradient_accumulation_steps) == (1, 4)
    assert (plan.data.datasets, plan.data.max_length) == (("a.yml", "b.yml"), 4096)
    assert at(reading, "data.max_length") == (34, 16)
    assert (plan.precision.gradient_checkpointing, plan.precision.checkpointing_kind) == (True, "unsloth")


def test_a_full_fine_tune_has_no_adapter():
    text = "full_fine_tune = true\n" + QLORA.replace("lora_rank = 64\nlora_alpha = 32\n", "")
    plan = read_one("qlora-pipe", text, "config.toml").plan
    assert (plan.adapter.method, plan.adapter.target_modules, plan.adapter.dropout) == ("none", None, None)


@pytest.mark.parametrize("spec", ["0:999999999", "a:b", "5", ":", "9:3"])
def test_odd_layer_ranges_are_no_layers(spec):
    layers = read_one("qlora-pipe", QLORA.replace("16:18,30:31", spec), "config.toml").plan.adapter.layers_to_transform
    assert layers in (None, ())


@pytest.mark.parametrize("text", ["model = 'x'\n", "lora_rank = 8\npipeline_stages = 1\n", "[model]\nname = 'x'\n"])
def test_other_files_are_left_alone(text):
    assert not recognised("qlora-pipe", text, "config.toml")


@pytest.mark.parametrize("path", corpus("qlora-pipe-toml"), ids=lambda path: path.name)
def test_corpus_files_are_read_whole(path):
    reading = read_one("qlora-pipe", path.read_text(encoding="utf-8"), path.name)
    assert (reading.plan.adapter.r, reading.plan.adapter.alpha) == (64, 64)
    assert reading.plan.method == ("dpo" if "dpo" in path.name else "sft")
    assert reading.plan.data.max_length in (2048, 4096)
