from __future__ import annotations

import re
from typing import Any

import pytest

from loraplan.arch.match import Matched, leaf_names, linear_leaf_names, match, saved_modules
from loraplan.arch.sources import resolve
from loraplan.arch.spec import ArchSpec
from loraplan.arch.text import text_model
from loraplan.plan import Adapter

SEVEN = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def arch(name: str) -> ArchSpec:
    found = resolve(name, base_dir=None)
    assert found is not None
    return found


def matched(name: str, **settings: Any) -> Matched:
    return match(Adapter(r=16, **settings), arch(name))


def parameters(name: str, r: float = 16, **settings: Any) -> int:
    adapter = Adapter(r=r, **settings)
    return match(adapter, arch(name)).parameters(adapter)


LLAMA = "meta-llama/Llama-3.1-8B"


@pytest.mark.parametrize(
    ("targets", "r", "expected"),
    [
        (("q_proj", "v_proj"), 16, 6_815_744),
        (("q_proj", "k_proj", "v_proj", "o_proj"), 16, 13_631_488),
        ("all-linear", 8, 20_971_520),
        ("all-linear", 16, 41_943_040),
        (SEVEN, 16, 41_943_040),
        ("all-linear", 64, 167_772_160),
        ("all-linear", 256, 671_088_640),
        (None, 16, 6_815_744),
    ],
)
def test_parameters_of_llama(targets: tuple[str, ...] | str | None, r: float, expected: int) -> None:
    assert parameters(LLAMA, r, target_modules=targets) == expected


def test_parameters_without_a_usable_rank_are_none() -> None:
    for r in (None, 0, -4, 2.5, float("nan"), float("inf"), 1e300):
        adapter = Adapter(r=r, target_modules=("q_proj",))
        assert match(adapter, arch(LLAMA)).parameters(adapter) == 0


def test_dora_adds_one_magnitude_for_each_output() -> None:
    plain = parameters(LLAMA, target_modules=("q_proj", "k_proj"))
    assert parameters(LLAMA, target_modules=("q_proj", "k_proj"), use_dora=True) == plain + 32 * (4096 + 1024)


def test_rank_pattern_counts_each_layer_with_its_rank() -> None:
    pattern = {"q_proj": 4, r"layers\.1\.self_attn\.v_proj": 2}
    q, v = 4096 + 4096, 4096 + 1024
    expected = 32 * 4 * q + 31 * 16 * v + 2 * v
    assert parameters(LLAMA, target_modules=("q_proj", "v_proj"), rank_pattern=pattern) == expected


def test_embedding_costs_rank_times_rows_and_width() -> None:
    assert parameters(LLAMA, 8, target_modules=("embed_tokens",)) == 8 * (128256 + 4096)


def test_default_targets_come_from_peft_s_table() -> None:
    found = matched(LLAMA)
    assert found.from_default
    assert {m.name.rpartition(".")[2] for m in found.modules} == {"q_proj", "v_proj"}
    assert matched("microsoft/Phi-3-mini-4k-instruct").no_default
    assert matched("Qwen/Qwen3-30B-A3B").no_default
    assert matched("google/gemma-3-4b-it").no_default
    assert {m.name.rpartition(".")[2] for m in matched("microsoft/phi-2").modules} == {"q_proj", "v_proj", "fc1", "fc2"}


def test_entries_that_match_nothing_are_told() -> None:
    found = matched("microsoft/Phi-3-mini-4k-instruct", target_modules=SEVEN)
    assert found.unmatched == ("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj")
    assert {m.name.rpartition(".")[2] for m in found.modules} == {"o_proj", "down_proj"}
    assert not found.problem
    nothing = matched(LLAMA, target_modules=("query_key_value",))
    assert nothing.unmatched == ("query_key_value",)
    assert not nothing.matched_any


def test_whole_names_and_ends_match_but_not_parts_of_a_name() -> None:
    assert matched(LLAMA, target_modules=("proj",)).unmatched == ("proj",)
    assert matched(LLAMA, target_modules=("self_attn.q_proj",)).unmatched == ()
    one = matched(LLAMA, target_modules=("model.layers.3.self_attn.q_proj", "q_pr", "lm_head"))
    assert [(m.name, m.layers) for m in one.modules] == [
        ("model.layers.{i}.self_attn.q_proj", (3,)),
        ("lm_head", None),
    ]
    assert one.unmatched == ("q_pr",)


