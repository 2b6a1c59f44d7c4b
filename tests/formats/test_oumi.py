import pytest

from tests.formats.reader import at, corpus, defaulted, read_one, recognised

QLORA = """\
model:
  model_name: meta-llama/Llama-3.1-8B-Instruct
  model_max_length: 2048
  torch_dtype_str: bfloat16
  enable_liger_kernel: true
data:
  train:
    datasets:
      - dataset_name: text_sft_jsonl
        dataset_path: data/train.jsonl
        sample_count: 500
training:
  trainer_type: TRL_SFT
  use_peft: true
  learning_rate: 3e-4
  per_device_train_batch_size: 2
  max_steps: -1
peft:
  q_lora: true
  lora_r: 32
  lora_target_modules: [all-linear]
fsdp:
  enable_fsdp: true
  cpu_offload: true
"""


def test_a_qlora_config_gives_its_plan_with_places():
    reading = read_one("oumi", QLORA)
    plan = reading.plan
    assert plan.method == "sft"
    assert plan.model.name == "meta-llama/Llama-3.1-8B-Instruct"
    assert at(reading, "model.name") == (2, 15)
    assert (plan.adapter.method, plan.adapter.r, plan.adapter.alpha, plan.adapter.dropout) == ("lora", 32, 8, 0.0)
    assert at(reading, "adapter.method") == (14, 13)
    assert at(reading, "adapter.r") == (20, 11)
    assert defaulted(reading, "adapter.alpha") == "oumi"
    assert plan.adapter.target_modules == "all-linear"
    assert at(reading, "adapter.target_modules") == (21, 24)
    assert plan.optimizer.learning_rate == 3e-4
    assert at(reading, "optimizer.learning_rate") == (15, 18)
    assert (plan.schedule.name, plan.schedule.warmup_steps, plan.schedule.epochs) == ("linear", 0, 3)
    assert defaulted(reading, "schedule.warmup_steps") == "oumi"
    assert plan.schedule.max_steps is None
    assert (plan.data.datasets, plan.data.max_samples, plan.data.max_length) == (("data/train.jsonl",), 500, 2048)
    assert (plan.distributed.strategy, plan.distributed.offload) == ("fsdp", True)
    assert plan.precision.fused_loss == "liger"
    assert (plan.precision.gradient_checkpointing, plan.precision.bf16) == (False, False)
    assert reading.key_issues == []
    assert reading.value_issues == []


def test_bitsandbytes_defaults_hold_only_for_q_lora():
    quantization = read_one("oumi", QLORA).plan.quantization
    assert (quantization.bits, quantization.quant_type, quantization.double_quant) == (4, "fp4", False)
    assert (quantization.compute_dtype, quantization.quant_storage) == ("float32", "uint8")
    reading = read_one("oumi", QLORA.replace("q_lora: true", "q_lora: false"))
    assert reading.plan.quantization.bits == 16
    assert reading.plan.quantization.quant_type is None
    assert reading.plan.quantization.compute_dtype is None


def test_the_peft_section_is_ignored_without_use_peft():
    reading = read_one("oumi", QLORA.replace("  use_peft: true\n", ""))
    assert reading.plan.adapter.method == "none"
    assert defaulted(reading, "adapter.method") == "oumi"
    assert "peft.lora_r" in reading.lora_keys
    assert reading.switch == "training.use_peft: true"
    assert reading.document.position(reading.lora_keys["peft.lora_r"].start) == (19, 3)
    assert reading.plan.quantization.bits is None


@pytest.mark.parametrize(
    ("trainer", "method"), [("TRL_DPO", "dpo"), ("trl_grpo", "grpo"), ("VERL_GRPO", "grpo"), ("HF", None)]
)
def test_the_trainer_tells_the_method(trainer, method):
    assert read_one("oumi", QLORA.replace("TRL_SFT", trainer)).plan.method == method


def test_weight_initialisation_has_pefts_names():
    text = QLORA.replace("  lora_r: 32", "  lora_r: 32\n  lora_init_weights: RANDOM")
    assert read_one("oumi", text).plan.adapter.init == "false"
    assert read_one("oumi", QLORA).plan.adapter.init == "true"


def test_excluded_patterns_become_one_expression():
    text = QLORA.replace("  lora_r: 32", "  lora_r: 32\n  lora_exclude_modules: ['.*vision.*', '.*audio.*']")
    assert read_one("oumi", text).plan.adapter.exclude_modules == "(.*vision.*)|(.*audio.*)"


def test_mixed_precision_and_warmup_ratio():
    text = QLORA.replace("  max_steps: -1", "  mixed_precision_dtype: BF16\n  warmup_ratio: 0.1")
    plan = read_one("oumi", text).plan
    assert plan.precision.bf16 is True
    assert (plan.schedule.warmup_ratio, plan.schedule.warmup_steps) == (0.1, None)


def test_omegaconf_refuses_an_unknown_key():
    reading = read_one("oumi", QLORA.replace("lora_r: 32", "lora_rank: 32"))
    (issue,) = reading.key_issues
    assert (issue.kind, issue.key, issue.effect) == ("unknown", "peft.lora_rank", "raises")
    assert reading.document.position(issue.span.start) == (20, 3)


@pytest.mark.parametrize(
    "text",
    [
        "model:\n  model_name: x\ngeneration:\n  max_new_tokens: 5\n",
        "model:\n  name: x\ntraining:\n  use_peft: true\n",
        "model_name: x\ntraining:\n  trainer_type: y\n",
    ],
)
def test_other_files_are_left_alone(text):
    assert not recognised("oumi", text)


@pytest.mark.parametrize("path", corpus("oumi"), ids=lambda path: path.name)
def test_corpus_files_are_read_whole(path):
    reading = read_one("oumi", path.read_text(encoding="utf-8"), path.name)
    assert reading.plan.adapter.method == "lora"
    assert reading.plan.adapter.target_modules
    assert reading.plan.method in ("sft", "dpo")
    assert reading.plan.data.datasets
    assert reading.key_issues == []
    assert reading.value_issues == []


def test_a_null_norm_is_no_clipping():
    reading = read_one("oumi", QLORA.replace("  max_steps: -1", "  max_grad_norm: null"))
    assert reading.plan.optimizer.max_grad_norm == 0.0
    assert at(reading, "optimizer.max_grad_norm") == (17, 18)
