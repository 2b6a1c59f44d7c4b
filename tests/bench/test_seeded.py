from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
AXOLOTL = """\
base_model: meta-llama/Llama-3.1-8B
datasets:
  - path: my-team/tickets
    type: alpaca
adapter: lora
lora_r: 16  # small
lora_alpha: 32
lora_dropout: 0.0
lora_target_modules: [q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj]
sequence_len: 2048
micro_batch_size: 2
gradient_accumulation_steps: 4
num_epochs: 1
optimizer: adamw_torch
lr_scheduler: cosine
learning_rate: 0.0002
warmup_ratio: 0.05
bf16: true
"""
TRL = """\
model_name_or_path: meta-llama/Llama-3.1-8B
dataset_name: my-team/tickets
use_peft: true
lora_r: 16
lora_alpha: 32
lora_dropout: 0.0
lora_target_modules: [q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj]
learning_rate: 2.0e-4
lr_scheduler_type: cosine
warmup_steps: 20
num_train_epochs: 1
max_length: 2048
output_dir: out
"""


def test_faults_are_planted_found_and_mended(tmp_path: Path) -> None:
    for name, text in (("axolotl", AXOLOTL), ("trl", TRL)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text(text)
    command = [sys.executable, str(ROOT / "bench" / "seeded"), str(tmp_path), "--list", "--left-out"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    (row,) = re.findall(r"^\| all \| (\d+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|", done.stdout, re.MULTILINE)
    planted, found, fixable, fixed, careful = map(int, row)
    assert planted > 80
    assert found == planted, done.stdout
    assert fixable == fixed == careful > 30, done.stdout
    assert "| WRM001 | 1 | a warm-up ratio is written too |" in done.stdout
