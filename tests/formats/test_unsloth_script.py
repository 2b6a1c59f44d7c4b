"""Scripts and exported notebooks on Unsloth."""

from __future__ import annotations

import pytest

from loraplan.origin import Default
from tests.formats.scripts import run, written

NOTEBOOK = """\
%%capture
!pip install unsloth
from unsloth import FastLanguageModel
import torch
max_seq_length = 2048 # any
dtype = None
load_in_4bit = True
model, tokenizer = FastLanguageModel.from_pretrained(
    model_name = "acme/Pebble-8B",
    max_seq_length = max_seq_length,
    dtype = dtype,
    load_in_4bit = load_in_4bit,
)
model = FastLanguageModel.get_peft_model(
    model,
    r = 32, # > 0
    lora_alpha = 16,
    lora_dropout = 0,
    bias = "none",
    use_gradient_checkpointing = "unsloth",
)
from datasets import load_dataset
dataset = load_dataset("acme/instructions", split = "train")
trainer = SFTTrainer(
    model = model,
    train_dataset = dataset,
    packing = False,
    args = SFTConfig(
        per_device_train_batch_size = 2,
        max_steps = 60,
        learning_rate = 2e-4,
        fp16 = not torch.cuda.is_bf16_supported(),
    ),
)
"""


def test_notebook() -> None:
    reading = run(NOTEBOOK, "notebook.py")
    plan = reading.plan
    assert (reading.format, reading.framework, plan.method) == ("unsloth", "unsloth", "sft")
    assert (plan.model.name, plan.data.datasets, plan.data.max_length) == (
        "acme/Pebble-8B", ("acme/instructions",), 2048,
    )  # fmt: skip
    assert (plan.adapter.method, plan.adapter.r, plan.adapter.alpha, plan.adapter.dropout) == ("lora", 32, 16, 0)
    assert plan.adapter.target_modules == (
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
    )  # fmt: skip
    assert (plan.quantization.bits, plan.quantization.quant_type, plan.quantization.double_quant) == (4, "nf4", True)
    assert (plan.precision.gradient_checkpointing, plan.precision.checkpointing_kind) == (True, "unsloth")
    assert (plan.batch.micro_batch_size, plan.batch.gradient_accumulation_steps) == (2, 2)
    assert (plan.schedule.max_steps, plan.optimizer.name) == (60, "adamw_8bit")
    assert (plan.schedule.warmup_ratio, plan.schedule.warmup_steps) == (0.1, None)
    assert (plan.precision.fp16, plan.data.packing) == (None, False)


def test_where_it_comes_from() -> None:
    reading = run(NOTEBOOK, "notebook.py")
    assert written(reading, "adapter.r") == ("32", 16, 9)
    assert written(reading, "data.max_length") == ("2048", 5, 18)
    assert written(reading, "quantization.load_in_4bit") == ("True", 7, 16)
    accumulation = reading.origins["batch.gradient_accumulation_steps"]
    assert isinstance(accumulation, Default)
    assert (accumulation.framework, accumulation.source) == ("unsloth", "unsloth/models/rl.py@2026.10.9")


@pytest.mark.parametrize(
    ("load", "bits", "four"),
    [
        ("model_name='m'", 4, True),
        ("'m', load_in_4bit=False", 16, False),
        ("'m', load_in_8bit=True", 8, False),
        ("'m', load_in_16bit=True", 16, False),
        ("'m', full_finetuning=True", 16, False),
    ],
)
def test_width_of_the_weights(load: str, bits: int, four: bool) -> None:
    text = f"from unsloth import FastModel\nm, t = FastModel.from_pretrained({load})\nm = FastModel.get_peft_model(m)\n"
    plan = run(text, "t.py").plan
    assert (plan.model.name, plan.quantization.bits, plan.quantization.load_in_4bit) == ("m", bits, four)
    full = "full_finetuning" in load
    assert (plan.adapter.method, plan.adapter.r) == (("none", None) if full else ("lora", 16))


def test_plain_training_arguments_keep_their_defaults() -> None:
    text = "m, t = FastLanguageModel.from_pretrained('m')\na = TrainingArguments('o')\n"
    plan = run(text, "t.py").plan
    assert (plan.optimizer.learning_rate, plan.batch.micro_batch_size, plan.adapter.r) == (5e-5, 8, None)


def test_loading_for_inference_says_nothing_of_training() -> None:
    plan = run("m, t = FastLanguageModel.from_pretrained('m', max_seq_length=4096)\n", "t.py").plan
    assert (plan.adapter.method, plan.optimizer.learning_rate, plan.data.max_length) == (None, None, 4096)
