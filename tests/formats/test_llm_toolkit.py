"""The LLM Finetuning Toolkit's YAML."""

from __future__ import annotations

from loraplan import formats
from loraplan.document.read import read as read_document
from tests.formats.reader import at, check_origins, defaulted, read_one, recognised

CONFIG = """\
ablation:
  use_ablate: false
data:
  path: acme/questions
model:
  hf_model_ckpt: acme/Pebble-7B
  quantize: true
  bitsandbytes:
    load_in_4bit: true
lora:
  r: 32
  target_modules: [q_proj, v_proj]
training:
  training_args:
    learning_rate: 2.0e-4
  sft_args:
    max_seq_length: 2048
"""


def test_values_and_defaults() -> None:
    reading = read_one("llm-toolkit", CONFIG)
    plan = reading.plan
    assert (plan.adapter.r, plan.adapter.alpha, plan.adapter.dropout) == (32, 16, 0.1)
    assert (at(reading, "adapter.r"), defaulted(reading, "adapter.alpha")) == ((11, 6), "llm-toolkit")
    assert plan.adapter.target_modules == ("q_proj", "v_proj")
    assert (plan.quantization.bits, plan.quantization.quant_type, plan.quantization.double_quant) == (4, "nf4", True)
    assert (plan.schedule.name, plan.schedule.warmup_ratio) == ("constant", 0.03)
    assert (plan.data.max_length, plan.precision.gradient_checkpointing) == (2048, True)


def test_quantize_off_drops_the_section() -> None:
    assert read_one("llm-toolkit", CONFIG.replace("quantize: true", "quantize: false")).plan.quantization.bits is None


def test_a_grid_is_several_runs() -> None:
    text = CONFIG.replace("r: 32", "r: [16, 32]").replace("[q_proj, v_proj]", "[[q_proj], [q_proj, v_proj]]")
    document = read_document("c.yml", text)
    readings = formats.read(document, "llm-toolkit")
    for reading in readings:
        check_origins(reading)
    found = [(reading.plan.adapter.r, reading.plan.adapter.target_modules) for reading in readings]
    assert found == [
        (16, ("q_proj",)),
        (16, ("q_proj", "v_proj")),
        (32, ("q_proj",)),
        (32, ("q_proj", "v_proj")),
    ]
    assert readings[0].name == "lora.r=16, lora.target_modules=[q_proj]"
    assert at(readings[2], "adapter.r") == (11, 11)


def test_a_huge_grid_is_cut() -> None:
    numbers = ", ".join(map(str, range(1, 200)))
    readings = formats.read(read_document("c.yml", CONFIG.replace("r: 32", f"r: [{numbers}]")), "llm-toolkit")
    assert [reading.plan.adapter.r for reading in readings] == list(range(1, 17))


def test_not_llm_toolkit() -> None:
    assert not recognised("llm-toolkit", "model:\n  name: a\nlora:\n  r: 8\n")
