"""Hand-rolled configs."""

from __future__ import annotations

import pytest

from loraplan import formats
from loraplan.document.read import read as read_document
from loraplan.formats.reading import Reading
from tests.formats.reader import at, check_origins, defaulted, derived, read_one, recognised

NESTED = """\
name: my project
model:
  name: acme/Pebble-7B
  torch_dtype: bfloat16
lora:
  rank: 16
  alpha: 32
  targets: [q_proj, v_proj]
bnb_config:
  load_in_4bit: true
  bnb_4bit_quant_type: nf4
training:
  lr: 2e-4
  batch_size: 4
  epochs: 3
  gradient_checkpointing: unsloth
data:
  train_file: mine.jsonl
  max_length: 1024
  preprocessing:
    max_length: 9999
inference:
  max_length: 77
  temperature: 0.7
hardware:
  mixed_precision: bf16
"""


def test_sections_and_aliases() -> None:
    reading = read_one("custom", NESTED)
    plan = reading.plan
    assert reading.hand_rolled
    assert (plan.model.name, plan.model.dtype) == ("acme/Pebble-7B", "bfloat16")
    assert (plan.adapter.r, plan.adapter.alpha, plan.adapter.target_modules) == (16, 32, ("q_proj", "v_proj"))
    assert at(reading, "adapter.r") == (6, 9)
    assert (plan.adapter.method, derived(reading, "adapter.method")) == ("lora", True)
    assert (plan.optimizer.learning_rate, plan.batch.micro_batch_size, plan.schedule.epochs) == (2e-4, 4, 3)
    assert (plan.precision.gradient_checkpointing, plan.precision.checkpointing_kind) == (True, "unsloth")
    assert (plan.precision.bf16, at(reading, "precision.bf16")) == (True, (26, 20))
    assert (plan.data.max_length, plan.data.datasets) == (1024, ("mine.jsonl",))
    assert reading.key("adapter.alpha") == "lora.alpha"
    assert reading.key_issues == []


def test_no_defaults_but_those_of_bitsandbytes() -> None:
    reading = read_one("custom", NESTED)
    assert reading.plan.adapter.dropout is None
    assert reading.plan.schedule.warmup_steps is None
    quantization = reading.plan.quantization
    assert (quantization.bits, quantization.quant_type) == (4, "nf4")
    assert (quantization.compute_dtype, quantization.double_quant) == ("float32", False)
    assert defaulted(reading, "quantization.compute_dtype") == "transformers"
    assert reading.facts["bnb_section"] == "bnb_config"


def test_a_bare_switch_is_no_such_section() -> None:
    reading = read_one("custom", "lora: {r: 8, lora_alpha: 16}\nquantization: {load_in_4bit: true}\n")
    assert (reading.plan.quantization.bits, reading.plan.quantization.quant_type) == (4, None)
    assert "bnb_section" not in reading.facts


def test_a_number_that_pyyaml_reads_as_text_may_work() -> None:
    (issue,) = read_one("custom", NESTED).value_issues
    assert (issue.field, issue.text, issue.effect) == ("optimizer.learning_rate", "2e-4", "works")


FLAT = """\
method: qlora
base_model: pebble
model_name_or_path: acme/Pebble-3B
batch_size: 1
learning_rate: 3.0e-4
num_epochs: 3
quantize: true
bnb_4bit_quant_type: fp4
lora_r: 16
lora_alpha: 32
target_modules:
  - q_proj
"""


def test_flat() -> None:
    plan = read_one("custom", FLAT).plan
    assert plan.model.name == "acme/Pebble-3B"
    assert (plan.adapter.method, plan.adapter.r, plan.adapter.target_modules) == ("lora", 16, ("q_proj",))
    assert (plan.quantization.bits, plan.quantization.quant_type) == (4, "fp4")
    assert (plan.batch.micro_batch_size, plan.schedule.epochs) == (1, 3)


