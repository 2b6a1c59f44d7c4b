import pytest

from tests.formats.reader import at, corpus, defaulted, derived, read_one, recognised

QLORA = """\
# tune run lora_finetune_single_device --config my_qlora.yaml
output_dir: /runs/llama31
model:
  _component_: torchtune.models.llama3_1.qlora_llama3_1_8b
  lora_attn_modules: [q_proj, v_proj, output_proj]
  apply_lora_to_mlp: true
  lora_rank: 16
  lora_dropout: 0.05
tokenizer:
  _component_: torchtune.models.llama3.llama3_tokenizer
  path: /models/Meta-Llama-3.1-8B-Instruct/original/tokenizer.model
  max_seq_len: 4096
checkpointer:
  _component_: torchtune.training.FullModelHFCheckpointer
  checkpoint_dir: /models/Meta-Llama-3.1-8B-Instruct/
  output_dir: ${output_dir}
dataset:
  _component_: torchtune.datasets.instruct_dataset
  source: yahma/alpaca-cleaned
  packed: true
batch_size: 2
batch_size_val: ${batch_size}
epochs: 3
max_steps_per_epoch: 200
gradient_accumulation_steps: 8
optimizer:
  _component_: bitsandbytes.optim.PagedAdamW8bit
  lr: 2e-4
lr_scheduler:
  _component_: torchtune.training.lr_schedulers.get_cosine_schedule_with_warmup
  num_warmup_steps: 50
loss:
  _component_: torchtune.modules.loss.LinearCrossEntropyLoss
dtype: bf16
enable_activation_checkpointing: true
compile: false
"""


