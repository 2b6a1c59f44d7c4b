"""axolotl's YAML."""

from __future__ import annotations

import pytest

from loraplan.origin import Default, Explicit
from tests.formats.reader import at, defaulted, derived, read_one, recognised

QLORA = """\
base_model: acme/Pebble-7B
load_in_4bit: true
adapter: qlora
lora_r: 32
lora_alpha: 16
lora_target_linear: true
lora_target_modules:
datasets:
  - path: acme/questions
    type: alpaca
  - path: more.jsonl
    type: chat_template
val_set_size: 0.05
sequence_len: 4096
sample_packing: true
micro_batch_size: 2
gradient_accumulation_steps: 4
num_epochs: 3
learning_rate: 2e-4
bf16: auto
fp16:
tf32: false
gradient_checkpointing: offload
gradient_checkpointing_kwargs:
  use_reentrant: false
flash_attention: true
deepspeed: deepspeed_configs/zero2_cpuoffload.json
plugins:
  - axolotl.integrations.liger.LigerPlugin
liger_fused_linear_cross_entropy: true
special_tokens:
  pad_token: "<pad>"
"""


def test_values_and_where_they_stand() -> None:
    reading = read_one("axolotl", QLORA)
    plan = reading.plan
    assert plan.method == "sft"
    assert (plan.model.name, plan.model.attn_implementation) == ("acme/Pebble-7B", "flash_attention_2")
    assert (plan.adapter.method, plan.adapter.r, plan.adapter.alpha) == ("lora", 32, 16)
    assert plan.adapter.target_modules == "all-linear"
    assert at(reading, "adapter.r") == (4, 9)
    assert at(reading, "adapter.target_modules") == (6, 21)
    assert (plan.optimizer.learning_rate, at(reading, "optimizer.learning_rate")) == (2e-4, (19, 16))
    assert plan.data.datasets == ("acme/questions", "more.jsonl")
    assert (plan.data.max_length, plan.data.packing, plan.data.val_size) == (4096, True, 0.05)
    assert plan.data.new_tokens is None  # special_tokens name what the tokenizer has
    assert (plan.batch.micro_batch_size, plan.batch.gradient_accumulation_steps, plan.schedule.epochs) == (2, 4, 3)
    assert (plan.precision.gradient_checkpointing, plan.precision.checkpointing_kind) == (True, "offload")
    assert (plan.precision.use_reentrant, plan.precision.fused_loss, plan.precision.tf32) == (False, "liger", False)
    assert (plan.distributed.strategy, plan.distributed.offload) == ("zero2", True)
    assert reading.value_issues == []
    assert reading.key_issues == []
    assert reading.facts["bf16_auto"] is True
    assert set(reading.lora_keys) == {"lora_r", "lora_alpha", "lora_target_linear"}


def test_what_the_loader_hard_codes_for_qlora() -> None:
    reading = read_one("axolotl", QLORA)
    quantization = reading.plan.quantization
    assert (quantization.bits, quantization.method, quantization.quant_type) == (4, "bnb", "nf4")
    assert (quantization.double_quant, quantization.quant_storage) == (True, "bfloat16")
    assert (quantization.compute_dtype, reading.plan.model.dtype) == ("bfloat16", "bfloat16")
    assert defaulted(reading, "quantization.double_quant") == "axolotl"
    assert derived(reading, "quantization.compute_dtype")


def test_bnb_config_kwargs_override_it() -> None:
    reading = read_one("axolotl", QLORA + "bnb_config_kwargs:\n  bnb_4bit_use_double_quant: false\n")
    assert reading.plan.quantization.double_quant is False
    assert isinstance(reading.origins["quantization.double_quant"], Explicit)


def test_defaults() -> None:
    reading = read_one("axolotl", QLORA)
    plan = reading.plan
    assert (plan.adapter.dropout, plan.adapter.use_rslora, plan.adapter.bias) == (0.0, False, "none")
    assert (plan.optimizer.name, plan.schedule.name) == ("adamw_torch_fused", "cosine")
    assert plan.schedule.warmup_ratio == 0.03
    assert reading.facts["warmup_default"] == "min(3%, 100 steps)"
    origin = reading.origins["schedule.warmup_ratio"]
    assert isinstance(origin, Default)
    assert (origin.framework, origin.key) == ("axolotl", "warmup_ratio")
    assert "100 steps" in origin.source
    assert reading.key("adapter.r") == "lora_r"


def test_no_adapter_is_full_fine_tuning() -> None:
    text = "base_model: acme/Pebble-7B\ndatasets: [{path: a, type: alpaca}]\nmicro_batch_size: 1\n"
    absent = read_one("axolotl", text)
    assert (absent.plan.adapter.method, absent.plan.adapter.dropout) == ("none", None)
    assert defaulted(absent, "adapter.method") == "axolotl"
    empty = read_one("axolotl", text + "adapter:\nlora_r: 8\n")
    assert empty.plan.adapter.method == "none"
    assert isinstance(empty.origins["adapter.method"], Explicit)
    assert (list(empty.lora_keys), empty.switch) == (["lora_r"], "adapter: lora")


@pytest.mark.parametrize(
    ("lines", "bf16", "fp16", "dtype"),
    [
        ("", True, None, "bfloat16"),
        ("bf16: false\nfp16: true\n", False, True, "float16"),
        ("fp16: true\n", False, True, "float16"),
        ("bf16: false\n", False, None, "float32"),
        ("bf16: false\nfp16: false\nfloat16: true\n", False, False, "float16"),
        ("bfloat16: true\n", True, None, "bfloat16"),
    ],
)
def test_precision(lines: str, bf16: bool, fp16: bool | None, dtype: str) -> None:
    text = "base_model: acme/Pebble-7B\nadapter: lora\ndatasets: [{path: a, type: alpaca}]\nlearning_rate: 1e-4\n"
    plan = read_one("axolotl", text + lines).plan
    assert (plan.precision.bf16, plan.precision.fp16, plan.model.dtype) == (bf16, fp16, dtype)


