"""Hypothesis strategies: any Plan that the types allow, and a Reading around it."""

from __future__ import annotations

from dataclasses import fields
from types import UnionType
from typing import Any, get_args, get_type_hints

from hypothesis import strategies as st

from loraplan.document import Document, Entry, Mapping, Scalar, Span
from loraplan.formats.reading import KeyIssue, Reading, ValueIssue
from loraplan.origin import Default, Derived, Explicit, Origin
from loraplan.plan import SECTIONS, Plan, build, field_names, ordered_names

__all__ = ["Made", "plans", "readings"]

# Words that rules compare with, so that their branches are reached more often than random text would.
WORDS = (
    "lora", "none", "qlora", "sft", "dpo", "grpo", "pt", "kto", "cls", "rm", "all-linear", "q_proj", "v_proj", "k_proj",
    "gate_proj", "up_proj", "down_proj", "lm_head", "embed_tokens", "qkv_proj", "Wqkv", "router", ".*proj", "(", "all",
    "bfloat16", "float16", "float32", "auto", "nf4", "fp4", "bnb", "gptq", "awq", "true", "false", "gaussian", "pissa",
    "loftq", "constant", "cosine", "linear", "constant_with_warmup", "adamw_8bit", "paged_adamw_8bit", "sgd", "steps",
    "epoch", "no", "fsdp", "zero3", "ddp", "deepspeed", "CAUSAL_LM", "SEQ_CLS", "lora_only", "meta-llama/Llama-3.1-8B",
    "microsoft/Phi-3-mini-4k-instruct", "mistralai/Mixtral-8x7B-v0.1", "gpt2", "acme/unknown", "unsloth", "liger", "",
)  # fmt: skip
NUMBERS = (0, -1, 1, 0.05, 0.1, 0.5, 1.0, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1e-5, 2e-4, 1e-3, 0.5, 1e30, 100, 1000)


def _numbers(kind: type) -> st.SearchStrategy[Any]:
    usual = st.sampled_from([kind(number) for number in NUMBERS])
    return usual | (st.integers(-(2**62), 2**62) if kind is int else st.floats(allow_nan=True, allow_infinity=True))


TEXT = st.sampled_from(WORDS) | st.text(max_size=12)


def _of(kind: Any) -> st.SearchStrategy[Any]:
    """A strategy for a field's type without its None."""
    if kind is bool:
        return st.booleans()
    if kind is int or kind is float:
        return _numbers(kind)
    if kind is str:
        return TEXT
    if isinstance(kind, UnionType):
        return st.one_of([_of(part) for part in get_args(kind)])
    origin = getattr(kind, "__origin__", None)
    if origin is tuple:
        return st.lists(_of(get_args(kind)[0]), max_size=5).map(tuple)
    if origin is dict:
        return st.dictionaries(TEXT, _of(get_args(kind)[1]), max_size=3)
    raise TypeError(f"no strategy for {kind!r}")


def _strategies() -> dict[str, st.SearchStrategy[Any]]:
    found: dict[str, st.SearchStrategy[Any]] = {"method": TEXT}
    for section, kind in SECTIONS.items():
        hints = get_type_hints(kind)
        for item in fields(kind):
            options = [_of(part) for part in get_args(hints[item.name]) if part is not type(None)]
            found[f"{section}.{item.name}"] = st.one_of(options)
    return found


FIELDS = _strategies()
assert set(FIELDS) == field_names()


@st.composite
def values(draw: st.DrawFn) -> dict[str, Any]:
    """Dotted fields with values, few of them or many."""
    names = draw(st.lists(st.sampled_from(ordered_names()), unique=True, max_size=40))
    return {name: draw(FIELDS[name]) for name in names}


def plans() -> st.SearchStrategy[Plan]:
    """Any Plan."""
    return values().map(build)


class Made:
    """A Reading that shows only its values, so that a failing example can be read."""

    def __init__(self, reading: Reading, given: dict[str, Any]) -> None:
        self.reading = reading
        self.given = given

    def __repr__(self) -> str:
        return f"Made({self.reading.format}, {self.given})"


@st.composite
def readings(draw: st.DrawFn) -> Made:
    """A Reading of a small made-up file, with an origin of any kind for each field of any Plan."""
    given = draw(values())
    text = "".join(f"{name.rpartition('.')[2]}: value\n" for name in ordered_names())
    entries, start = [], 0
    for name in ordered_names():
        key = name.rpartition(".")[2]
        key_span = Span(start, start + len(key))
        span = Span(key_span.end + 2, key_span.end + 7)
        entries.append(Entry(Scalar(key, key_span), Scalar("value", span)))
        start = span.end + 1
    places = dict(zip(ordered_names(), entries, strict=True))
    root = Mapping(tuple(entries), Span(0, len(text)))
    document = Document("config.yml", "yaml", text, (root,))
    origins: dict[str, Origin] = {}
    for name in given:
        key = name.rpartition(".")[2]
        match draw(st.integers(0, 2)):
            case 0:
                origins[name] = Explicit("config.yml", (key,), places[name].value.span, places[name].key.span)
            case 1:
                origins[name] = Default("axolotl", "0.19.0", "somewhere", key)
            case _:
                origins[name] = Derived((name,), "somehow")
    framework = draw(st.sampled_from(["axolotl", "transformers", "trl", "peft", "llamafactory", "torchtune", "mlx-lm"]))
    span = entries[0].key.span
    reading = Reading(
        format=draw(st.sampled_from(["axolotl", "trl", "peft", "llamafactory", "torchtune", "mlx-lm", "custom"])),
        signature="made up",
        framework=framework,
        version=draw(st.none() | st.sampled_from(["4.57.1", "5.23.0", "0.9"])),
        assumed_version=f"{framework} 1.0",
        document=document,
        root=root,
        plan=build(given),
        origins=origins,
        key_issues=draw(
            st.lists(
                st.builds(
                    KeyIssue,
                    st.sampled_from(["unknown", "removed", "renamed", "deprecated"]),
                    TEXT,
                    st.just(span),
                    st.just(framework),
                    st.sampled_from(["raises", "ignored", "works"]),
                    st.none() | TEXT,
                    st.none() | st.just("transformers 5.0"),
                ),
                max_size=2,
            )
        ),
        value_issues=draw(
            st.lists(
                st.builds(
                    ValueIssue,
                    st.sampled_from(["string-number", "wrong-type", "unresolved"]),
                    st.sampled_from(ordered_names()),
                    TEXT,
                    st.just(span),
                    st.just("a number"),
                    st.sampled_from(["raises", "ignored", "works"]),
                ),
                max_size=2,
            )
        ),
        lora_keys=draw(st.dictionaries(TEXT, st.just(span), max_size=2)),
        switch=draw(st.none() | st.just("use_peft: true")),
        keys={name: name.rpartition(".")[2] for name in ordered_names()},
        sections={"": root},
        hand_rolled=draw(st.booleans()),
    )
    return Made(reading, given)