SCENARIOS = """\
scenarios:
  - name: full
    arguments:
      learning_rate: 2.0e-5
      model_name_or_path: [acme/A, acme/B]
  - name: lora
    arguments:
      learning_rate: 2.0e-4
      r: 16
      lora_alpha: 16
      target_modules: [q_proj]
      model_name_or_path: acme/A
"""


def _all(text: str, path: str = "c.yaml") -> list[Reading]:
    readings = formats.read(read_document(path, text), "custom")
    for reading in readings:
        check_origins(reading)
    return readings


def test_scenarios_are_runs() -> None:
    readings = _all(SCENARIOS)
    assert [reading.name for reading in readings] == ["full: acme/A", "full: acme/B", "lora"]
    assert [reading.plan.model.name for reading in readings] == ["acme/A", "acme/B", "acme/A"]
    assert [reading.plan.adapter.r for reading in readings] == [None, None, 16]
    assert at(readings[2], "adapter.r") == (9, 10)
    explicit = readings[2].explicit("adapter.r")
    assert explicit is not None
    assert explicit.key_path == ("scenarios", 1, "arguments", "r")
    assert recognised("custom", SCENARIOS)


@pytest.mark.parametrize(("path", "text"), [
    ("c.toml", "[model]\nname = 'acme/P'\n[lora]\nr = 8\nlora_alpha = 16\n[training]\nlearning_rate = 2e-4\n"),
    ("c.json", '{"model": {"name": "a/P"}, "lora": {"r": 8, "lora_alpha": 16}, "training": {"learning_rate": 2e-4}}'),
])  # fmt: skip
def test_other_syntaxes(path: str, text: str) -> None:
    reading = read_one("custom", text, path)
    assert (reading.plan.adapter.alpha, reading.plan.optimizer.learning_rate) == (16, 2e-4)
    assert reading.value_issues == []


@pytest.mark.parametrize(
    "text",
    [
        "services:\n  lora:\n    r: 8\n    image: x\n",
        "lora_alpha: {value: 16}\nlr: {value: 1}\nr: {value: 8}\n",
        "lora: true\nmodel: x\n",
        "- lora_alpha: 16\n",
        "server:\n  port: 1\n  lora_modules: [a]\n",
    ],
)
def test_not_a_config(text: str) -> None:
    assert not recognised("custom", text)


def test_hostile_depth_and_width() -> None:
    deep = "lora:\n  r: 8\n  lora_alpha: 16\nx: " + "{a: " * 30 + "1" + "}" * 30 + "\n"
    assert read_one("custom", deep).plan.adapter.r == 8


@pytest.mark.parametrize(
    ("lines", "method", "targets"),
    [
        ("  enabled: false\n", "none", None),
        ("  enabled: true\n", "lora", None),
        ("  target_modules: q_proj, v_proj\n", "lora", ("q_proj", "v_proj")),
        ("  target_modules: all-linear\n", "lora", "all-linear"),
        ('  target_modules: ".*\\\\.(q|v)_proj"\n', "lora", ".*\\.(q|v)_proj"),
    ],
)
def test_switch_and_targets_of_a_section(lines: str, method: str, targets: object) -> None:
    plan = read_one("custom", f"lora:\n  r: 8\n  lora_alpha: 16\n{lines}").plan
    assert (plan.adapter.method, plan.adapter.target_modules) == (method, targets)


def test_rank_0_is_no_adapter_in_verl() -> None:
    text = "actor_rollout_ref:\n  model:\n    path: a/b\n    lora_rank: 0\n    lora_alpha: 16\n"
    plan = read_one("custom", text).plan
    assert (plan.adapter.method, plan.adapter.r) == ("none", None)
    assert read_one("custom", text.replace("rank: 0", "rank: 8")).plan.adapter.r == 8
    assert read_one("custom", "lora_rank: 0\nlora_alpha: 16\n").plan.adapter.r == 0
