"""TRL recipes and commands."""

from __future__ import annotations

import pytest

from loraplan.document import Document, Entry, Mapping, Scalar, Span
from loraplan.formats import trl
from loraplan.origin import Explicit
from tests.formats.reader import at, defaulted, derived, read_one, recognised

SFT = """\
model_name_or_path: acme/Pebble-7B
dtype: bfloat16
use_peft: true
load_in_4bit: true
lora_r: 64
lora_target_modules:
- all-linear
dataset_mixture:
  datasets:
    - id: acme/chat
      split: train
    - id: acme/code
learning_rate: 2e-4
warmup_steps: 0.03
packing: true
max_steps: -1
gradient_checkpointing_kwargs:
  use_reentrant: false
chat_template: "{% for m in messages %}{{ m['content'] }}{% endfor %}"
output_dir: data/pebble
"""


def test_sft_recipe() -> None:
    reading = read_one("trl", SFT)
    plan = reading.plan
    assert (plan.method, plan.adapter.method, plan.adapter.r) == ("sft", "lora", 64)
    assert (plan.adapter.target_modules, at(reading, "adapter.target_modules")) == ("all-linear", (7, 1))
    assert plan.data.datasets == ("acme/chat", "acme/code")
    assert (plan.schedule.warmup_ratio, plan.schedule.warmup_steps) == (0.03, 0)
    assert at(reading, "schedule.warmup_ratio") == (14, 15)
    assert plan.schedule.max_steps is None
    assert (plan.optimizer.learning_rate, reading.value_issues) == (2e-4, [])  # TrlParser casts
    assert (plan.precision.use_reentrant, plan.data.packing) == (False, True)
    assert plan.data.chat_template is not None


def test_sft_defaults() -> None:
    reading = read_one("trl", SFT)
    plan = reading.plan
    assert (plan.adapter.alpha, plan.adapter.dropout, plan.data.max_length) == (32, 0.05, 1024)
    assert (plan.precision.bf16, plan.precision.gradient_checkpointing) == (True, True)
    assert defaulted(reading, "precision.bf16") == "trl"
    assert defaulted(reading, "batch.micro_batch_size") == "transformers"
    assert plan.batch.micro_batch_size == 8
    quantization = plan.quantization
    assert (quantization.bits, quantization.quant_type, quantization.double_quant) == (4, "nf4", False)
    assert (quantization.compute_dtype, derived(reading, "quantization.compute_dtype")) == ("bfloat16", True)


def test_without_use_peft_this_is_full_fine_tuning() -> None:
    reading = read_one("trl", SFT.replace("use_peft: true\n", ""))
    assert reading.plan.adapter.method == "none"
    assert (defaulted(reading, "adapter.method"), reading.switch) == ("trl", "use_peft: true")
    assert set(reading.lora_keys) == {"lora_r", "lora_target_modules"}
    off = read_one("trl", SFT.replace("use_peft: true", "use_peft: false"))
    assert isinstance(off.origins["adapter.method"], Explicit)


BARE = "model_name_or_path: acme/P\nuse_peft: true\ndataset_name: acme/d\noutput_dir: out\n"


@pytest.mark.parametrize(
    ("lines", "path", "method", "rate"),
    [
        ("beta: 0.1\n", "config.yaml", "dpo", 1e-6),
        ("beta: 0.1\nmax_prompt_length: 64\n", "recipes/orpo/config.yaml", "orpo", None),
        ("packing: false\n", "config.yaml", "sft", 2e-5),
        ("num_generations: 8\n", "config.yaml", "grpo", 1e-6),
        ("loss_type: [ipo]\n", "config.yaml", "dpo", 1e-6),
        ("", "recipes/pebble/dpo/config_lora.yaml", "dpo", 1e-6),
        ("", "home/dpo-project/recipes/sft/config.yaml", "sft", 2e-5),
        ("", "config.yaml", None, None),
    ],
)
def test_which_trainer(lines: str, path: str, method: str | None, rate: float | None) -> None:
    plan = read_one("trl", BARE + lines, path).plan
    assert (plan.method, plan.optimizer.learning_rate) == (method, rate)


