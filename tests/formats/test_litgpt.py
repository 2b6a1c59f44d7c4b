import pytest

from tests.formats.reader import at, corpus, defaulted, derived, read_one, recognised

QLORA = """\
checkpoint_dir: checkpoints/mistralai/Mistral-7B-v0.3
out_dir: out/qlora
precision: bf16-true
quantize: bnb.nf4-dq
lora_r: 32
lora_key: true
lora_projection: true
data:
  class_path: litgpt.data.JSON
  init_args:
    json_path: data/mine.json
    mask_prompt: true
    val_split_fraction: 0.05
train:
  global_batch_size: 8
  micro_batch_size: 2
  lr_warmup_steps: 20
  max_seq_length: 1024
optimizer:
  class_path: torch.optim.AdamW
  init_args:
    lr: 2e-4
    betas: [0.9, 0.95]
"""


def test_a_qlora_config_gives_its_plan_with_places():
    reading = read_one("litgpt", QLORA)
    plan = reading.plan
    assert plan.model.name == "mistralai/Mistral-7B-v0.3"
    assert at(reading, "model.name") == (1, 17)
    assert (plan.adapter.method, plan.adapter.r, plan.adapter.alpha, plan.adapter.dropout) == ("lora", 32, 16, 0.05)
    assert at(reading, "adapter.r") == (5, 9)
    assert defaulted(reading, "adapter.alpha") == "litgpt"
    assert plan.adapter.target_modules == ("q_proj", "k_proj", "v_proj", "o_proj")
    assert at(reading, "adapter.target_modules") == (6, 11)
    assert reading.facts["litgpt_targets"] == ("lora_query", "lora_key", "lora_value", "lora_projection")
    assert (plan.quantization.bits, plan.quantization.quant_type, plan.quantization.double_quant) == (4, "nf4", True)
    assert at(reading, "quantization.bits") == (4, 11)
    assert plan.quantization.compute_dtype == "bfloat16"
    assert (plan.optimizer.name, plan.optimizer.learning_rate) == ("paged_adamw_32bit", 2e-4)
    assert at(reading, "optimizer.learning_rate") == (22, 9)
    assert (plan.optimizer.beta2, plan.optimizer.weight_decay) == (0.95, 0.01)
    assert (plan.schedule.name, plan.schedule.warmup_steps, plan.schedule.epochs) == ("cosine", 20, 5)
    assert at(reading, "schedule.warmup_steps") == (17, 20)
    assert defaulted(reading, "schedule.epochs") == "litgpt"
    assert (plan.batch.global_batch_size, plan.batch.micro_batch_size) == (8, 2)
    assert plan.batch.gradient_accumulation_steps == 4
    assert derived(reading, "batch.gradient_accumulation_steps")
    assert (plan.data.datasets, plan.data.train_on_prompt, plan.data.val_size) == (("data/mine.json",), False, 0.05)
    assert (plan.distributed.devices, plan.distributed.strategy) == (1, "single")
    assert plan.precision.gradient_checkpointing is False
    assert reading.key_issues == []


def test_everything_left_out_is_litgpts_default():
    text = "checkpoint_dir: checkpoints/google/gemma-2b\nlora_r: 8\n"
    reading = read_one("litgpt", text)
    plan = reading.plan
    assert plan.adapter.target_modules == ("q_proj", "v_proj")
    assert defaulted(reading, "adapter.target_modules") == "litgpt"
    assert (plan.schedule.warmup_steps, plan.batch.global_batch_size) == (100, 16)
    assert plan.optimizer.learning_rate == 1e-3
    assert defaulted(reading, "optimizer.learning_rate") == "torch"
    assert plan.quantization.bits == 16


def test_accumulation_is_counted_over_all_devices():
    reading = read_one("litgpt", QLORA.replace("quantize: bnb.nf4-dq", "devices: 2\nnum_nodes: 2"))
    assert reading.plan.distributed.devices == 4
    assert reading.plan.distributed.strategy == "fsdp2"
    assert reading.plan.batch.gradient_accumulation_steps == 1


@pytest.mark.parametrize(
    ("name", "targets"),
    [
        ("EleutherAI/pythia-1b", ("query_key_value", "dense")),
        ("microsoft/phi-2", ("q_proj", "k_proj", "v_proj", "dense")),
        ("microsoft/Phi-3-mini-4k-instruct", ("qkv_proj", "o_proj")),
    ],
)
def test_switches_have_the_module_names_of_the_family(name, targets):
    text = QLORA.replace("mistralai/Mistral-7B-v0.3", name)
    assert read_one("litgpt", text).plan.adapter.target_modules == targets


def test_a_full_config_has_no_adapter():
    lines = [line for line in QLORA.splitlines() if not line.startswith(("lora_", "quantize", "out_dir"))]
    reading = read_one("litgpt", "\n".join(lines) + "\n", "full.yaml")
    assert reading.plan.adapter.method == "none"
    assert reading.plan.adapter.r is None
    assert reading.plan.optimizer.name == "adamw_torch"


def test_a_lora_config_without_lora_keys_is_known_by_its_name():
    lines = [line for line in QLORA.splitlines() if not line.startswith(("lora_", "quantize", "out_dir"))]
    reading = read_one("litgpt", "\n".join(lines) + "\n", "lora.yaml")
    assert (reading.plan.adapter.method, reading.plan.adapter.r) == ("lora", 8)


def test_jsonargparse_refuses_an_unknown_key():
    reading = read_one("litgpt", QLORA.replace("lr_warmup_steps", "lr_warmup_step"))
    (issue,) = reading.key_issues
    assert (issue.key, issue.suggestion, issue.effect) == ("train.lr_warmup_step", "lr_warmup_steps", "raises")
    assert reading.document.position(issue.span.start) == (17, 3)


@pytest.mark.parametrize("text", ["checkpoint_dir: x\ntrain: true\n", "lora_r: 8\nlora_alpha: 16\n", "- 1\n"])
def test_other_files_are_left_alone(text):
    assert not recognised("litgpt", text)


@pytest.mark.parametrize("path", corpus("litgpt"), ids=lambda path: path.name)
def test_corpus_files_are_read_whole(path):
    reading = read_one("litgpt", path.read_text(encoding="utf-8"), path.name)
    assert "/" in reading.plan.model.name
    assert (reading.plan.adapter.method == "none") == ("full" in path.name)
    assert (reading.plan.quantization.bits == 4) == ("qlora" in path.name)
    assert reading.plan.batch.gradient_accumulation_steps >= 1
    assert reading.key_issues == []
    assert reading.value_issues == []


def test_devices_may_be_auto():
    reading = read_one("litgpt", QLORA.replace("quantize: bnb.nf4-dq", "devices: auto"))
    assert reading.value_issues == []
    assert (reading.plan.distributed.devices, reading.plan.batch.gradient_accumulation_steps) == (None, None)
