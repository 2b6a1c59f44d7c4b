"""PEFT's adapter_config.json."""

from __future__ import annotations

from tests.formats.reader import at, defaulted, read_one, recognised

CONFIG = """\
{
  "peft_type": "LORA",
  "task_type": "SEQ_CLS",
  "base_model_name_or_path": "acme/Pebble-7B",
  "r": 64,
  "target_modules": ["q_proj", "v_proj"],
  "modules_to_save": ["score"],
  "rank_pattern": {"q_proj": 32},
  "loftq_config": {},
  "bias": "lora_only"
}
"""


def test_values_and_defaults() -> None:
    reading = read_one("peft", CONFIG, "adapter_config.json")
    adapter = reading.plan.adapter
    assert (adapter.method, adapter.r, adapter.bias) == ("lora", 64, "lora_only")
    assert adapter.target_modules == ("q_proj", "v_proj")
    assert (adapter.modules_to_save, adapter.rank_pattern) == (("score",), {"q_proj": 32})
    assert (reading.plan.model.name, reading.plan.model.task) == ("acme/Pebble-7B", "sequence_classification")
    assert at(reading, "adapter.r") == (5, 8)
    assert (adapter.alpha, adapter.dropout, adapter.init) == (8, 0.0, "true")
    assert defaulted(reading, "adapter.alpha") == "peft"
    assert adapter.loftq_config is None
    assert reading.plan.optimizer.learning_rate is None
    assert reading.facts == {"trained_adapter": True}


def test_another_method_has_no_lora_defaults() -> None:
    reading = read_one("peft", '{"peft_type": "IA3", "target_modules": ["k_proj"]}', "adapter_config.json")
    assert (reading.plan.adapter.method, reading.plan.adapter.r) == ("ia3", None)


def test_a_misspelt_field_is_ignored_and_an_own_note_is_no_issue() -> None:
    text = CONFIG.replace('"r": 64', '"r": 64, "lora_alhpa": 128, "trained_at": "today"')
    (issue,) = read_one("peft", text, "adapter_config.json").key_issues
    assert (issue.key, issue.suggestion, issue.effect) == ("lora_alhpa", "lora_alpha", "ignored")


def test_a_number_in_quotes() -> None:
    (issue,) = read_one("peft", CONFIG.replace('"r": 64', '"r": "64"'), "adapter_config.json").value_issues
    assert (issue.kind, issue.field, issue.text) == ("string-number", "adapter.r", "64")


def test_not_peft() -> None:
    assert not recognised("peft", '{"model_type": "llama", "hidden_size": 8}', "config.json")
    assert not recognised("peft", "peft_type: LORA\n")