def test_fp16_turns_bf16_off() -> None:
    reading = read_one("trl", BARE + "fp16: true\n")
    assert (reading.plan.precision.bf16, derived(reading, "precision.bf16")) == (False, True)


def test_renamed_and_removed_keys() -> None:
    reading = read_one("trl", BARE + "torch_dtype: bfloat16\nmax_seq_length: 512\nwarmup_ratio: 0.1\n")
    issues = {issue.key: issue for issue in reading.key_issues}
    assert issues["max_seq_length"].suggestion == "max_length"
    assert issues["torch_dtype"].since == ">=0.27"
    assert (issues["warmup_ratio"].since, issues["warmup_ratio"].effect) == (">=5.15", "raises")
    assert reading.plan.schedule.warmup_ratio == 0.1
    assert reading.plan.data.max_length == 512


def test_a_known_older_version_has_no_such_issue() -> None:
    from loraplan.document.read import read as read_document

    document = read_document("c.yaml", BARE + "warmup_ratio: 0.1\nevaluation_strategy: 'no'\n")
    (reading,) = trl.read(document.roots[0], document, "", {"transformers": "4.50.0"})
    assert reading.key_issues == []
    (reading,) = trl.read(document.roots[0], document, "", {"transformers": "5.3.0"})
    assert [(issue.key, issue.kind) for issue in reading.key_issues] == [
        ("warmup_ratio", "deprecated"),
        ("evaluation_strategy", "renamed"),
    ]


def test_only_slips_are_unknown() -> None:
    reading = read_one("trl", BARE + "lora_alhpa: 16\nreward_weights_of_ours: 1\ndataset_configs: [a]\n")
    assert [(issue.key, issue.suggestion, issue.effect) for issue in reading.key_issues] == [
        ("lora_alhpa", "lora_alpha", "raises")
    ]


def _command(call: str, **options: str) -> tuple[Mapping, Document]:
    text = call + "".join(f" --{key} {value}" for key, value in options.items())
    entries, offset = [], len(call)
    for key, value in options.items():
        start = offset + 3
        entries.append(
            Entry(
                Scalar(key, Span(start, start + len(key))),
                Scalar(value, Span(start + len(key) + 1, start + len(key) + 1 + len(value))),
            )
        )
        offset = start + len(key) + 1 + len(value)
    root = Mapping(tuple(entries), Span(0, len(text)), call=call)
    return root, Document("train.sh", "shell", text, (root,))


def test_command() -> None:
    root, document = _command(
        "trl dpo", model_name_or_path="acme/P", use_peft="true", lora_r="8", learning_rate="5e-6", bf16="False"
    )
    assert trl.detect(root, document) == "the command `trl dpo`"
    (reading,) = trl.read(root, document, "", {})
    assert (reading.plan.method, reading.plan.adapter.r, reading.plan.optimizer.learning_rate) == ("dpo", 8, 5e-6)
    assert (reading.plan.precision.bf16, reading.value_issues) == (False, [])


@pytest.mark.parametrize(
    "text",
    [
        "model_name_or_path: acme/P\nfinetuning_type: lora\ndataset: d\nlearning_rate: 1e-4\n",
        "model_name_or_path: acme/P\ndataset_name: d\n",
        "model: acme/P\nuse_peft: true\n",
        "model_name_or_path: acme/P\nuse_lora: true\ndataset_name: d\nlearning_rate: 1e-4\n",
    ],
)
def test_not_trl(text: str) -> None:
    assert not recognised("trl", text)


def test_an_inherited_default_names_its_own_source() -> None:
    origin = read_one("trl", SFT).default("optimizer.weight_decay")
    assert origin is not None
    assert (origin.framework, origin.versions, origin.source) == (
        "transformers",
        "5.23.0",
        "transformers/training_args.py@5.23.0",
    )


def test_a_key_that_only_some_trainers_lost() -> None:
    dpo = read_one("trl", BARE + "max_prompt_length: 64\nbeta: 0.1\n", "recipes/dpo/config.yaml")
    assert [(issue.key, issue.since) for issue in dpo.key_issues] == [("max_prompt_length", ">=0.29")]
    orpo = read_one("trl", BARE + "max_prompt_length: 64\nbeta: 0.1\n", "recipes/orpo/config.yaml")
    assert orpo.key_issues == []
