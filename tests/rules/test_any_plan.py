"""No rule raises, whatever is in a Plan; Skip is the only way out of judging."""

from __future__ import annotations

import contextlib
import types
import typing
from importlib import import_module
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loraplan.context import Facts, Inputs, RunContext
from loraplan.document import Document, Entry, Mapping, Scalar, Sequence, Span
from loraplan.formats.reading import KeyIssue, Reading, ValueIssue
from loraplan.origin import Default, Derived, Explicit
from loraplan.plan import SECTIONS, Plan, build
from loraplan.rule import Finding, Rule, Skip
from loraplan.run import applies
from loraplan_rules import CODES, WHEN
from tests.rules.harness import LIVE

TEXT = "lora:\n  targets: [q_proj, v_proj]\n"
SPAN = Span(16, 32)
NAMES = st.sampled_from(
    [
        "q_proj",
        "k_proj",
        "v_proj",
        "qkv_proj",
        "c_attn",
        "gate_proj",
        "mlp",
        "lm_head",
        "all",
        "all-linear",
        "",
        ".",
        "(",
    ]
) | st.text(max_size=8)
NUMBERS = st.sampled_from([0, 1, -1, 8, 16, 64, 10**300, -(10**300), 0.5, 1e-320, float("inf"), float("nan")])
NUMBERS |= st.floats() | st.integers(-(2**70), 2**70)
WORDS = st.sampled_from(
    "lora none ia3 sft dpo grpo cls constant cosine adamw_torch nf4 fp4 NF4 float32 bfloat16 auto zero3 fsdp".split()
) | st.text(max_size=12)
MODELS = (
    "Qwen/Qwen2.5-0.5B", "microsoft/Phi-3-mini-4k-instruct", "openai/gpt-oss-20b", "Qwen/Qwen2.5-VL-3B-Instruct",
    "mistralai/Mixtral-8x7B-v0.1", "someone/unknown-70b",
)  # fmt: skip


def _values(hint: Any) -> st.SearchStrategy[Any]:
    if isinstance(hint, types.UnionType):
        return st.one_of(*map(_values, typing.get_args(hint)))
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        return st.lists(_values(arguments[0]), max_size=4).map(tuple)
    if origin is dict:
        return st.dictionaries(NAMES, NUMBERS, max_size=3)
    return {
        type(None): st.none(),
        bool: st.booleans(),
        int: st.integers(-(2**70), 2**70) | st.integers(0, 512),
        float: NUMBERS,
        str: NAMES | WORDS,
    }[hint]


FIELDS = {
    f"{section}.{name}": _values(hint)
    for section, kind in SECTIONS.items()
    for name, hint in typing.get_type_hints(kind).items()
    if not name.startswith("_")
} | {"method": WORDS}
FIELDS["model.name"] = st.sampled_from(MODELS) | st.text(max_size=8)
PLANS = st.fixed_dictionaries({}, optional=FIELDS)
FORMATS = ("peft", "axolotl", "llamafactory", "trl", "torchtune", "litgpt", "mlx-lm", "python", "custom", "hf-args")


@st.composite
def readings(draw: st.DrawFn) -> Reading:
    values = {name: value for name, value in draw(PLANS).items() if value is not None}
    items = (Scalar("q_proj", Span(17, 23)), Scalar("v_proj", Span(25, 31)))
    inner = Mapping((Entry(Scalar("targets", Span(8, 15)), Sequence(items, SPAN)),), Span(8, 32))
    root = Mapping((Entry(Scalar("lora", Span(0, 4)), inner),), Span(0, 32))
    document = Document("x.yml", "yaml", TEXT, (root,))
    origins: dict[str, Any] = {}
    for name in values:
        origins[name] = draw(
            st.sampled_from(
                [
                    Explicit("x.yml", ("lora", "targets"), SPAN, Span(8, 15)),
                    Default("peft", "0.21.2", "x.py", name),
                    Derived(("adapter.r",), "twice the rank"),
                ]
            )
        )
    name = draw(st.sampled_from(FORMATS))
    issues = [
        ValueIssue("wrong-type", field, "x", SPAN, "a number", "raises") for field in ("adapter.r", "adapter.alpha")
    ]
    keys = [KeyIssue("unknown", "x", SPAN, "peft", "raises", "y"), KeyIssue("removed", "z", SPAN, "trl", "ignored")]
    return Reading(
        name, "x", "peft", draw(st.sampled_from([None, "4.57.1"])), "peft 0", document, root, build(values), origins,
        value_issues=draw(st.sampled_from([[], issues])), key_issues=draw(st.sampled_from([[], keys])),
        sections={"": root, "lora": inner}, hand_rolled=draw(st.booleans()),
        facts={"trained_adapter": True} if name == "peft" else {},
    )  # fmt: skip


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(now=readings(), before=readings(), size=st.none() | st.integers(1, 10**9))
def test_rules_raise_nothing_but_skip(now: Reading, before: Reading, size: int | None) -> None:
    facts = Facts(now, Inputs(dataset_size=size), {}, lambda _: before)
    plan: Plan = now.plan
    for code in LIVE:
        rule = import_module(f"loraplan_rules.{CODES[code]}").check
        assert isinstance(rule, Rule)
        findings: list[Finding] = []
        with contextlib.suppress(Skip):
            findings = list(rule.check(plan, RunContext(facts, rule.options)))
        if code in WHEN and not applies(WHEN[code], now):
            assert not findings, f"{code} has something to say outside its conditions"
        for finding in findings:
            assert isinstance(finding, Finding)
            assert finding.message
            now.document.position((now.span(finding.at) if isinstance(finding.at, str) else finding.at).start)
