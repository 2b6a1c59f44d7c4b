"""xtuner's Python configs."""

from __future__ import annotations

import pytest

from loraplan import formats
from loraplan.document.python import parse
from loraplan.origin import Default
from tests.formats.scripts import run, written

QLORA = """\
import torch
from mmengine.optim import AmpOptimWrapper, CosineAnnealingLR, LinearLR
from peft import LoraConfig
from torch.optim import AdamW
from xtuner.model import SupervisedFinetune

pretrained_model_name_or_path = "acme/Pebble-7B"
data_path = "acme/chat"
max_length = 2048
pack_to_max_length = True
sequence_parallel_size = 1
batch_size = 1  # per device
accumulative_counts = 16
accumulative_counts *= sequence_parallel_size
max_epochs = 3
optim_type = AdamW
lr = 2e-4
weight_decay = 0
warmup_ratio = 0.03
tokenizer = dict(type=AutoTokenizer.from_pretrained, pretrained_model_name_or_path=pretrained_model_name_or_path)
model = dict(
    type=SupervisedFinetune,
    llm=dict(
        type=AutoModelForCausalLM.from_pretrained,
        pretrained_model_name_or_path=pretrained_model_name_or_path,
        torch_dtype=torch.float16,
        quantization_config=dict(
            type=BitsAndBytesConfig,
            load_in_4bit=True,
            bnb_4bit_compute_dtype=torch.float16,
            bnb_4bit_quant_type="nf4",
        ),
    ),
    lora=dict(type=LoraConfig, r=64, lora_alpha=16, lora_dropout=0.1, bias="none", task_type="CAUSAL_LM"),
)
train_dataset = dict(type=process_hf_dataset, dataset=dict(type=load_dataset, path=data_path), tokenizer=tokenizer)
optim_wrapper = dict(type=AmpOptimWrapper, optimizer=dict(type=optim_type, lr=lr), dtype="float16")
param_scheduler = [dict(type=LinearLR, end=warmup_ratio * max_epochs), dict(type=CosineAnnealingLR, eta_min=0.0)]
"""


def test_qlora() -> None:
    reading = run(QLORA, "qlora.py")
    plan = reading.plan
    assert (reading.format, plan.method, plan.model.name) == ("xtuner", "sft", "acme/Pebble-7B")
    assert (plan.adapter.method, plan.adapter.r, plan.adapter.alpha, plan.adapter.dropout) == ("lora", 64, 16, 0.1)
    assert plan.adapter.target_modules == "all-linear"
    quantization = plan.quantization
    assert (quantization.bits, quantization.quant_type, quantization.compute_dtype) == (4, "nf4", "float16")
    assert quantization.double_quant is False
    assert (plan.optimizer.name, plan.optimizer.learning_rate, plan.schedule.name) == ("adamw", 2e-4, "cosine")
    assert (plan.batch.micro_batch_size, plan.batch.gradient_accumulation_steps, plan.schedule.epochs) == (1, 16, 3)
    assert (plan.precision.fp16, plan.precision.gradient_checkpointing) == (True, True)
    assert (plan.data.datasets, plan.data.max_length, plan.data.packing) == (("acme/chat",), 2048, True)


def test_where_it_comes_from() -> None:
    reading = run(QLORA, "qlora.py")
    assert written(reading, "adapter.r") == ("64", 34, 34)
    assert written(reading, "optimizer.learning_rate") == ("2e-4", 17, 6)
    assert written(reading, "model.name") == ('"acme/Pebble-7B"', 7, 33)
    assert reading.key("adapter.r") == "model.lora.r"
    double = reading.origins["quantization.double_quant"]
    assert isinstance(double, Default)
    assert double.source == "transformers/utils/quantization_config.py@5.23.0: BitsAndBytesConfig"
    targets = reading.origins["adapter.target_modules"]
    assert isinstance(targets, Default)
    assert targets.framework == "xtuner"