def test_a_braced_entry_is_no_pattern() -> None:
    assert matched(LLAMA, target_modules=("layers.{i}.self_attn.q_proj",)).unmatched == ("layers.{i}.self_attn.q_proj",)


def test_string_is_a_regular_expression_of_the_whole_name() -> None:
    assert not matched(LLAMA, target_modules="q_proj").matched_any
    found = matched(LLAMA, target_modules=r".*layers\.(1[0-9]|2)\..*q_proj")
    assert [m.layers for m in found.modules] == [(2, *range(10, 20))]
    assert matched(LLAMA, target_modules=r".*layers\.\d\..*q_proj").modules[0].layers == tuple(range(10))
    assert matched(LLAMA, target_modules=r".*layers\.[0-9]{2}\..*q_proj").modules[0].layers == tuple(range(10, 32))


def test_all_linear_leaves_the_output_head_out_in_any_case() -> None:
    for text in ("all-linear", "ALL-Linear"):
        names = {m.name.rpartition(".")[2] for m in matched(LLAMA, target_modules=text).modules}
        assert names == set(SEVEN)


def test_exclusions_and_saved_modules_take_out() -> None:
    found = matched(LLAMA, target_modules="all-linear", exclude_modules=("down_proj",))
    assert found.excluded == ("model.layers.{i}.mlp.down_proj",)
    found = matched(LLAMA, target_modules="all-linear", exclude_modules=r".*\.layers\.[0-4]\..*")
    assert {m.layers for m in found.modules} == {tuple(range(5, 32))}
    found = matched(LLAMA, target_modules="all-linear", modules_to_save=("mlp",))
    assert {m.part for m in found.modules} == {"attention"}


def test_layers_to_transform() -> None:
    found = matched(LLAMA, target_modules=("q_proj",), layers_to_transform=(0, 5, 99))
    assert [m.layers for m in found.modules] == [(0, 5)]
    assert not matched(LLAMA, target_modules=("q_proj",), layers_to_transform=(99,)).matched_any
    assert matched(LLAMA, target_modules=("q_proj",), layers_to_transform=(1,), layers_pattern="layers").matched_any
    assert not matched(LLAMA, target_modules=("q_proj",), layers_to_transform=(1,), layers_pattern="h").matched_any


def test_names_of_the_wrong_class_are_unsupported() -> None:
    assert matched(LLAMA, target_modules=("norm",)).unsupported == ("model.norm",)
    assert "model.layers.{i}.mlp" in matched(LLAMA, target_modules=("mlp", "q_proj")).unsupported
    assert matched("openai/gpt-oss-20b", target_modules=("router",)).unsupported == ("model.layers.{i}.mlp.router",)
    assert matched(LLAMA, target_modules="all-linear").unsupported == ()


def test_experts_that_target_modules_cannot_reach() -> None:
    for name in ("openai/gpt-oss-20b", "Qwen/Qwen3-VL-30B-A3B-Instruct"):
        assert not any(m.part == "expert" for m in matched(name, target_modules="all-linear").modules)
    moe = matched("Qwen/Qwen1.5-MoE-A2.7B", target_modules=SEVEN)
    assert {m.part for m in moe.modules} == {"attention", "shared_expert"}
    assert {m.part for m in matched("mistralai/Mixtral-8x7B-v0.1", target_modules=SEVEN).modules} == {"attention"}


def test_expert_names_that_peft_converts() -> None:
    mixtral = matched("mistralai/Mixtral-8x7B-v0.1", target_modules=("q_proj", "w1", "w2", "w3"))
    assert mixtral.converted
    assert mixtral.unmatched == ()
    assert {m.name.rpartition(".")[2] for m in mixtral.modules} == {"q_proj", "gate_up_proj", "down_proj"}
    qwen = matched("Qwen/Qwen3-30B-A3B", target_modules="all-linear")
    assert {m.part for m in qwen.modules} == {"attention", "expert", "router"}
    half = matched("Qwen/Qwen3-30B-A3B", target_modules=("q_proj", "gate_proj"))
    assert half.problem == "gate_proj without up_proj: they are fused into gate_up_proj"


