"""No reader raises, whatever stands under the keys it knows; and no value loses its origin."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loraplan import formats
from loraplan.document.read import read as read_document
from loraplan.formats.table import load_table
from tests.formats.reader import check_origins

TABLES = {
    "autotrain": "autotrain",
    "h2o-llmstudio": "h2o_llmstudio",
    "litgpt": "litgpt",
    "loraplan": "loraplan",
    "ludwig": "ludwig",
    "mistral-finetune": "mistral_finetune",
    "mlx-lm": "mlx_lm",
    "nemo-automodel": "nemo_automodel",
    "oumi": "oumi",
    "qlora-pipe": "qlora_pipe",
    "torchtune": "torchtune",
    "unsloth": "unsloth",
}
# Keys that a reader looks at by name, beside those of its table.
BY_NAME = (
    "model._component_", "model._target_", "checkpointer.checkpoint_dir", "loss._component_", "dtype", "epochs",
    "max_steps_per_epoch", "dataset", "datasets", "optimizer._component_", "optimizer._target_", "optimizer.betas",
    "lr_scheduler._component_", "lr_scheduler", "checkpoint_dir", "quantize", "precision", "devices", "num_nodes",
    "optimizer", "data", "train", "peft", "peft.q_lora", "training.use_peft", "fsdp.enable_fsdp", "adapter", "lora",
    "adapter.type", "trainer.type", "input_features", "lr_schedule", "fine_tune_type", "num_layers", "task",
    "problem_type", "environment.gpus", "quantization", "packed_sequence.packed_sequence_size", "training", "params",
    "data.train.datasets", "deepspeed.zero_stage", "deepspeed.enable_deepspeed", "activation_checkpointing",
    "rl.method", "layers_to_transform", "peft.target_modules", "peft.exclude_modules", "data.local_dataset", "recipe",
)  # fmt: skip
leaves = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(-3, 40), st.floats(),
    st.text('ab1.-_/$*"é✓ {}[]:', max_size=8),
    st.sampled_from([
        "2e-4", "${epochs}", "${a.b}", "{{ x }}", "all-linear", "lora", "none", "torchtune.models.phi3.qlora_phi3_mini",
        "bnb.nf4", "int4", "bf16-true", "auto", "*_proj", "16:31", "a/b", "checkpoints/a/b", "8:",
    ]),
)  # fmt: skip
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "encoder", "adapter", "name", "class_path", "lr"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)


def configs(table: str) -> st.SearchStrategy[dict[str, Any]]:
    keys = sorted({row["key"] for row in load_table(table)["keys"]} | set(BY_NAME))
    return st.dictionaries(st.sampled_from(keys), values, max_size=14).map(_nested)


def _nested(flat: dict[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, value in sorted(flat.items()):
        *sections, leaf = key.split(".")
        here = tree
        for section in sections:
            if not isinstance(here.get(section), dict):
                here[section] = {}
            here = here[section]
        here[leaf] = value
    return tree


def _read_all(name: str, text: str) -> None:
    document = read_document("config.yaml", text)
    for root in document.roots:
        formats.load(name).detect(root, document)
        for reading in formats.load(name).read(root, document, "forced", {}):
            check_origins(reading)
            for issue in (*reading.key_issues, *reading.value_issues):
                assert 0 <= issue.span.start <= issue.span.end <= len(text)


@pytest.mark.parametrize("name", TABLES)
def test_any_value_under_a_known_key(name: str) -> None:
    @given(configs(TABLES[name]))
    @settings(max_examples=60, deadline=None)
    def check(config: dict[str, Any]) -> None:
        _read_all(name, json.dumps(config, ensure_ascii=False))

    check()


@pytest.mark.fuzz
@pytest.mark.parametrize("name", TABLES)
def test_many_values_under_known_keys(name: str) -> None:
    @given(configs(TABLES[name]))
    @settings(max_examples=3000, deadline=None)
    def check(config: dict[str, Any]) -> None:
        _read_all(name, json.dumps(config, ensure_ascii=False))

    check()


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("text", ["1\n", "[a, {b: c}]\n", "null\n", "{}\n", "model: &m {_component_: *m}\n"])
def test_a_forced_format_on_a_file_of_another_shape(name: str, text: str) -> None:
    try:
        _read_all(name, text)
    except formats.NotAConfig:
        pass
    except Exception as error:
        from loraplan.document import DocumentError

        if not isinstance(error, DocumentError):
            raise


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("value", [[], {}, "x", True])
def test_one_value_of_the_wrong_kind_at_a_time(name: str, value: Any) -> None:
    keys = {row["key"] for row in load_table(TABLES[name])["keys"]} | set(BY_NAME)
    for key in sorted(keys):
        _read_all(name, json.dumps(_nested({key: value})))
