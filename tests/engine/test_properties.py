"""Whatever the file says, no rule and no report breaks."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from loraplan.context import Inputs
from loraplan.engine import Checker, Overrides
from loraplan.plan import field_names, ordered_names
from loraplan.report import FORMATS, Style, render
from loraplan.report.plan import lines, values
from loraplan.result import FileResult, Outcome
from loraplan.rule import Rule
from loraplan.run import Selected, check_run, describe, run_facts
from loraplan.select import Registry
from tests.strategies import Made, readings

REGISTRY = Registry(("loraplan_rules",))
RULES: list[Rule] = [REGISTRY.load(code) for code in REGISTRY.codes if not REGISTRY.is_own(code)]
ANY = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
)
INPUTS = st.builds(
    Inputs,
    model=st.none() | st.sampled_from(["meta-llama/Llama-3.1-8B", "acme/unknown", "Qwen/Qwen3-30B-A3B"]),
    gpu=st.none() | st.sampled_from(["t4", "h100"]),
    dataset_size=st.none() | st.integers(1, 10**9),
)


@ANY
@given(readings(), INPUTS, st.booleans())
def test_no_rule_raises_on_any_plan(made: Made, inputs: Inputs, preview: bool) -> None:
    reading = made.reading
    result = FileResult("config.yml")
    rules = [Selected(rule.code, REGISTRY, {}) for rule in RULES]
    ran: set[str] = set()
    result.diagnostics = check_run(reading, rules, inputs, {}, preview, ran, result)
    assert [failure.details for failure in result.failures] == []
    assert not ran & {item.code for item in result.skipped}
    assert describe(reading)
    for item in result.diagnostics:
        assert item.message
        assert "\n" not in item.message
        assert 1 <= item.line <= item.end_line
    outcome = Outcome([result])
    for form in FORMATS:
        assert "\n".join(render(outcome, form, Style())) is not None
    json.loads("\n".join(render(outcome, "json", Style())))


@ANY
@given(readings(), INPUTS)
def test_any_plan_can_be_shown(made: Made, inputs: Inputs) -> None:
    facts = run_facts(made.reading, inputs, {})
    shown = json.dumps(values(made.reading, facts, unset=True), allow_nan=False)
    assert [item["field"] for item in json.loads(shown)["values"]] == list(ordered_names())
    text = list(lines(made.reading, facts, Style()))
    assert text[0].startswith("config.yml")
    assert all(line.isprintable() for line in text)


@ANY
@given(st.text(max_size=300), st.sampled_from(["yml", "json", "toml", "sh", "py"]))
def test_any_text_gives_a_result_and_no_bug(text: str, extension: str) -> None:
    result = Checker(overrides=Overrides(isolated=True)).check(f"config.{extension}", text=text)
    assert result is not None
    assert [item for item in result.failures if item.kind == "bug"] == []


SEEDS = (
    "base_model: a/b\nadapter: qlora\nload_in_4bit: true\nlora_r: 64\nlora_alpha: 16  # loraplan: ignore[ALP001]\n",
    '{"peft_type": "LORA", "r": 64, "lora_alpha": 8, "target_modules": ["q_proj"], "base_model_name_or_path": "a/b"}\n',
    "model_name_or_path: a/b\nstage: sft\nfinetuning_type: lora\nlora_rank: 8\ndo_train: true\ntemplate: llama3\n",
    "swift sft --model a/b --lora_rank 64 \\\n  --lora_alpha 16 --learning_rate 1e-4\n",
    "from peft import LoraConfig\nc = LoraConfig(r=8, lora_alpha=16, target_modules=['q_proj'])\n",
    "[adapter]\ntype = 'lora'\nrank = 32\n[model]\ntype = 'llama'\n[optimizer]\nlr = 2e-5\n",
)


@ANY
@given(st.data())
def test_a_config_cut_and_mixed_at_random_gives_no_bug(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from(SEEDS))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 12)))
        text = (
            text[:start]
            + data.draw(st.text(max_size=4) | st.sampled_from(["\t", "\n", ": ", "{{x}}", "${Y:-3}", "&a *a", "-"]))
            + text[end:]
        )
    extension = data.draw(st.sampled_from(["yml", "json", "toml", "sh", "py"]))
    result = Checker(overrides=Overrides(isolated=True)).check(f"config.{extension}", text=text)
    assert result is not None
    assert [item for item in result.failures if item.kind == "bug"] == []


@pytest.mark.parametrize("rule", RULES, ids=[rule.code for rule in RULES])
def test_the_table_and_the_rule_agree(rule: Rule) -> None:
    assert REGISTRY.load(rule.code) is rule
    assert REGISTRY.name(rule.code) == rule.name
    assert set(rule.reads) <= field_names()
    assert set(rule.suppresses) <= set(REGISTRY.codes)
