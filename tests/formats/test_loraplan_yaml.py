import json
from importlib.resources import files

import jsonschema
import pytest
import yaml

from loraplan import formats
from loraplan.document.read import read as read_document
from loraplan.formats.table import load_table
from loraplan.plan import field_names
from loraplan.schema import plan_schema
from tests.formats.reader import at, corpus_rows, read_one, recognised

CONFIG = """\
loraplan: 1
method: sft
model:
  name: Qwen/Qwen2.5-7B
adapter:
  r: 16
  alpha: 32
  target_modules: [q_proj, v_proj]
  rank_pattern: {q_proj: 8}
quantization:
  load_in_4bit: true
optimizer:
  learning_rate: 2e-4
"""
OURS = {
    "autotrain": "autotrain",
    "h2o-llmstudio": "h2o-llmstudio",
    "litgpt": "litgpt",
    "ludwig": "ludwig",
    "mlx-lm": "mlx-lm",
    "nemo-automodel": "nemo-automodel",
    "oumi": "oumi",
    "qlora-pipe-toml": "qlora-pipe",
    "torchtune": "torchtune",
}


def test_the_plans_own_names_give_the_plan():
    reading = read_one("loraplan", CONFIG)
    plan = reading.plan
    assert (plan.method, plan.model.name) == ("sft", "Qwen/Qwen2.5-7B")
    assert (plan.adapter.method, plan.adapter.r, plan.adapter.alpha) == ("lora", 16, 32)
    assert at(reading, "adapter.alpha") == (7, 10)
    assert plan.adapter.rank_pattern == {"q_proj": 8}
    assert plan.quantization.bits == 4
    assert plan.optimizer.learning_rate == 2e-4
    assert plan.schedule.epochs is None
    assert reading.key_issues == []
    assert reading.value_issues == []


def test_its_sections_alone_are_enough():
    assert recognised("loraplan", CONFIG.replace("loraplan: 1\n", ""))
    assert not recognised("loraplan", "model:\n  name: x\nadapter:\n  lora_r: 8\n")
    assert not recognised("loraplan", "model:\n  name: x\ntraining:\n  lr: 1\n")
    assert not recognised("loraplan", "method: sft\n")


def test_an_unknown_field_is_refused_where_it_stands():
    (issue,) = read_one("loraplan", CONFIG.replace("  alpha", "  alpa")).key_issues
    assert (issue.key, issue.suggestion, issue.effect) == ("adapter.alpa", "alpha", "raises")


def test_the_table_has_every_field_of_the_plan():
    assert {row["field"] for row in load_table("loraplan")["keys"]} == field_names()


def test_the_published_schema_is_the_generated_one():
    published = json.loads(files("loraplan.schema").joinpath("loraplan.schema.json").read_text(encoding="utf-8"))
    assert published == plan_schema(), "python -m loraplan.schema > loraplan/schema/loraplan.schema.json"


def test_the_schema_accepts_a_config_and_refuses_a_typing_slip():
    config = yaml.safe_load(CONFIG.replace("2e-4", "2.0e-4"))
    jsonschema.validate(config, plan_schema())
    config["adapter"]["alpa"] = config["adapter"].pop("alpha")
    with pytest.raises(jsonschema.ValidationError, match="alpa"):
        jsonschema.validate(config, plan_schema())


def test_each_corpus_file_is_claimed_by_its_own_format_only():
    formats_here = [name for name in formats.FORMATS if name in OURS.values()]
    counted = 0
    for folder, path in corpus_rows():
        document = read_document(str(path))
        claims = [
            name
            for name in [*formats_here, "loraplan", "mistral-finetune", "unsloth"]
            if document.syntax in formats.FORMATS[name][1]
            and any(formats.load(name).detect(root, document) for root in document.roots)
        ]
        assert claims == ([OURS[folder]] if folder in OURS else []), path.name
        counted += folder in OURS
    assert counted == 62


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("loraplan.toml", 'loraplan = 1\n[model]\nname = "a/b"\n[adapter]\nr = 8\nalpha = 16\n'),
        ("loraplan.json", '{"loraplan": 1, "model": {"name": "a/b"}, "adapter": {"r": 8, "alpha": 16}}'),
    ],
)
def test_it_may_be_toml_or_json(path, text):
    plan = read_one("loraplan", text, path).plan
    assert (plan.model.name, plan.adapter.method, plan.adapter.r, plan.adapter.alpha) == ("a/b", "lora", 8, 16)
