"""Python scripts on PEFT, transformers and TRL."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loraplan import formats
from loraplan.document import DocumentError
from loraplan.document.python import parse
from loraplan.origin import Default, Derived
from loraplan.plan import get
from tests.formats.scripts import run, runs, written

QLORA = """\
import torch
from datasets import load_dataset
from peft import LoraConfig, prepare_model_for_kbit_training
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig
from trl import SFTConfig, SFTTrainer

model_id = "acme/Pebble-7B"
bnb = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_compute_dtype=torch.bfloat16)
model = AutoModelForCausalLM.from_pretrained(model_id, quantization_config=bnb, torch_dtype=torch.bfloat16)
tokenizer = AutoTokenizer.from_pretrained("acme/other")
model = prepare_model_for_kbit_training(model)
peft_config = LoraConfig(r=64, target_modules=["q_proj", "v_proj"], lora_dropout=0.1, task_type="CAUSAL_LM")
dataset = load_dataset("acme/chat", split="train[:1000]")
args = SFTConfig("out", per_device_train_batch_size=4, learning_rate=2e-4, max_length=512, packing=True)
trainer = SFTTrainer(model=model, args=args, train_dataset=dataset, peft_config=peft_config)
"""


def test_qlora_script() -> None:
    reading = run(QLORA, "train.py")
    plan = reading.plan
    assert (reading.format, plan.method, plan.model.name, plan.model.dtype) == (
        "python", "sft", "acme/Pebble-7B", "bfloat16",
    )  # fmt: skip
    assert (plan.adapter.method, plan.adapter.r, plan.adapter.alpha) == ("lora", 64, 8)
    assert plan.adapter.target_modules == ("q_proj", "v_proj")
    quantization = plan.quantization
    assert (quantization.bits, quantization.method) == (4, "bnb")
    assert (quantization.quant_type, quantization.double_quant) == ("fp4", False)
    assert quantization.compute_dtype == "bfloat16"
    assert (plan.data.datasets, plan.data.max_samples, plan.data.max_length) == (("acme/chat",), 1000, 512)
    assert (plan.optimizer.learning_rate, plan.batch.micro_batch_size, plan.run.output_dir) == (2e-4, 4, "out")
    assert (plan.precision.gradient_checkpointing, plan.model.task) == (True, "causal_lm")


def test_where_it_comes_from() -> None:
    reading = run(QLORA, "train.py")
    assert written(reading, "adapter.r") == ("64", 12, 28)
    assert written(reading, "model.name") == ('"acme/Pebble-7B"', 7, 12)
    assert written(reading, "quantization.compute_dtype") == ("torch.bfloat16", 8, 68)
    alpha, kind, rate = (reading.origins[f] for f in ("adapter.alpha", "quantization.quant_type", "schedule.epochs"))
    assert isinstance(alpha, Default)
    assert (alpha.framework, alpha.source, alpha.key) == (
        "peft", "peft/tuners/lora/config.py@0.21.2", "LoraConfig.lora_alpha",
    )  # fmt: skip
    assert isinstance(kind, Default)
    assert kind.framework == "transformers"
    assert isinstance(rate, Default)
    assert isinstance(reading.origins["precision.gradient_checkpointing"], Derived)
    assert reading.document.position(reading.span("adapter.alpha").start) == (12, 15)


@pytest.mark.parametrize(
    ("arguments", "method", "rate", "checkpointing"),
    [
        ("SFTConfig(output_dir='o')", "sft", 2e-5, True),
        ("DPOConfig(output_dir='o')", "dpo", 1e-6, True),
        ("GRPOConfig(output_dir='o')", "grpo", 1e-6, True),
        ("trl.RewardConfig(output_dir='o')", "reward", 1e-4, True),
        ("TrainingArguments(output_dir='o')", None, 5e-5, False),
        ("transformers.Seq2SeqTrainingArguments(output_dir='o')", None, 5e-5, False),
    ],
)
def test_defaults_of_the_arguments(arguments: str, method: str | None, rate: float, checkpointing: bool) -> None:
    plan = run(f"from peft import LoraConfig\nc = LoraConfig(r=8)\na = {arguments}\n", "train.py").plan
    assert (plan.method, plan.optimizer.learning_rate) == (method, rate)
    assert (plan.precision.gradient_checkpointing, plan.batch.micro_batch_size) == (checkpointing, 8)


def test_adapter_alone_assumes_no_training() -> None:
    plan = run("from peft import LoraConfig\nc = LoraConfig(r=8, lora_alpha=32)\n", "adapter.py").plan
    assert (plan.adapter.r, plan.adapter.alpha) == (8, 32)
    assert (plan.optimizer.learning_rate, plan.batch.micro_batch_size, plan.quantization.bits) == (None, None, None)


def test_full_fine_tuning() -> None:
    text = "from trl import SFTConfig\nt = SFTTrainer('acme/Pebble', args=SFTConfig(learning_rate=1e-5))\n"
    plan = run(text, "t.py").plan
    assert (plan.adapter.method, plan.adapter.r, plan.model.name, plan.method) == ("none", None, "acme/Pebble", "sft")


def test_options_of_a_parser_are_not_guessed() -> None:
    text = (
        "p.add_argument('--lora_r', default=8)\nargs = p.parse_args()\n"
        "c = peft.LoraConfig(r=args.lora_r, lora_alpha=16)\n"
    )
    reading = run(text, "t.py")
    assert (reading.plan.adapter.r, reading.plan.adapter.alpha) == (None, 16)
    assert [(issue.kind, issue.field, issue.text) for issue in reading.value_issues] == [
        ("unresolved", "adapter.r", "args.lora_r")
    ]


def test_several_adapters_are_several_runs() -> None:
    text = "a = LoraConfig(r=8)\nb = LoraConfig(r=16)\nx = TrainingArguments('o', learning_rate=1e-4)\n"
    found = runs(text, "t.py")
    assert [(r.plan.adapter.r, r.plan.optimizer.learning_rate, r.name) for r in found] == [
        (8, 1e-4, "LoraConfig in line 1"), (16, 1e-4, "LoraConfig in line 2"),
    ]  # fmt: skip


def test_known_keyword_dictionaries_and_inline_calls() -> None:
    text = (
        "shared = {'r': 4, 'lora_alpha': 2 * 4}\n"
        "t = SFTTrainer(model=m, args=SFTConfig(bf16=True), peft_config=LoraConfig(**shared) if use else None)\n"
    )
    reading = run(text, "t.py")
    assert (reading.plan.adapter.r, reading.plan.adapter.alpha, reading.plan.precision.bf16) == (4, 8, True)
    assert written(reading, "adapter.r") == ("4", 1, 16)


@pytest.mark.parametrize(
    ("call", "value"),
    [
        ("prepare_model_for_kbit_training(m)", True),
        ("prepare_model_for_kbit_training(m, use_gradient_checkpointing=True)", True),
        ("prepare_model_for_kbit_training(m, use_gradient_checkpointing=False)", False),
        ("prepare_model_for_kbit_training(m, flag)", False),
    ],
)
def test_checkpointing_of_quantized_models(call: str, value: bool) -> None:
    plan = run(f"c = LoraConfig(r=8)\nm = {call}\na = TrainingArguments('o')\n", "t.py").plan
    assert plan.precision.gradient_checkpointing is value


def test_misspelt_keyword() -> None:
    (issue,) = run("c = LoraConfig(r=8, lora_aplha=16)\n", "t.py").key_issues
    assert (issue.kind, issue.key, issue.suggestion) == ("unknown", "LoraConfig.lora_aplha", "lora_alpha")


@pytest.mark.parametrize("text", ["import torch\nprint('hello')\n", "", "x = AutoModel.from_pretrained('m')\n"])
def test_not_a_training_script(text: str) -> None:
    with pytest.raises(formats.NotAConfig):
        formats.read(parse(text, "t.py"))


def test_nothing_is_run(tmp_path: Path) -> None:
    mark = str(tmp_path / "mark")
    run(f"open({mark!r}, 'w').close()\nc = LoraConfig(r=int(open({mark!r}, 'w').write('x')), bias='none')\n", "t.py")
    assert not Path(mark).exists()


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(alphabet=" \n'\"()[]{}=,.*-1aé", max_size=30), st.integers(0, len(QLORA)), st.integers(0, 60))
def test_mutated_scripts_never_fail_otherwise(piece: str, start: int, length: int) -> None:
    try:
        found = runs(QLORA[:start] + piece + QLORA[start + length :], "t.py")
    except (DocumentError, formats.NotAConfig):
        return
    assert found


@pytest.mark.slow
def test_defaults_are_those_of_the_classes() -> None:
    peft = pytest.importorskip("peft")
    transformers = pytest.importorskip("transformers")
    plan = run("c = LoraConfig(task_type=None)\nb = BitsAndBytesConfig(load_in_4bit=True)\n", "t.py").plan
    theirs = peft.LoraConfig()
    for field, name in {
        "adapter.r": "r", "adapter.alpha": "lora_alpha", "adapter.dropout": "lora_dropout", "adapter.bias": "bias",
        "adapter.use_rslora": "use_rslora", "adapter.use_dora": "use_dora", "adapter.lora_bias": "lora_bias",
    }.items():  # fmt: skip
        assert get(plan, field) == getattr(theirs, name), field
    bnb = transformers.BitsAndBytesConfig(load_in_4bit=True)
    assert plan.quantization.quant_type == bnb.bnb_4bit_quant_type
    assert plan.quantization.double_quant == bnb.bnb_4bit_use_double_quant
    assert f"torch.{plan.quantization.compute_dtype}" == str(bnb.bnb_4bit_compute_dtype)


@pytest.mark.filterwarnings("ignore:.*is deprecated:FutureWarning")
@pytest.mark.slow
@pytest.mark.parametrize("name", ["SFTConfig", "DPOConfig", "KTOConfig", "GRPOConfig", "RewardConfig", "RLOOConfig"])
def test_defaults_are_those_of_trl(name: str, tmp_path: Path) -> None:
    trl = pytest.importorskip("trl")
    theirs = getattr(trl, name)(output_dir=str(tmp_path), bf16=False, use_cpu=True)
    plan = run(f"c = LoraConfig(r=8)\na = {name}(output_dir='o')\n", "t.py").plan
    for field, key in {
        "optimizer.learning_rate": "learning_rate", "batch.micro_batch_size": "per_device_train_batch_size",
        "batch.gradient_accumulation_steps": "gradient_accumulation_steps", "schedule.epochs": "num_train_epochs",
        "optimizer.weight_decay": "weight_decay", "run.logging_steps": "logging_steps", "run.seed": "seed",
        "data.max_length": "max_length", "optimizer.max_grad_norm": "max_grad_norm",
    }.items():  # fmt: skip
        assert get(plan, field) == getattr(theirs, key, None), (name, field)
