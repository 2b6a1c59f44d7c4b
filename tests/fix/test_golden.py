"""Files before and after: one change in the file's own style, every other character as it was."""

from __future__ import annotations

import difflib

import pytest

from loraplan.context import Inputs
from loraplan.engine import Checker, Overrides
from loraplan.fixing import Fixed, fix_text

AXOLOTL = """\
# my run ✓
base_model: NousResearch/Llama-3.2-1B
datasets:
  - path: tatsu-lab/alpaca
    type: alpaca
val_set_size: 0.05
adapter: lora
lora_r: 16   # rank
lora_alpha: 32
lora_target_linear: true
sequence_len: 2048
micro_batch_size: 2
gradient_accumulation_steps: 4
num_epochs: 1
optimizer: "adamw_torch_fused"
lr_scheduler: cosine
learning_rate: 2.0e-4
warmup_steps: 10
bf16: auto
"""
LLAMAFACTORY = """\
model_name_or_path: meta-llama/Meta-Llama-3-8B-Instruct
stage: sft
do_train: true
finetuning_type: lora
lora_rank: 16
lora_alpha: 32
lora_target: q_proj,k_proj  # two of them
dataset: alpaca_en_demo
template: llama3
cutoff_len: 2048
output_dir: saves/llama3-8b
per_device_train_batch_size: 1
gradient_accumulation_steps: 8
learning_rate: 1.0e-4
num_train_epochs: 1.0
lr_scheduler_type: cosine
warmup_ratio: 0.1
bf16: true
"""
TRL = """\
model_name_or_path: meta-llama/Llama-3.2-1B
dataset_name: tatsu-lab/alpaca
dtype: bfloat16
use_peft: true
lora_r: 16
lora_alpha: 32
lora_target_modules:
  - q_proj
  - k_proj
learning_rate: 2.0e-4
lr_scheduler_type: cosine
warmup_steps: 20
per_device_train_batch_size: 2
gradient_accumulation_steps: 4
num_train_epochs: 1
bf16: true
output_dir: out
"""
HF_ARGS = """\
model_name_or_path: meta-llama/Llama-3.2-1B
use_lora: true
lora_rank: 16
lora_alpha: 32
output_dir: out
learning_rate: 0.0001
per_device_train_batch_size: 2
gradient_accumulation_steps: 8
num_train_epochs: 1
lr_scheduler_type: cosine
warmup_steps: 20
"""
PEFT = """\
{
  "base_model_name_or_path": "meta-llama/Llama-3.1-8B",
  "bias": "none",
  "lora_alpha": 0.5,
  "peft_type": "LORA",
  "r": 16,
  "target_modules": [
    "q_proj",
    "v_projj",
    "up_proj"
  ]
}
"""
PYTHON = """\
import torch
from peft import LoraConfig
from transformers import AutoModelForCausalLM, BitsAndBytesConfig
from trl import SFTConfig, SFTTrainer

quantization = BitsAndBytesConfig(
    load_in_4bit=True,  # é
    bnb_4bit_quant_type='fp4',
    bnb_4bit_compute_dtype=torch.bfloat16,
)
model = AutoModelForCausalLM.from_pretrained("meta-llama/Llama-3.1-8B", quantization_config=quantization)
peft_config = LoraConfig(r=64, target_modules="all-linear", task_type="CAUSAL_LM")
args = SFTConfig(output_dir="out", learning_rate=2e-4, warmup_steps=50, num_train_epochs=2, bf16=True)
trainer = SFTTrainer(model, args=args, peft_config=peft_config)
"""
SHELL = """\
#!/bin/bash
# launch
CUDA_VISIBLE_DEVICES=0 swift sft \\
    --model Qwen/Qwen2.5-7B-Instruct \\
    --train_type lora \\
    --dataset 'AI-ModelScope/alpaca-gpt4-data-zh#500' \\
    --torch_dtype bfloat16 \\
    --num_train_epochs 1 \\
    --per_device_train_batch_size 1 \\
    --learning_rate 1e-2 \\
    --lora_rank 64 \\
    --target_modules q_proj k_proj \\
    --warmup_ratio 0.05 \\
    --output_dir output
"""
TOML = """\
# qlora-pipe
output_dir = "/data/training_runs/x"
model = "/data/models/Llama-3.1-8B"
full_fine_tune = false
load_in_4bit = true
lora_rank = 64
lora_alpha = 1 # small
lora_dropout = 0.05
epochs = 2
lr_scheduler = "cosine"
warmup_steps = 10
batch_size_tokens = 10000
pipeline_stages = 1
gradient_accumulation_steps = 4
gradient_clipping = 1.0
eval_steps = 100

[optimizer]
type = 'adamw_kahan'
lr = 5e-2
beta1 = 0.9
beta2 = 0.99
weight_decay = 0.01

[[datasets]]
name = 'x'
dataset_type = 'textfile'
dataset_path = '/data/x/*'
sequence_len = 2048
"""
TORCHTUNE = """\
tokenizer:
  _component_: torchtune.models.llama3.llama3_tokenizer
  path: /tmp/Meta-Llama-3.1-8B-Instruct/original/tokenizer.model
  max_seq_len: 2048
model:
  _component_: torchtune.models.llama3_1.lora_llama3_1_8b
  lora_attn_modules: ['q_proj', 'v_proj', 'output_proj']
  apply_lora_to_mlp: True
  lora_rank: 8
  lora_alpha: 16
  lora_dropout: 0.0
optimizer:
  _component_: torch.optim.AdamW
  fused: True
  weight_decay: 0.01
  lr: 3e-2
lr_scheduler:
  _component_: torchtune.training.lr_schedulers.get_cosine_schedule_with_warmup
  num_warmup_steps: 100
dataset:
  _component_: torchtune.datasets.alpaca_cleaned_dataset
  packed: False
batch_size: 2
epochs: 1
gradient_accumulation_steps: 8
dtype: bf16
seed: 1
"""
LITGPT = """\
checkpoint_dir: checkpoints/meta-llama/Llama-3.2-1B
out_dir: out/finetune/lora
precision: bf16-true
lora_r: 16
lora_alpha: 0.5
lora_dropout: 5
lora_query: true
lora_key: true
lora_value: true
lora_projection: true
lora_mlp: true
data:
  class_path: litgpt.data.Alpaca2k
train:
  global_batch_size: 16
  micro_batch_size: 2
  epochs: 1
  lr_warmup_steps: 10
optimizer:
  class_path: torch.optim.AdamW
  init_args:
    lr: 0.0002
    weight_decay: 0.0
"""


