"""ChatGLM3's and GLM-4's YAML."""

from __future__ import annotations

from tests.formats.reader import at, defaulted, derived, read_one, recognised

CONFIG = """\
data_config:
  train_file: mine.jsonl
max_input_length: 256
max_output_length: 512
training_args:
  learning_rate: 5e-5
  max_steps: 3000
  per_device_train_batch_size: 4
  deepspeed: ds_zero_2.json
peft_config:
  peft_type: LORA
  task_type: CAUSAL_LM
  lora_alpha: 32
"""


def test_values_and_defaults() -> None:
    reading = read_one("chatglm", CONFIG)
    plan = reading.plan
    assert (plan.adapter.method, plan.adapter.r, plan.adapter.alpha) == ("lora", 8, 32)
    assert (at(reading, "adapter.alpha"), defaulted(reading, "adapter.r")) == ((13, 15), "peft")
    assert (plan.optimizer.learning_rate, at(reading, "optimizer.learning_rate")) == (5e-5, (6, 18))
    assert reading.value_issues == []  # ruamel reads 5e-5 as a number
    assert (plan.precision.gradient_checkpointing, plan.data.max_length) == (True, 769)
    assert derived(reading, "data.max_length")
    assert plan.distributed.strategy == "zero2"
    assert plan.data.datasets == ("mine.jsonl",)
    assert reading.key("optimizer.weight_decay") == "training_args.weight_decay"
    assert reading.document.position(reading.span("schedule.warmup_steps").start) == (6, 3)


def test_another_method_and_none() -> None:
    other = read_one("chatglm", CONFIG.replace("peft_type: LORA", "peft_type: PREFIX_TUNING"))
    assert other.plan.adapter.method == "prefix_tuning"
    none = read_one("chatglm", CONFIG[: CONFIG.index("peft_config")])
    assert (none.plan.adapter.method, none.plan.adapter.r) == ("none", None)


def test_renamed_key_in_the_section() -> None:
    text = CONFIG.replace("max_steps: 3000", "evaluation_strategy: steps")
    (issue,) = read_one("chatglm", text).key_issues
    assert (issue.key, issue.suggestion) == ("training_args.evaluation_strategy", "eval_strategy")


def test_not_chatglm() -> None:
    assert not recognised("chatglm", "training_args:\n  learning_rate: 1e-4\nlora:\n  r: 8\n")
