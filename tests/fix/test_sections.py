"""Sections that are not in the file, and modules that are chosen by switches: what is written, format by format."""

from __future__ import annotations

from typing import Any

import pytest

from loraplan.document.edit import CannotEditError, apply
from loraplan.document.read import read as parse
from loraplan.fixing.changes import ways
from loraplan.fixing.verify import objection
from loraplan.formats import read
from loraplan.formats.reading import Reading
from loraplan.plan import get
from loraplan.rule import Fix, Set
from tests.fix.test_golden import AXOLOTL, HF_ARGS, LITGPT, PYTHON, TORCHTUNE, TRL, changed, swap

OUMI = """\
model:
  model_name: "meta-llama/Llama-3.1-8B"
data:
  train:
    datasets:
      - dataset_name: "yahma/alpaca-cleaned"
training:
  trainer_type: "TRL_SFT"
  use_peft: True
  enable_gradient_checkpointing: True
  learning_rate: 3.0e-04

# where it goes
"""
NEMO = """\
model:
  _target_: nemo_automodel.NeMoAutoModelForCausalLM.from_pretrained
  pretrained_model_name_or_path: meta-llama/Llama-3.2-1B
peft:
  _target_: nemo_automodel.components._peft.lora.PeftConfig
  match_all_linear: True
  dim: 8
  alpha: 32
step_scheduler:
  global_batch_size: 64
  local_batch_size: 8
  max_steps: 1000
optimizer:
  _target_: torch.optim.Adam
  lr: 1.0e-5
"""
LUDWIG = """\
model_type: llm
base_model: meta-llama/Llama-2-7b-hf
adapter:
  type: lora
input_features:
  - name: prompt
    type: text
output_features:
  - name: output
    type: text
trainer:
  type: finetune
  learning_rate: 0.0001
"""
MLX = """\
model: mlx-community/Llama-3.2-1B-Instruct-4bit
train: true
data: data
iters: 1000
num_layers: 16  # the last
learning_rate: 1.0e-5
"""
SHORT_PYTHON = swap(PYTHON, 'output_dir="out", ', "").replace(", warmup_steps=50, num_train_epochs=2, bf16=True", "")
HF_JSON = """\
{
  "model_name_or_path": "meta-llama/Llama-3.2-1B",
  "use_lora": true,
  "lora_rank": 16,
  "output_dir": "out",
  "per_device_train_batch_size": 2,
  "gradient_checkpointing": true
}
"""
UNSLOTH = "model: a/b\ntraining:\n  training_type: lora\n  learning_rate: 3e-4\nlora:\n  lora_r: 16\n"
LORAPLAN = 'loraplan = 1\n\n[model]\nname = "meta-llama/Llama-3.2-1B"  # the base\n\n[adapter]\nr = 16\n'
QLORA = AXOLOTL.replace("adapter: lora", "adapter: qlora\nload_in_4bit: true").replace(
    "bf16: auto", "bf16: auto\ngradient_checkpointing: true"
)
SMALL_LITGPT = LITGPT[: LITGPT.index("train:")] + "train:\n    global_batch_size: 16\n    micro_batch_size: 2\n"


def done(text: str, path: str, *sets: Set, fmt: str | None = None) -> tuple[str, Reading]:
    """The first proved way of making changes."""
    before = read(parse(path, text))
    fix = Fix("set it", sets, "safe")
    reasons = []
    for edits in ways(before[0], fix):
        new = apply(text, edits)
        after = read(parse(path, new))
        against = objection(before, after, 0, fix, edits)
        if against is None:
            return new, after[0]
        reasons.append(against)
    pytest.fail(f"no way: {reasons}")