def test_a_qlora_recipe_gives_its_plan_with_places():
    reading = read_one("torchtune", QLORA, "llama3_1/8B_qlora_single_device.yaml")
    plan = reading.plan
    assert plan.model.name == "meta-llama/Meta-Llama-3.1-8B-Instruct"
    assert at(reading, "model.name") == (15, 19)
    assert (plan.adapter.method, plan.adapter.r, plan.adapter.alpha, plan.adapter.dropout) == ("lora", 16, 16, 0.05)
    assert at(reading, "adapter.r") == (7, 14)
    assert defaulted(reading, "adapter.alpha") == "torchtune"
    assert plan.adapter.target_modules == ("q_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    assert at(reading, "adapter.target_modules") == (5, 22)
    assert reading.facts["torchtune_targets"] == ("q_proj", "v_proj", "output_proj", "apply_lora_to_mlp")
    assert (plan.quantization.bits, plan.quantization.method) == (4, "nf4tensor")
    assert at(reading, "quantization.bits") == (4, 16)
    assert (plan.quantization.quant_type, plan.quantization.double_quant) == ("nf4", True)
    assert (plan.optimizer.name, plan.optimizer.learning_rate) == ("paged_adamw_8bit", 2e-4)
    assert at(reading, "optimizer.learning_rate") == (28, 7)
    assert (plan.schedule.name, plan.schedule.warmup_steps, plan.schedule.max_steps) == ("cosine", 50, 600)
    assert derived(reading, "schedule.max_steps")
    assert (plan.batch.micro_batch_size, plan.batch.gradient_accumulation_steps) == (2, 8)
    assert (plan.data.max_length, plan.data.packing, plan.data.datasets) == (4096, True, ("yahma/alpaca-cleaned",))
    assert (plan.precision.bf16, plan.precision.fp16, plan.precision.gradient_checkpointing) == (True, False, True)
    assert (plan.distributed.strategy, plan.distributed.devices) == ("single", 1)
    assert plan.method == "sft"
    assert reading.key_issues == []
    assert reading.value_issues == []


def test_an_interpolation_is_resolved_and_marked_as_shared():
    reading = read_one("torchtune", QLORA)
    assert reading.plan.batch.eval_batch_size == 2
    assert at(reading, "batch.eval_batch_size") == (22, 17)
    assert reading.explicit("batch.eval_batch_size").shared
    assert not reading.explicit("batch.micro_batch_size").shared


def test_nothing_is_said_about_devices_where_the_name_does_not_tell():
    assert read_one("torchtune", QLORA, "my_qlora.yaml").plan.distributed.strategy is None


def test_a_full_fine_tune_has_no_adapter():
    text = QLORA.replace("qlora_llama3_1_8b", "llama3_1_8b")
    text = "".join(line for line in text.splitlines(keepends=True) if "lora_" not in line)
    reading = read_one("torchtune", text)
    assert reading.plan.adapter.method == "none"
    assert reading.plan.adapter.alpha is None
    assert reading.plan.quantization.bits == 16


def test_lora_keys_beside_a_full_builder_are_reported():
    reading = read_one("torchtune", QLORA.replace("qlora_llama3_1_8b", "llama3_1_8b"))
    assert reading.plan.adapter.method == "none"
    assert "model.lora_rank" in reading.lora_keys


def test_the_builder_names_the_model_where_the_folder_does_not():
    reading = read_one("torchtune", QLORA.replace("/models/Meta-Llama-3.1-8B-Instruct/\n", "/weights/base/\n"))
    assert reading.plan.model.name == "meta-llama/Llama-3.1-8B-Instruct"
    assert at(reading, "model.name") == (4, 16)


def test_phi_modules_have_the_fused_names_of_transformers():
    text = QLORA.replace("llama3_1.qlora_llama3_1_8b", "phi3.lora_phi3_mini")
    assert read_one("torchtune", text).plan.adapter.target_modules == (
        "qkv_proj", "o_proj", "gate_up_proj", "down_proj",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("loss", "method"),
    [
        ("torchtune.rlhf.loss.DPOLoss", "dpo"),
        ("torchtune.rlhf.loss.PPOLoss", "ppo"),
        ("torchtune.modules.loss.LinearCrossEntropyLoss", "sft"),
    ],
)
def test_the_loss_tells_the_method(loss, method):
    text = QLORA.replace("torchtune.modules.loss.LinearCrossEntropyLoss", loss)
    assert read_one("torchtune", text).plan.method == method


def test_fp16_is_read_though_torchtune_refuses_it():
    reading = read_one("torchtune", QLORA.replace("dtype: bf16", "dtype: fp16"))
    assert reading.plan.precision.fp16 is True
    assert at(reading, "precision.fp16") == (34, 8)


def test_a_torch_optimizer_fills_in_what_the_config_leaves_out():
    text = QLORA.replace("bitsandbytes.optim.PagedAdamW8bit\n  lr: 2e-4", "torch.optim.AdamW\n  fused: true")
    reading = read_one("torchtune", text)
    assert reading.plan.optimizer.name == "adamw_torch_fused"
    assert (reading.plan.optimizer.learning_rate, reading.plan.optimizer.weight_decay) == (1e-3, 1e-2)
    assert defaulted(reading, "optimizer.learning_rate") == "torch"


def test_a_near_miss_of_a_builder_argument_is_an_unknown_key():
    reading = read_one("torchtune", QLORA.replace("lora_dropout", "lora_drpout"))
    (issue,) = reading.key_issues
    assert (issue.key, issue.suggestion, issue.effect) == ("model.lora_drpout", "lora_dropout", "raises")
    assert reading.document.position(issue.span.start) == (8, 3)


def test_a_quoted_rate_stays_a_string_for_torchtune():
    reading = read_one("torchtune", QLORA.replace("lr: 2e-4", 'lr: "2e-4"'))
    (issue,) = reading.value_issues
    assert (issue.kind, issue.field, issue.effect) == ("string-number", "optimizer.learning_rate", "raises")


@pytest.mark.parametrize(
    "text",
    ["model:\n  name: x\nlora:\n  r: 8\n", "model: torchtune\n", "[1, 2]\n", "_component_: x\n"],
)
def test_other_files_are_left_alone(text):
    assert not recognised("torchtune", text)


@pytest.mark.parametrize("path", corpus("torchtune"), ids=lambda path: path.name)
def test_corpus_files_are_read_whole(path):
    reading = read_one("torchtune", path.read_text(encoding="utf-8"), path.name)
    assert reading.plan.model.name is not None
    assert reading.plan.adapter.method == "lora"
    assert reading.plan.adapter.target_modules
    assert reading.plan.optimizer.learning_rate
    assert reading.plan.schedule.warmup_steps == 100
    assert (reading.plan.quantization.bits == 4) == ("qlora" in path.name)
    assert reading.key_issues == []
    assert reading.value_issues == []


def test_a_rate_that_is_no_number_has_no_default():
    text = QLORA.replace("bitsandbytes.optim.PagedAdamW8bit\n  lr: 2e-4", "torch.optim.AdamW\n  lr: fast")
    reading = read_one("torchtune", text)
    assert reading.plan.optimizer.learning_rate is None
    assert [(issue.kind, issue.field) for issue in reading.value_issues] == [("wrong-type", "optimizer.learning_rate")]


@pytest.mark.parametrize("lines", ["prompt:\n  user: Hello\nmax_new_tokens: 20\n", "tasks: [truthfulqa_mc2]\n"])
def test_recipes_that_do_not_train_are_none(lines):
    text = "model:\n  _component_: torchtune.models.llama3.llama3_8b\ncheckpointer:\n  checkpoint_dir: /m\n" + lines
    assert not recognised("torchtune", text)
    assert recognised("torchtune", text + "optimizer:\n  _component_: torch.optim.AdamW\n")


@pytest.mark.parametrize(
    ("command", "strategy", "devices"),
    [
        ("tune run --nproc_per_node 4 lora_finetune_distributed --config my", "fsdp2", 4),
        ("tune run --nnodes 2 --nproc_per_node 8 full_finetune_distributed --config my", "fsdp2", 16),
        ("tune run lora_finetune_single_device --config my", None, None),
    ],
)
def test_the_command_in_the_comments_says_over_how_many_gpus(command, strategy, devices):
    distributed = read_one("torchtune", f"#   {command}\n" + QLORA, "my.yaml").plan.distributed
    assert (distributed.strategy, distributed.devices) == (strategy, devices)


def test_two_commands_leave_the_number_of_gpus_open():
    lines = "".join(f"# tune run --nproc_per_node {n} lora_finetune_distributed --config my\n" for n in (2, 4))
    distributed = read_one("torchtune", lines + QLORA, "my.yaml").plan.distributed
    assert (distributed.strategy, distributed.devices) == ("fsdp2", None)


def test_comments_can_name_the_recipe_alone():
    distributed = read_one("torchtune", "# For full_finetune_distributed.py\n" + QLORA, "my.yaml").plan.distributed
    assert (distributed.strategy, distributed.devices) == ("fsdp2", None)