def fixed(text: str, path: str, *, unsafe: bool = True, select: str | None = None, **inputs: object) -> Fixed:
    checker = Checker(Inputs(**inputs), Overrides(select=(select,) if select else None, isolated=True))  # type: ignore[arg-type]
    done = fix_text(checker, path, text, unsafe=unsafe)
    assert done is not None
    return done


def changed(before: str, after: str) -> list[str]:
    lines = difflib.ndiff(before.split("\n"), after.split("\n"))
    return [line for line in lines if line[0] in "+-"]


def swap(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1
    return text.replace(old, new)


CASES = {
    "axolotl: a number beside its comment": (
        "a.yml", swap(AXOLOTL, "lora_alpha: 32", "lora_alpha: 1  # why?"), "ALP001",
        ["- lora_alpha: 1  # why?", "+ lora_alpha: 32  # why?"],
    ),
    "axolotl: a missing key behind its sibling": (
        "a.yml", swap(AXOLOTL, "lora_alpha: 32\n", ""), "ALP002", ["+ lora_alpha: 32"],
    ),
    "axolotl: a key renamed": (
        "a.yml", swap(AXOLOTL, "lora_alpha: 32", "'lora_alhpa':   32"), "CFG001",
        ["- 'lora_alhpa':   32", "+ 'lora_alpha':   32"],
    ),
    "hf-args: the number that PyYAML reads": (
        "h.yaml", swap(HF_ARGS, "0.0001", "1e-4  # é"), "CFG002",
        ["- learning_rate: 1e-4  # é", "+ learning_rate: 1.0e-4  # é"],
    ),
    "axolotl: a list becomes a switch": (
        "a.yml", swap(AXOLOTL, "lora_target_linear: true", "lora_target_modules:\n  - q_proj\n  - k_proj"),
        "TGT005",
        ["+ lora_target_linear: true", "- lora_target_modules:", "-   - q_proj", "-   - k_proj"],
    ),
    "llamafactory: removed with its line": (
        "l.yaml", swap(LLAMAFACTORY, "warmup_ratio: 0.1\n", "warmup_ratio: 0.1\nwarmup_steps: 10\n"), "WRM004",
        ["- warmup_ratio: 0.1"],
    ),
    "llamafactory: all": (
        "l.yaml", LLAMAFACTORY, "TGT005",
        ["- lora_target: q_proj,k_proj  # two of them", "+ lora_target: all  # two of them"],
    ),
    "llamafactory as JSON: a key inserted": (
        "l.json",
        ('{"model_name_or_path": "meta-llama/Meta-Llama-3-8B-Instruct", "stage": "sft", "do_train": true,'
        ' "finetuning_type": "lora",\n"lora_rank": 64, "lora_target": "all", "dataset": "a", "template": "llama3",'
        ' "learning_rate": 1e-2}'),
        "LRS002",
        [
            '- "lora_rank": 64, "lora_target": "all", "dataset": "a", "template": "llama3", "learning_rate": 1e-2}',
            '+ "lora_rank": 64, "lora_target": "all", "dataset": "a", "template": "llama3", "learning_rate": 2.0e-4}',
        ],
    ),
    "trl: a block list becomes a string": (
        "t.yaml", TRL, "TGT005",
        ["- lora_target_modules:", "+ lora_target_modules: all-linear", "-   - q_proj", "-   - k_proj"],
    ),
    "peft: an entry of a list": ("adapter_config.json", PEFT, "TGT002", ['-     "v_projj",', '+     "v_proj",']),
    "peft: a number": ("adapter_config.json", PEFT, "ALP001", ['-   "lora_alpha": 0.5,', '+   "lora_alpha": 32,']),
    "python: a string in its quotes": (
        "t.py", PYTHON, "QNT001", ["-     bnb_4bit_quant_type='fp4',", "+     bnb_4bit_quant_type='nf4',"],
    ),
    "python: a keyword inserted": (
        "t.py", PYTHON, "ALP002",
        [
            '- peft_config = LoraConfig(r=64, target_modules="all-linear", task_type="CAUSAL_LM")',
            '+ peft_config = LoraConfig(r=64, lora_alpha=128, target_modules="all-linear", task_type="CAUSAL_LM")',
        ],
    ),
    "python: a keyword on a line of its own": (
        "t.py", swap(PYTHON, "r=64, ", "\n    r=64,  # rank\n    "),
        "ALP002", ["+     lora_alpha=128,"],
    ),
    "shell: a word": (
        "t.sh", SHELL, "LRS002", ["-     --learning_rate 1e-2 \\", "+     --learning_rate 2.0e-4 \\"],
    ),
    "shell: words": (
        "t.sh", SHELL, "TGT005", ["-     --target_modules q_proj k_proj \\", "+     --target_modules all-linear \\"],
    ),
    "shell: an option inserted": ("t.sh", swap(SHELL, "rank 64", "rank 512"), "ALP001", ["+     --lora_alpha 1024 \\"]),
    "toml: a number": ("q.toml", TOML, "LRS002", ["- lr = 5e-2", "+ lr = 2.0e-4"]),
    "toml: beside a comment": ("q.toml", TOML, "ALP001", ["- lora_alpha = 1 # small", "+ lora_alpha = 128 # small"]),
    "torchtune: nested": ("t.yaml", TORCHTUNE, "LRS002", ["-   lr: 3e-2", "+   lr: 2.0e-4"]),
    "torchtune: dtype": (
        "t.yaml", swap(TORCHTUNE, "dtype: bf16", "dtype: fp16"), "PRC006", ["- dtype: fp16", "+ dtype: bf16"],
    ),
    "torchtune: switches for modules": (
        "t.yaml", swap(swap(TORCHTUNE, "apply_lora_to_mlp: True", "apply_lora_to_mlp: False"), "lr: 3e-2", "lr: 3e-4"),
        "TGT004",
        ["-   lora_attn_modules: ['q_proj', 'v_proj', 'output_proj']",
         "+   lora_attn_modules: ['q_proj', 'k_proj', 'v_proj', 'output_proj']",
         "-   apply_lora_to_mlp: False", "+   apply_lora_to_mlp: True"],
    ),
    "litgpt: switches for modules": (
        "l.yaml", swap(swap(LITGPT, "lora_mlp: true", "lora_mlp: false"), "lora_key: true", "lora_key: false"),
        "TGT004", ["- lora_key: false", "+ lora_key: true", "- lora_mlp: false", "+ lora_mlp: true"],
    ),
    "litgpt: a number": ("l.yaml", LITGPT, "ALP001", ["- lora_alpha: 0.5", "+ lora_alpha: 32"]),
    "litgpt: a percentage": ("l.yaml", LITGPT, "DRP002", ["- lora_dropout: 5", "+ lora_dropout: 0.05"]),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_only_the_change_is_made(name: str) -> None:
    path, text, code, expected = CASES[name]
    done = fixed(text, path, select=code)
    assert changed(text, done.text) == expected, (done.refused, [item.code for item in done.result.diagnostics])
    assert [item.code for item in done.applied] == [code]
    assert code not in {item.code for item in done.result.diagnostics}


@pytest.mark.parametrize("name", CASES)
def test_windows_line_endings_and_byte_order_marks_stay(name: str) -> None:
    path, text, code, _ = CASES[name]
    plain = fixed(text, path, select=code).text
    windows = fixed(text.replace("\n", "\r\n"), path, select=code).text
    assert windows == plain.replace("\n", "\r\n")
    if not path.endswith((".sh", ".json", ".toml")):
        assert fixed("\ufeff" + text, path, select=code).text == "\ufeff" + plain


@pytest.mark.parametrize("name", CASES)
def test_fixing_again_changes_nothing(name: str) -> None:
    path, text, _, _ = CASES[name]
    once = fixed(text, path)
    again = fixed(once.text, path)
    assert again.text == once.text
    assert again.applied == []


def test_an_option_is_renamed() -> None:
    done = fixed(SHELL, "t.sh", select="CFG003", versions=(("ms-swift", "4.6.0"),))
    assert changed(SHELL, done.text) == ["-     --train_type lora \\", "+     --tuner_type lora \\"]


def test_without_a_final_newline() -> None:
    text = AXOLOTL.replace("lora_alpha: 32\n", "").rstrip("\n")
    text = text.replace("lora_r: 16   # rank\n", "") + "\nlora_r: 16"
    assert fixed(text, "a.yml", select="ALP002").text == text + "\nlora_alpha: 32"


def test_safe_fixes_alone() -> None:
    text = AXOLOTL.replace("lora_alpha: 32", "lora_alpha: 1").replace("cosine", "constant")
    done = fixed(text, "a.yml", unsafe=False)
    assert changed(text, done.text) == ["- lr_scheduler: constant", "+ lr_scheduler: constant_with_warmup"]
    assert {item.code for item in done.result.diagnostics} == {"ALP001"}


def test_a_suppressed_finding_is_left() -> None:
    text = swap(AXOLOTL, "lora_alpha: 32", "lora_alpha: 1  # loraplan: ignore[ALP001]")
    assert fixed(text, "a.yml").text == text


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("lora_alpha: 32\n", "lora_alpha: &small 1\nlora_x: *small\n"),
        ("lora_alpha: 32\n", "x: &small 1\nlora_alpha: *small\n"),
        ("lora_alpha: 32\n", "x: &defaults\n  lora_alpha: 1\n<<: *defaults\n"),
    ],
)
def test_a_value_that_serves_other_places_is_shown(old: str, new: str) -> None:
    text = swap(AXOLOTL, old, new)
    done = fixed(text, "a.yml", select="ALP001")
    assert done.text == text
    assert [(item.finding.code, item.reason) for item in done.refused] == [
        ("ALP001", "the value also serves other places")
    ]