def test_fused_experts_have_twice_the_rank_where_two_were_fused() -> None:
    experts, hidden, inner = 128, 2048, 768
    adapter = Adapter(r=4, target_modules=("gate_proj", "up_proj", "down_proj"))
    expected = 48 * experts * (8 * (hidden + 2 * inner) + 4 * (inner + hidden))
    assert match(adapter, arch("Qwen/Qwen3-30B-A3B")).parameters(adapter) == expected


def test_target_parameters_reach_bare_parameters_and_weights() -> None:
    found = matched("openai/gpt-oss-20b", target_parameters=("mlp.experts.gate_up_proj",))
    assert [m.name for m in found.modules] == ["model.layers.{i}.mlp.experts.gate_up_proj"]
    found = matched(LLAMA, target_modules=(), target_parameters=("q_proj.weight",))
    assert [(m.name, m.kind) for m in found.modules] == [("model.layers.{i}.self_attn.q_proj.weight", "Parameter")]


def test_vision_towers_share_names_with_the_language_model() -> None:
    parts = {m.part for m in matched("google/gemma-3-4b-it", target_modules=("q_proj", "v_proj")).modules}
    assert parts == {"attention", "vision"}


def test_text_models_have_no_tower() -> None:
    whole = arch("Qwen/Qwen3.5-9B")
    text = text_model(whole)
    assert {m.name for m in text.modules if m.part == "attention" and m.role == "q"} == {
        "model.layers.{i}.self_attn.q_proj"
    }
    assert not {m.part for m in text.modules} & {"vision", "projector"}
    assert text.parameters < whole.parameters
    assert text_model(arch(LLAMA)) == arch(LLAMA)


def test_mamba_projections_are_refused() -> None:
    from loraplan.arch.families import describe

    spec = describe({"model_type": "falcon_h1", "num_hidden_layers": 2})
    assert spec is not None
    found = match(Adapter(r=8, target_modules=("out_proj", "q_proj")), spec)
    assert found.unsupported == ("model.layers.{i}.mamba.out_proj",)
    assert [m.name for m in found.modules] == ["model.layers.{i}.self_attn.q_proj"]


def test_helper_names() -> None:
    assert linear_leaf_names(arch(LLAMA)) == SEVEN
    assert linear_leaf_names(arch("openai-community/gpt2")) == ("c_attn", "c_proj", "c_fc")
    assert "lm_head" in leaf_names(arch(LLAMA))


def test_saved_modules() -> None:
    found = saved_modules(("lm_head", "embed_tokens", "mlp", "nothing"), arch(LLAMA))
    assert [m.name for m in found["lm_head"]] == ["lm_head"]
    assert [m.name for m in found["embed_tokens"]] == ["model.embed_tokens"]
    assert len(found["mlp"]) == 3
    assert found["nothing"] == ()


@pytest.mark.parametrize("pattern", ["(", "[a", "*x", "(?P<n>a)(?P<n>b)", "a{99999999999}", "x" * 5000])
def test_invalid_patterns_are_told(pattern: str) -> None:
    assert matched(LLAMA, target_modules=pattern).problem
    assert matched(LLAMA, target_modules=("q_proj",), exclude_modules=pattern).problem


@pytest.mark.parametrize(
    "pattern",
    [r"(a+)+$", r"(.*)*\.q_proj", r"(.*a){25}", r"(\w+\.?)+x", ".*" * 30 + "x", r"((.+)+)+", r"(.|.|.)*z"],
)
def test_patterns_that_backtrack_for_hours_end_at_once(pattern: str) -> None:
    assert re.compile(pattern)
    found = matched("meta-llama/Llama-3.3-70B-Instruct", target_modules=pattern)
    assert isinstance(found.modules, tuple)


def test_many_entries_are_matched_in_bounded_work() -> None:
    entries = tuple(f"layers.{layer}.part{part}.q_proj" for layer in range(100) for part in range(100))
    assert len(matched("meta-llama/Llama-3.3-70B-Instruct", target_modules=entries).unmatched) == len(entries)
