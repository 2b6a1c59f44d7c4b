"""The same small run in five dialects, each naming a local model and local data, with values that are no defaults."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tests.trainer.tiny import WORDS


def alpaca(count: int) -> list[dict[str, str]]:
    return [
        {"instruction": f"what comes after {WORDS[index % 8]} ?", "output": f"{WORDS[(index + 1) % 8]} ."}
        for index in range(count)
    ]


def messages(count: int) -> list[dict[str, object]]:
    return [
        {
            "messages": [
                {"role": "user", "content": row["instruction"]},
                {"role": "assistant", "content": row["output"]},
            ]
        }
        for row in alpaca(count)
    ]


def rows(path: Path, items: list[dict[str, str]] | list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(item) + "\n" for item in items), encoding="utf-8")


AXOLOTL = """\
base_model: ./tiny
datasets:
  - path: rows.jsonl
    type: chat_template
adapter: lora
lora_r: 4
lora_alpha: 12
lora_dropout: 0.05
lora_target_modules: [q_proj, v_proj, down_proj]
sequence_len: 96
sample_packing: false
micro_batch_size: 2
gradient_accumulation_steps: 2
max_steps: 4
optimizer: adamw_torch
lr_scheduler: cosine
learning_rate: 0.0004
warmup_steps: 1
weight_decay: 0.02
max_grad_norm: 0.7
bf16: false
gradient_checkpointing: false
seed: 11
logging_steps: 1
save_steps: 4
"""
LLAMAFACTORY = """\
model_name_or_path: ./tiny
stage: sft
do_train: true
finetuning_type: lora
lora_rank: 4
lora_alpha: 12
lora_dropout: 0.05
lora_target: q_proj,v_proj
dataset: ours
dataset_dir: .
template: empty
cutoff_len: 96
output_dir: out
logging_steps: 1
save_steps: 3
per_device_train_batch_size: 2
gradient_accumulation_steps: 1
learning_rate: 4.0e-4
max_steps: 3
lr_scheduler_type: linear
warmup_ratio: 0.34
weight_decay: 0.02
seed: 11
"""
TRL = """\
model_name_or_path: ./tiny
dtype: float32
dataset_name: rows.jsonl
learning_rate: 4.0e-4
lr_scheduler_type: constant_with_warmup
warmup_steps: 1
max_steps: 3
per_device_train_batch_size: 2
gradient_accumulation_steps: 1
weight_decay: 0.02
adam_beta2: 0.95
max_length: 96
bf16: false
gradient_checkpointing: false
use_peft: true
lora_r: 4
lora_alpha: 12
lora_dropout: 0.05
lora_target_modules: [q_proj, k_proj]
use_rslora: true
seed: 11
logging_steps: 1
save_steps: 3
"""
TORCHTUNE = """\
model:
  _component_: torchtune.models.llama3_2.lora_llama3_2_1b
  lora_attn_modules: ['q_proj', 'v_proj']
  apply_lora_to_mlp: True
  lora_rank: 4
  lora_alpha: 12
  lora_dropout: 0.05
tokenizer:
  _component_: torchtune.models.llama3.llama3_tokenizer
  path: ./tiny/original/tokenizer.model
  max_seq_len: 160
checkpointer:
  _component_: torchtune.training.FullModelHFCheckpointer
  checkpoint_dir: ./tiny
  model_type: LLAMA3_2
dataset:
  _component_: torchtune.datasets.alpaca_dataset
  source: json
  data_files: rows.jsonl
  packed: False
seed: 11
batch_size: 2
optimizer:
  _component_: torch.optim.AdamW
  fused: True
  weight_decay: 0.02
  lr: 4e-4
lr_scheduler:
  _component_: torchtune.training.get_cosine_schedule_with_warmup
  num_warmup_steps: 1
loss:
  _component_: torchtune.modules.loss.LinearCrossEntropyLoss
epochs: 1
max_steps_per_epoch: 3
gradient_accumulation_steps: 1
device: cpu
dtype: fp32
enable_activation_checkpointing: False
"""
PEFT = """\
from datasets import load_dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

model = AutoModelForCausalLM.from_pretrained("./tiny", dtype="float32")
tokenizer = AutoTokenizer.from_pretrained("./tiny")
dataset = load_dataset("json", data_files="rows.jsonl", split="train")
peft_config = LoraConfig(
    r=4,
    lora_alpha=12,
    lora_dropout=0.05,
    target_modules=["q_proj", "v_proj", "up_proj"],
    use_dora=True,
    task_type="CAUSAL_LM",
)
args = SFTConfig(
    output_dir="out",
    learning_rate=4e-4,
    lr_scheduler_type="cosine",
    warmup_steps=1,
    max_steps=3,
    per_device_train_batch_size=2,
    gradient_accumulation_steps=1,
    weight_decay=0.02,
    max_length=96,
    bf16=False,
    gradient_checkpointing=False,
    seed=11,
    logging_steps=1,
    save_steps=3,
)
trainer = SFTTrainer(model=model, args=args, train_dataset=dataset, processing_class=tokenizer, peft_config=peft_config)
trainer.train()
"""


def write_axolotl(folder: Path) -> Path:
    rows(folder / "rows.jsonl", messages(24))
    return _config(folder, "axolotl.yml", AXOLOTL)


def write_llamafactory(folder: Path) -> Path:
    rows(folder / "ours.jsonl", alpaca(24))
    (folder / "dataset_info.json").write_text(json.dumps({"ours": {"file_name": "ours.jsonl"}}), encoding="utf-8")
    return _config(folder, "llamafactory.yaml", LLAMAFACTORY)


def write_trl(folder: Path) -> Path:
    rows(folder / "rows.jsonl", messages(24))
    return _config(folder, "trl.yaml", TRL)


def write_torchtune(folder: Path) -> Path:
    rows(folder / "rows.jsonl", alpaca(24))
    return _config(folder, "torchtune.yaml", TORCHTUNE)


def write_peft(folder: Path) -> Path:
    rows(folder / "rows.jsonl", messages(24))
    return _config(folder, "peft.py", PEFT)


DIALECTS: dict[str, Callable[[Path], Path]] = {
    "axolotl": write_axolotl,
    "llamafactory": write_llamafactory,
    "trl": write_trl,
    "torchtune": write_torchtune,
    "python": write_peft,
}


def _config(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name