def test_an_anchor_nobody_uses_stays() -> None:
    text = swap(AXOLOTL, "lora_alpha: 32", "lora_alpha: &a 1")
    assert fixed(text, "a.yml", select="ALP001").text == swap(text, "&a 1", "&a 32")


def test_a_shell_variable_is_shown() -> None:
    text = "RATE=1e-2\n" + swap(SHELL, "1e-2", "$RATE")
    done = fixed(text, "t.sh", select="LRS002")
    assert done.text == text
    assert [item.reason for item in done.refused] == ["the value also serves other places"]


def test_a_python_name_is_shown() -> None:
    text = swap(PYTHON, "learning_rate=2e-4", "learning_rate=rate").replace(
        "import torch\n", "import torch\nrate = 2e-2\n"
    )
    done = fixed(text, "t.py", select="LRS002")
    assert done.text == text
    assert [item.reason for item in done.refused] == ["the value also serves other places"]


def test_unknown_keywords_forbid_an_insertion() -> None:
    text = swap(PYTHON, 'task_type="CAUSAL_LM")', 'task_type="CAUSAL_LM", **more)')
    done = fixed(text, "t.py", select="ALP002")
    assert done.text == text


LIST_WITH_COMMENTS = """\
# why these: see notes
lora_target_modules:
  - q_proj   # ablation 12
  # k_proj hurt by 0.4
  - v_proj
"""
COMMENTS = {
    "axolotl.yml": (LIST_WITH_COMMENTS, "k_proj hurt"),
    "sft.yaml": ("warmup_ratio: 0.03   # agreed with Ana, do not change\nwarmup_steps: 20\n", "agreed with Ana"),
}
BASES = {
    "axolotl.yml": AXOLOTL.replace("lora_target_linear: true\n", "").replace("lora_r: 16 ", "lora_r: 64 "),
    "sft.yaml": TRL,
}


@pytest.mark.parametrize("name", COMMENTS)
def test_a_fix_that_would_take_a_comment_with_it_is_refused(name: str) -> None:
    lines, comment = COMMENTS[name]
    text = BASES[name] + lines
    checker = Checker(Inputs(versions=(("transformers", "4.57.1"),)), Overrides(isolated=True))
    fixed = fix_text(checker, name, text, unsafe=True)
    assert fixed is not None
    assert comment in fixed.text
    assert "a comment would be lost" in {item.reason for item in fixed.refused}


def test_a_comment_in_a_python_call_is_kept() -> None:
    text = (
        "from peft import LoraConfig\nfrom trl import SFTConfig\n"
        'config = LoraConfig(r=64, lora_alpha=128, target_modules=["q_proj",  # ablation 12\n    "k_proj"])\n'
        'args = SFTConfig(output_dir="o", learning_rate=2e-4, warmup_steps=10, max_steps=900)\n'
    )
    fixed = fix_text(Checker(overrides=Overrides(isolated=True)), "train.py", text, unsafe=True)
    assert fixed is not None
    assert "# ablation 12" in fixed.text