CREATED: dict[str, tuple[str, str, dict[str, Any], list[str]]] = {
    "axolotl": (
        "a.yml", QLORA, {"precision.use_reentrant": False},
        ["+ gradient_checkpointing_kwargs:", "+   use_reentrant: false"],
    ),
    "axolotl, two keys of one section": (
        "a.yml", QLORA, {"quantization.quant_type": "nf4", "quantization.compute_dtype": "bfloat16"},
        ["+ bnb_config_kwargs:", "+   bnb_4bit_quant_type: nf4", "+   bnb_4bit_compute_dtype: bfloat16"],
    ),
    "axolotl, an empty section": (
        "a.yml", QLORA + "gradient_checkpointing_kwargs:\n", {"precision.use_reentrant": True},
        ["+   use_reentrant: true"],
    ),
    "trl, by the name of today": (
        "t.yaml", TRL + "gradient_checkpointing: true\n", {"precision.use_reentrant": False},
        ["+ activation_checkpointing_kwargs:", "+   use_reentrant: false"],
    ),
    "transformers' arguments as JSON": (
        "h.json", HF_JSON, {"precision.use_reentrant": False},
        [
            '-   "gradient_checkpointing": true', '+   "gradient_checkpointing": true,',
            '+   "activation_checkpointing_kwargs": {', '+     "use_reentrant": false', "+   }",
        ],
    ),
    "transformers' arguments": (
        "h.yaml", HF_ARGS + "gradient_checkpointing: true\n", {"precision.use_reentrant": False},
        ["+ activation_checkpointing_kwargs:", "+   use_reentrant: false"],
    ),
    "oumi, within a section": (
        "o.yaml", OUMI, {"precision.use_reentrant": False},
        ["+   gradient_checkpointing_kwargs:", "+     use_reentrant: False"],
    ),
    "oumi, a section of its own": (
        "o.yaml", OUMI, {"adapter.r": 32, "adapter.target_modules": ("q_proj", "v_proj")},
        ["+ peft:", "+   lora_r: 32", '+   lora_target_modules: ["q_proj", "v_proj"]'],
    ),
    "nemo-automodel keeps the rate constant": (
        "n.yaml", NEMO, {"schedule.warmup_steps": 30},
        ["+ lr_scheduler:", "+   lr_decay_style: constant", "+   lr_warmup_steps: 30"],
    ),
    "nemo-automodel, the style alone": (
        "n.yaml", NEMO, {"schedule.name": "cosine"},
        ["+ lr_scheduler:", "+   lr_decay_style: cosine", "+   lr_warmup_steps: 0"],
    ),
    "ludwig": (
        "l.yaml", LUDWIG, {"schedule.warmup_ratio": 0.03},
        ["+   learning_rate_scheduler:", "+     warmup_fraction: 0.03"],
    ),
    "mlx-lm wants the section whole": (
        "m.yaml", MLX, {"adapter.r": 16},
        ["+ lora_parameters:", "+   rank: 16", "+   dropout: 0", "+   scale: 20"],
    ),
    "litgpt, two sections": (
        "g.yaml", SMALL_LITGPT, {"optimizer.learning_rate": 0.0002},
        ["+ optimizer:", "+   class_path: torch.optim.AdamW", "+   init_args:", "+     lr: 0.0002"],
    ),
    "loraplan as JSON": (
        "loraplan.json", '{"loraplan": 1, "model": {"name": "a/b"},\n"adapter": {}}', {"adapter.r": 8},
        ['- "adapter": {}}', '+ "adapter": {"r": 8}}'],
    ),
    "a keyword of a call": (
        "t.py", SHORT_PYTHON,
        {"precision.use_reentrant": False, "precision.gradient_checkpointing": True},
        [
            "- args = SFTConfig(learning_rate=2e-4)",
            '+ args = SFTConfig(learning_rate=2e-4, activation_checkpointing_kwargs={"use_reentrant": False},'  # noqa: ISC004
            " activation_checkpointing=True)",
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CREATED)
def test_a_section_is_created(name: str) -> None:
    path, text, values, expected = CREATED[name]
    new, after = done(text, path, *(Set(field, value) for field, value in values.items()))
    assert changed(text, new) == expected
    for field, value in values.items():
        assert get(after.plan, field) == value


def test_a_table_is_added_at_the_end() -> None:
    new, _ = done(LORAPLAN, "loraplan.toml", Set("schedule.warmup_steps", 10), Set("schedule.name", "linear"))
    assert new == LORAPLAN + '\n[schedule]\nwarmup_steps = 10\nname = "linear"\n'


def test_what_a_new_section_brings_along_changes_nothing() -> None:
    before = read(parse("n.yaml", NEMO))[0].plan
    after = done(NEMO, "n.yaml", Set("schedule.warmup_steps", 30))[1].plan
    # The scheduler warms up with every style, so its constant one is that with a warmup.
    assert (before.schedule.name, after.schedule.name) == ("constant", "constant_with_warmup")
    before = read(parse("m.yaml", MLX))[0].plan
    after = done(MLX, "m.yaml", Set("adapter.r", 16))[1].plan
    assert (before.adapter.dropout, before.adapter.scaling) == (after.adapter.dropout, after.adapter.scaling) == (0, 20)


@pytest.mark.parametrize(
    ("path", "text", "field", "value"),
    [
        ("n.yaml", NEMO, "quantization.quant_type", "nf4"),  # the section would quantize
        ("l.yaml", LUDWIG, "quantization.quant_type", "nf4"),
        ("t.yaml", TORCHTUNE[: TORCHTUNE.index("lr_scheduler:")] + "batch_size: 2\n", "schedule.warmup_steps", 10),
        ("a.yml", AXOLOTL.replace("lora_r: 16", "x: &a\n  y: 1\ngradient_checkpointing_kwargs: *a\nlora_r: 16")
         + "gradient_checkpointing: true\n", "precision.use_reentrant", True),
    ],
)  # fmt: skip
def test_a_section_that_says_more_than_its_key_is_not(path: str, text: str, field: str, value: Any) -> None:
    reading = read(parse(path, text))[0]
    with pytest.raises(CannotEditError):
        list(ways(reading, Fix("set it", (Set(field, value),), "safe")))


@pytest.mark.parametrize(
    ("path", "text", "field", "value", "reason"),
    [
        ("a.yml", AXOLOTL, "adapter.exclude_modules", ("lm_head",), "no key"),
        ("t.yaml", TORCHTUNE, "optimizer.name", "adamw_torch", "a class"),
        ("l.yaml", LITGPT, "optimizer.name", "adamw_torch", "a class"),
        ("o.yaml", OUMI, "precision.bf16", True, "loaded in fp32"),
        ("u.yaml", UNSLOTH, "schedule.warmup_ratio", 0.1, "no key"),
    ],
)
def test_what_the_framework_would_not_take(path: str, text: str, field: str, value: Any, reason: str) -> None:
    with pytest.raises(CannotEditError, match=reason):
        list(ways(read(parse(path, text))[0], Fix("set it", (Set(field, value),), "safe")))


def test_unsloth_takes_its_modules_in_one_string() -> None:
    new, _ = done(UNSLOTH, "u.yaml", Set("adapter.target_modules", ("q_proj", "v_proj")))
    assert changed(UNSLOTH, new) == ["+   target_modules: 'q_proj,v_proj'"]


def test_what_says_so_already_is_not_spelt_anew() -> None:
    reading = read(parse("t.yaml", TORCHTUNE))[0]
    for edits in ways(reading, Fix("set it", (Set("model.dtype", "bfloat16"),), "safe")):
        pytest.fail(str(edits))


PHI = TORCHTUNE.replace("torchtune.models.llama3_1.lora_llama3_1_8b", "torchtune.models.phi3.lora_phi3_mini")
PYTHIA = LITGPT.replace("meta-llama/Llama-3.2-1B", "EleutherAI/pythia-1b")
LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
SWITCHES: dict[str, tuple[str, str, Any, list[str]]] = {
    "torchtune: all": (
        "t.yaml", TORCHTUNE, "all-linear",
        [
            "-   lora_attn_modules: ['q_proj', 'v_proj', 'output_proj']",
            "+   lora_attn_modules: ['q_proj', 'k_proj', 'v_proj', 'output_proj']",
        ],
    ),
    "torchtune: attention only": (
        "t.yaml", TORCHTUNE, ("q_proj", "v_proj", "o_proj"),
        ["-   apply_lora_to_mlp: True", "+   apply_lora_to_mlp: False"],
    ),
    "torchtune: a switch that is not written": (
        "t.yaml", swap(TORCHTUNE, "  apply_lora_to_mlp: True\n", ""), ("v_proj", "q_proj", "o_proj", *LINEAR[4:]),
        ["+   apply_lora_to_mlp: True"],
    ),
    "torchtune: fused": (
        "t.yaml", PHI, ("qkv_proj", "o_proj"), ["-   apply_lora_to_mlp: True", "+   apply_lora_to_mlp: False"],
    ),
    "litgpt: fewer": (
        "l.yaml", LITGPT, ("v_proj", "q_proj"),
        [
            "- lora_key: true", "+ lora_key: false", "- lora_projection: true", "- lora_mlp: true",
            "+ lora_projection: false", "+ lora_mlp: false",
        ],
    ),
    "litgpt: all": (
        "l.yaml", swap(LITGPT, "lora_key: true\n", "lora_key: false # c\n"), "all-linear",
        ["- lora_key: false # c", "+ lora_key: true # c"],
    ),
    "litgpt: what is on by default": (
        "l.yaml", swap(LITGPT, "lora_value: true\n", ""), ("q_proj", "k_proj", *LINEAR[3:]), ["+ lora_value: false"],
    ),
    "litgpt: the head": ("l.yaml", LITGPT, (*LINEAR, "lm_head"), ["+ lora_head: true"]),
    "litgpt: fused": ("l.yaml", PYTHIA, ("query_key_value", "dense"), ["- lora_mlp: true", "+ lora_mlp: false"]),
}  # fmt: skip


@pytest.mark.parametrize("name", SWITCHES)
def test_modules_are_chosen_by_switches(name: str) -> None:
    path, text, value, expected = SWITCHES[name]
    new, after = done(text, path, Set("adapter.target_modules", value))
    assert sorted(changed(text, new)) == sorted(expected)
    wanted = set(LINEAR) if value == "all-linear" else set(value)
    assert set(after.plan.adapter.target_modules or ()) == wanted


@pytest.mark.parametrize(
    ("path", "text", "value", "reason"),
    [
        ("t.yaml", TORCHTUNE, ("q_proj", "gate_proj"), "all of an MLP or nothing"),
        ("t.yaml", TORCHTUNE, ("gate_proj", "up_proj", "down_proj"), "at least one projection"),
        ("t.yaml", TORCHTUNE, ("q_proj", "lm_head"), "not every builder"),
        ("t.yaml", PHI, ("q_proj",), "no switch for q_proj"),
        ("t.yaml", TORCHTUNE, r".*\.q_proj", "by switches"),
        ("l.yaml", LITGPT, ("q_proj", "gate_proj"), "lora_mlp adapts all"),
        ("l.yaml", LITGPT, ("wte",), "no switch for wte"),
        ("l.yaml", LITGPT, r".*\.q_proj", "by switches"),
    ],
)
def test_modules_that_no_switch_chooses(path: str, text: str, value: Any, reason: str) -> None:
    with pytest.raises(CannotEditError, match=reason):
        list(ways(read(parse(path, text))[0], Fix("set it", (Set("adapter.target_modules", value),), "safe")))
