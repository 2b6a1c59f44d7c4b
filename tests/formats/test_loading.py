"""Which class a framework loads a seeing model with."""

from __future__ import annotations

import pytest

from loraplan.context import Facts, Inputs
from loraplan.formats.loading import text_alone
from loraplan.formats.reading import Reading
from tests.formats.reader import read_one

OUMI = "model:\n  model_name: {model}\n{more}training:\n  trainer_type: TRL_SFT\n  use_peft: true\npeft:\n  lora_r: 8\n"
NEMO = """\
model:
  _target_: nemo_automodel.{loader}.from_pretrained
  pretrained_model_name_or_path: meta-llama/Llama-3.2-11B-Vision-Instruct
peft:
  _target_: nemo_automodel.components._peft.lora.PeftConfig
  target_modules: '*_proj'
  dim: 8
step_scheduler:
  num_epochs: 1
"""


@pytest.mark.parametrize(
    ("name", "text", "model_type", "alone"),
    [
        ("oumi", OUMI.format(model="meta-llama/Llama-3.2-11B-Vision-Instruct", more=""), "mllama", False),
        (
            "oumi",
            OUMI.format(model="meta-llama/Llama-3.2-11B-Vision-Instruct", more="  text_only: true\n"),
            "mllama",
            True,
        ),
        ("oumi", OUMI.format(model="meta-llama/Llama-4-Scout-17B-16E", more=""), "llama4", True),
        ("nemo-automodel", NEMO.format(loader="NeMoAutoModelForCausalLM"), "mllama", True),
        ("nemo-automodel", NEMO.format(loader="NeMoAutoModelForImageTextToText"), "mllama", False),
        ("axolotl", "base_model: m\nadapter: lora\nlora_r: 8\nmicro_batch_size: 1\n", "llama4", False),
        ("trl", "model_name_or_path: m\nuse_peft: true\nlora_r: 8\nlearning_rate: 1.0e-4\n", "mllama", None),
    ],
)
def test_what_is_loaded(name: str, text: str, model_type: str, alone: bool | None) -> None:
    assert text_alone(read_one(name, text), model_type) is alone


def _earlier(reading: Reading) -> Reading:
    return reading


def test_a_run_on_text_counts_no_tower() -> None:
    counts = {}
    for loader in ("NeMoAutoModelForCausalLM", "NeMoAutoModelForImageTextToText"):
        facts = Facts(read_one("nemo-automodel", NEMO.format(loader=loader)), Inputs(), {}, _earlier)
        counts[loader] = (facts.arch().multimodal, facts.arch().parameters)
    assert counts["NeMoAutoModelForCausalLM"] == (False, 9_775_192_080)
    assert counts["NeMoAutoModelForImageTextToText"] == (True, 10_670_220_835)