def test_without_lora() -> None:
    text = "lr = 2e-5\nmodel = dict(type=SupervisedFinetune, llm=dict(type=A.from_pretrained))\n"
    plan = run(text, "full.py").plan
    assert (plan.adapter.method, plan.adapter.r, plan.quantization.bits) == ("none", None, 16)


def test_llava_stages() -> None:
    stage = "lr = 1e-3\nmodel = dict(type=LLaVAModel, freeze_llm=True, llm=dict(type=A, load=1){})\n"
    assert run(stage.format(""), "pretrain.py").plan.adapter.method == "projector"
    reading = run(stage.format(", llm_lora=dict(type=LoraConfig, r=512, lora_alpha=256)"), "finetune.py")
    assert (reading.plan.adapter.method, reading.plan.adapter.r, reading.plan.adapter.alpha) == ("lora", 512, 256)


INTERNVL = """\
path = "acme/Sight-4B"
lr = 1e-6
model = dict(
    type=InternVL_V1_5,
    model_path=path,
    freeze_llm=True,
    freeze_visual_encoder=True,
    quantization_llm=True,
    llm_lora=dict(type=LoraConfig, r=128, lora_alpha=256, target_modules=None, task_type="CAUSAL_LM"),
)
"""


def test_internvl() -> None:
    reading = run(INTERNVL, "internvl.py")
    plan = reading.plan
    assert (reading.format, plan.method, plan.model.name) == ("xtuner", "sft", "acme/Sight-4B")
    assert (plan.adapter.method, plan.adapter.r, plan.adapter.target_modules) == ("lora", 128, "all-linear")
    quantization = plan.quantization
    assert (quantization.bits, quantization.quant_type, quantization.compute_dtype) == (4, "nf4", "float16")
    assert (quantization.double_quant, plan.model.dtype) == (True, "bfloat16")
    plain = run(INTERNVL.replace("quantization_llm=True,", ""), "internvl.py").plan.quantization
    assert (plain.bits, plain.quant_type) == (16, None)
    assert reading.key_issues == []


TRANSFORMERS = """\
framework = "huggingface"
pretrained_model_name_or_path = "acme/Pebble-7B"
max_length = 2048
trainer = Trainer
training_args = dict(
    type=TrainingArguments, learning_rate=2e-4, warmup_steps=100, fp16=True, per_device_train_batch_size=1,
    gradient_accumulation_steps=16, optim="paged_adamw_32bit", lr_scheduler_type="cosine",
)
model = dict(
    type=AutoModelForCausalLM.from_pretrained,
    pretrained_model_name_or_path=pretrained_model_name_or_path,
    quantization_config=dict(type=BitsAndBytesConfig, load_in_4bit=True, bnb_4bit_quant_type="nf4"),
)
lora = dict(type=LoraConfig, r=64, lora_alpha=16, lora_dropout=0.1)
"""


def test_with_the_trainer_of_transformers() -> None:
    reading = run(TRANSFORMERS, "hf.py")
    plan = reading.plan
    assert (reading.format, plan.model.name, plan.data.max_length) == ("xtuner", "acme/Pebble-7B", 2048)
    assert (plan.adapter.method, plan.adapter.r, plan.adapter.target_modules) == ("lora", 64, "all-linear")
    assert (plan.quantization.bits, plan.quantization.quant_type, plan.quantization.double_quant) == (4, "nf4", False)
    assert (plan.optimizer.name, plan.optimizer.learning_rate) == ("paged_adamw_32bit", 2e-4)
    assert (plan.schedule.name, plan.schedule.warmup_steps, plan.schedule.epochs) == ("cosine", 100, 3)
    assert (plan.batch.micro_batch_size, plan.batch.gradient_accumulation_steps) == (1, 16)
    assert written(reading, "optimizer.learning_rate") == ("2e-4", 6, 43)
    assert reading.key_issues == []


@pytest.mark.parametrize("text", ["model = 3\n", "model = dict(type=X)\n", "x = 1\n"])
def test_not_ours(text: str) -> None:
    with pytest.raises(formats.NotAConfig):
        formats.read(parse(text, "x.py"))
