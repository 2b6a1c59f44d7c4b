import pytest

from loraplan import formats
from loraplan.context import Facts, Inputs
from loraplan.document.read import read as read_document
from tests.formats.reader import at, corpus, defaulted, read_one, recognised

LORA = """\
model: mlx-community/Mistral-7B-Instruct-v0.3-4bit
train: true
data: data/
num_layers: 8
batch_size: 2
iters: 600
grad_accumulation_steps: 4
learning_rate: 1e-5
grad_checkpoint: true
mask_prompt: true
lora_parameters:
  keys: [self_attn.q_proj, self_attn.v_proj]
  rank: 16
  scale: 10.0
  dropout: 0.05
lr_schedule:
  name: cosine_decay
  warmup: 20
  arguments: [2e-5, 150, 1e-7]
"""


def test_a_lora_config_gives_its_plan_with_places():
    reading = read_one("mlx-lm", LORA)
    plan = reading.plan
    assert plan.model.name == "mlx-community/Mistral-7B-Instruct-v0.3-4bit"
    assert (plan.adapter.method, plan.adapter.r, plan.adapter.scaling, plan.adapter.alpha) == ("lora", 16, 10.0, None)
    assert defaulted(reading, "adapter.method") == "mlx-lm"
    assert at(reading, "adapter.scaling") == (14, 10)
    assert plan.adapter.target_modules == ("self_attn.q_proj", "self_attn.v_proj")
    assert reading.facts["last_layers"] == 8
    assert plan.adapter.layers_to_transform is None
    assert (plan.quantization.bits, plan.quantization.method) == (4, "mlx")
    assert at(reading, "quantization.bits") == (1, 8)
    assert plan.optimizer.learning_rate == 2e-5
    assert at(reading, "optimizer.learning_rate") == (19, 14)
    assert defaulted(reading, "optimizer.name") == "mlx-lm"
    assert (plan.schedule.name, plan.schedule.warmup_steps, plan.schedule.max_steps) == ("cosine", 20, 150)
    assert (plan.batch.micro_batch_size, plan.batch.gradient_accumulation_steps) == (2, 4)
    assert (plan.data.train_on_prompt, plan.data.max_length) == (False, 2048)
    assert plan.precision.gradient_checkpointing is True
    assert reading.value_issues == []


def test_everything_left_out_is_mlx_lms_default():
    reading = read_one("mlx-lm", "model: Qwen/Qwen3-0.6B\niters: 100\nadapter_path: out\n")
    plan = reading.plan
    assert (plan.adapter.r, plan.adapter.scaling, plan.adapter.dropout) == (8, 20.0, 0.0)
    assert defaulted(reading, "adapter.scaling") == "mlx-lm"
    assert plan.adapter.target_modules == "all-linear"
    assert reading.facts["last_layers"] == 16
    assert (plan.optimizer.learning_rate, plan.schedule.name, plan.schedule.warmup_steps) == (1e-5, "constant", 0)
    assert plan.schedule.max_steps == 100
    assert plan.quantization.bits is None


def test_a_written_section_is_not_filled_in():
    reading = read_one("mlx-lm", "model: x\niters: 100\nlora_parameters:\n  rank: 4\n  alpha: 8\n")
    assert (reading.plan.adapter.r, reading.plan.adapter.scaling, reading.plan.adapter.alpha) == (4, None, None)


def test_all_layers_is_minus_one():
    assert read_one("mlx-lm", LORA.replace("num_layers: 8", "num_layers: -1")).facts["last_layers"] is None


@pytest.mark.parametrize(("kind", "method", "dora"), [("dora", "lora", True), ("full", "none", None)])
def test_the_type_of_fine_tuning(kind, method, dora):
    reading = read_one("mlx-lm", f"fine_tune_type: {kind}\n{LORA}")
    assert (reading.plan.adapter.method, reading.plan.adapter.use_dora) == (method, dora)
    assert bool(reading.lora_keys) == (kind == "dora")


@pytest.mark.parametrize("text", ["num_layers: 2\nhidden: 4\n", "model:\n  name: x\nlora_parameters: {}\n", "[]\n"])
def test_other_files_are_left_alone(text):
    assert not recognised("mlx-lm", text)


@pytest.mark.parametrize("path", corpus("mlx-lm"), ids=lambda path: path.name)
def test_corpus_files_are_read_whole(path):
    reading = read_one("mlx-lm", path.read_text(encoding="utf-8"), path.name)
    assert (reading.plan.adapter.r, reading.plan.adapter.scaling) == (8, 20.0)
    assert reading.plan.optimizer.learning_rate == 1e-5


def test_the_config_that_mlx_lm_saves_beside_an_adapter():
    text = """\
{
  "model": "mlx-community/Llama-3.2-1B-Instruct-4bit",
  "fine_tune_type": "lora",
  "num_layers": 4,
  "iters": 100,
  "learning_rate": 2e-05,
  "lora_parameters": {"rank": 8, "dropout": 0.0, "scale": 20.0}
}
"""
    document = read_document("adapter_config.json", text)
    assert formats.detect(document, document.roots[0]) == ("mlx-lm", "lora_parameters")
    reading = read_one("mlx-lm", text, "adapter_config.json")
    assert (reading.plan.adapter.scaling, reading.plan.optimizer.learning_rate) == (20.0, 2e-5)
    assert at(reading, "optimizer.learning_rate") == (6, 20)


@pytest.mark.parametrize(("layers", "parameters"), [(8, 720_896), (-1, 2_523_136), (40, 2_523_136)])
def test_only_the_last_blocks_are_counted(layers, parameters):
    """Qwen2.5-7B: 28 blocks of 8 * (3584 + 3584) + 8 * (3584 + 512) parameters on q and v."""
    text = (
        f"model: Qwen/Qwen2.5-7B-Instruct\niters: 100\nnum_layers: {layers}\n"
        "lora_parameters: {keys: [self_attn.q_proj, self_attn.v_proj], rank: 8, scale: 20.0, dropout: 0.0}\n"
    )
    reading = read_one("mlx-lm", text)
    matched = Facts(reading, Inputs(), {}, lambda _: None).matched()
    assert matched.parameters(reading.plan.adapter) == parameters
