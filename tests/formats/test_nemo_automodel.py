import re

import pytest

from tests.formats.reader import at, corpus, defaulted, read_one, recognised

QLORA = """\
recipe: TrainFinetuneRecipeForNextTokenPrediction
step_scheduler:
  global_batch_size: 16
  local_batch_size: 1
  max_steps: 500
model:
  _target_: nemo_automodel.NeMoAutoModelForCausalLM.from_pretrained
  pretrained_model_name_or_path: meta-llama/Llama-3.1-8B
  torch_dtype: bf16
peft:
  _target_: nemo_automodel.components._peft.lora.PeftConfig
  target_modules: ["*_proj", lm_head]
  dim: 64
  dropout: 0.1
quantization:
  load_in_4bit: true
  bnb_4bit_compute_dtype: bfloat16
distributed:
  strategy: fsdp2
  tp_size: 2
  activation_checkpointing: true
dataset:
  _target_: nemo_automodel.components.datasets.llm.squad.make_squad_dataset
  dataset_name: rajpurkar/squad
packed_sequence:
  packed_sequence_size: 4096
optimizer:
  _target_: torch.optim.AdamW
  lr: 1e-4
  betas: [0.9, 0.95]
"""


def test_a_qlora_recipe_gives_its_plan_with_places():
    reading = read_one("nemo-automodel", QLORA)
    plan = reading.plan
    assert (plan.model.name, plan.model.dtype) == ("meta-llama/Llama-3.1-8B", "bfloat16")
    assert at(reading, "model.name") == (8, 34)
    assert (plan.adapter.method, plan.adapter.r, plan.adapter.alpha, plan.adapter.dropout) == ("lora", 64, 32, 0.1)
    assert at(reading, "adapter.r") == (13, 8)
    assert defaulted(reading, "adapter.alpha") == "nemo-automodel"
    assert (plan.quantization.bits, plan.quantization.quant_type, plan.quantization.double_quant) == (4, "nf4", True)
    assert at(reading, "quantization.bits") == (16, 17)
    assert defaulted(reading, "quantization.quant_type") == "nemo-automodel"
    assert (plan.optimizer.name, plan.optimizer.learning_rate, plan.optimizer.beta2) == ("adamw_torch", 1e-4, 0.95)
    assert at(reading, "optimizer.learning_rate") == (29, 7)
    assert (plan.optimizer.weight_decay, plan.optimizer.max_grad_norm) == (0.01, 1.0)
    assert (plan.schedule.name, plan.schedule.warmup_steps, plan.schedule.max_steps) == ("constant", 0, 500)
    assert defaulted(reading, "schedule.name") == "nemo-automodel"
    assert (plan.batch.micro_batch_size, plan.batch.global_batch_size) == (1, 16)
    assert (plan.data.packing, plan.data.max_length, plan.data.datasets) == (True, 4096, ("rajpurkar/squad",))
    assert (plan.distributed.strategy, plan.distributed.tensor_parallel) == ("fsdp2", 2)
    assert plan.precision.gradient_checkpointing is True
    assert reading.value_issues == []  # its loader turns '1e-4' into a number


def test_globs_become_the_expression_that_matches_the_same_names():
    reading = read_one("nemo-automodel", QLORA)
    pattern = reading.plan.adapter.target_modules
    assert reading.facts["globs"] == ("*_proj", "lm_head")
    assert re.fullmatch(pattern, "model.layers.0.self_attn.q_proj")
    assert re.fullmatch(pattern, "model.layers.3.mlp.down_proj")
    assert re.fullmatch(pattern, "lm_head")
    assert not re.fullmatch(pattern, "model.embed_tokens")
    assert not re.fullmatch(pattern, "model.layers.0.input_layernorm")


def test_names_without_globs_stay_names():
    text = QLORA.replace('["*_proj", lm_head]', "[q_proj, v_proj]")
    assert read_one("nemo-automodel", text).plan.adapter.target_modules == ("q_proj", "v_proj")


def test_targets_left_out_are_the_frameworks_glob():
    reading = read_one("nemo-automodel", QLORA.replace('  target_modules: ["*_proj", lm_head]\n', ""))
    assert reading.plan.adapter.target_modules == ".*_proj"
    assert defaulted(reading, "adapter.target_modules") == "nemo-automodel"
    assert reading.key("adapter.target_modules") == "peft.target_modules"


def test_match_all_linear():
    text = QLORA.replace('target_modules: ["*_proj", lm_head]', "match_all_linear: true")
    assert read_one("nemo-automodel", text).plan.adapter.target_modules == "all-linear"


@pytest.mark.parametrize(("steps", "ratio", "warmup"), [(500, 0.1, None), (50_000, None, 1000)])
def test_a_scheduler_section_warms_up_by_itself(steps, ratio, warmup):
    text = QLORA.replace("max_steps: 500", f"max_steps: {steps}") + "lr_scheduler:\n  min_lr: 1.0e-6\n"
    schedule = read_one("nemo-automodel", text).plan.schedule
    assert (schedule.name, schedule.warmup_ratio, schedule.warmup_steps) == ("cosine", ratio, warmup)


def test_a_constant_style_keeps_its_warmup():
    text = QLORA + "lr_scheduler:\n  lr_decay_style: constant\n  lr_warmup_steps: 50\n"
    schedule = read_one("nemo-automodel", text).plan.schedule
    assert (schedule.name, schedule.warmup_steps) == ("constant_with_warmup", 50)


def test_no_peft_section_is_a_full_fine_tune():
    start, rest = QLORA.split("peft:\n")
    reading = read_one("nemo-automodel", start + rest[rest.index("quantization:") :])
    assert reading.plan.adapter.method == "none"
    assert reading.plan.adapter.alpha is None


def test_a_near_miss_of_a_peft_argument_is_an_unknown_key():
    (issue,) = read_one("nemo-automodel", QLORA.replace("dropout: 0.1", "droput: 0.1")).key_issues
    assert (issue.key, issue.suggestion) == ("peft.droput", "dropout")


@pytest.mark.parametrize("text", ["model:\n  _component_: torchtune.x\n", "recipe: x\nmodel: y\n", "peft: lora\n"])
def test_other_files_are_left_alone(text):
    assert not recognised("nemo-automodel", text)


@pytest.mark.parametrize("path", corpus("nemo-automodel"), ids=lambda path: path.name)
def test_corpus_files_are_read_whole(path):
    reading = read_one("nemo-automodel", path.read_text(encoding="utf-8"), path.name)
    assert reading.plan.model.name
    assert (reading.plan.adapter.method == "lora") == ("lora" in path.name or "peft" in path.name)
    assert (reading.plan.quantization.bits == 4) == ("qlora" in path.name)
    assert reading.plan.optimizer.learning_rate
    assert reading.key_issues == []
    assert reading.value_issues == []


def test_none_and_kinds_of_checkpointing_are_words_of_nemos():
    text = QLORA.replace("tp_size: 2", "tp_size: none").replace("checkpointing: true", "checkpointing: selective")
    reading = read_one("nemo-automodel", text)
    assert reading.value_issues == []
    assert reading.plan.distributed.tensor_parallel is None
    assert reading.plan.precision.gradient_checkpointing is True