@pytest.mark.parametrize(
    ("lines", "method"),
    [
        ("rl: dpo\n", "dpo"),
        ("rl: grpo\n", "grpo"),
        ("reward_model: true\n", "reward"),
        ("pretraining_dataset: [{path: a}]\n", "pt"),
        ("", "sft"),
    ],
)
def test_method(lines: str, method: str) -> None:
    text = "base_model: acme/Pebble-7B\nadapter: lora\ndatasets: [{path: a, type: alpaca}]\n"
    assert read_one("axolotl", text + lines).plan.method == method


def test_accumulation_from_batch_size() -> None:
    text = (
        "base_model: acme/P\nadapter: lora\ndatasets: [{path: a, type: alpaca}]\nmicro_batch_size: 4\nbatch_size: 32\n"
    )
    reading = read_one("axolotl", text)
    assert reading.plan.batch.gradient_accumulation_steps == 8
    assert derived(reading, "batch.gradient_accumulation_steps")


def test_keys_that_axolotl_does_not_read() -> None:
    text = QLORA + "context_parapllel_size: 2\nnoise_of_my_own: 1\ndebug:\nrpo_alpha: 1.0\n"
    reading = read_one("axolotl", text)
    unknown = {issue.key: issue for issue in reading.key_issues}
    assert set(unknown) == {"context_parapllel_size", "noise_of_my_own", "rpo_alpha"}
    typo = unknown["context_parapllel_size"]
    assert (typo.kind, typo.suggestion, typo.effect) == ("unknown", "context_parallel_size", "ignored")
    assert reading.document.position(typo.span.start) == (33, 1)
    assert (unknown["rpo_alpha"].kind, unknown["rpo_alpha"].effect) == ("removed", "raises")


def test_a_foreign_plugin_may_read_any_key() -> None:
    text = QLORA.replace("axolotl.integrations.liger.LigerPlugin", "acme.plugin.Plugin") + "noise_of_my_own: 1\n"
    assert read_one("axolotl", text).key_issues == []


@pytest.mark.parametrize(
    "text",
    [
        "base_model: acme/P\ntask: llm-sft\nparams: {lora_r: 8}\n",
        "base_model: acme/P\nslices: [{sources: []}]\nmerge_method: passthrough\n",
        "model_name_or_path: acme/P\nmethod: qlora\nbase_model: llama3\nlora_r: 8\n",
        "base_model: {name: x}\ndatasets: [{path: a}]\nadapter: lora\n",
    ],
)
def test_not_axolotl(text: str) -> None:
    assert not recognised("axolotl", text)


def test_four_bits_need_the_qlora_adapter() -> None:
    text = (
        "base_model: acme/P\nadapter: lora\nload_in_4bit: true\nlora_model_dir: ''\ndatasets: [{path: a}]\nlora_r: 8\n"
    )
    reading = read_one("axolotl", text)
    assert (reading.plan.quantization.load_in_4bit, reading.plan.quantization.bits) == (True, None)
    assert reading.facts["load_in_4bit_ignored"] is True
    assert reading.plan.adapter.resume_from is None


def test_eight_bits_without_bf16_load_in_fp16() -> None:
    text = "base_model: acme/P\nadapter: lora\nload_in_8bit: true\nbf16: false\ndatasets: [{path: a, type: alpaca}]\n"
    plan = read_one("axolotl", text).plan
    assert (plan.quantization.bits, plan.model.dtype) == (8, "float16")


@pytest.mark.parametrize("key", ["activation_checkpointing", "fsdp_activation_checkpointing"])
def test_fsdp_can_checkpoint_itself(key: str) -> None:
    text = "base_model: acme/P\nadapter: lora\ndatasets: [{{path: a, type: alpaca}}]\nfsdp_config:\n  {}: {}\n"
    reading = read_one("axolotl", text.format(key, "true"))
    assert reading.plan.precision.gradient_checkpointing is True
    assert at(reading, "precision.gradient_checkpointing") == (5, len(key) + 5)
    assert read_one("axolotl", text.format(key, "false")).plan.precision.gradient_checkpointing is False


@pytest.mark.parametrize(
    ("lines", "loss"),
    [
        ("", "cut_cross_entropy"),
        ("cut_cross_entropy: true\n", "cut_cross_entropy"),
        ("cut_cross_entropy: false\n", None),
        ("liger_fused_linear_cross_entropy: true\ncut_cross_entropy: false\n", "liger"),
    ],
)
def test_the_plugin_turns_cut_cross_entropy_on(lines: str, loss: str | None) -> None:
    text = (
        "base_model: acme/P\nadapter: lora\ndatasets: [{path: a, type: alpaca}]\n"
        f"plugins:\n  - axolotl.integrations.cut_cross_entropy.CutCrossEntropyPlugin\n{lines}"
    )
    assert read_one("axolotl", text).plan.precision.fused_loss == loss


def test_quantized_experts() -> None:
    text = "base_model: acme/P\nadapter: qlora\nload_in_4bit: true\ndatasets: [{path: a, type: alpaca}]\n"
    assert read_one("axolotl", text + "quantize_moe_experts: true\n").facts["quantizes_experts"] is True
    assert read_one("axolotl", text).facts["quantizes_experts"] is False
