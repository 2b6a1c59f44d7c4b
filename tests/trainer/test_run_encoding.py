"""Tokens and labels against TRL's own preparation of the same rows; templates; what the loss sees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from loraplan.plan import build
from loraplan_trainer.data.encode import IGNORED, Encoder, Mask, mask
from loraplan_trainer.data.forms import Broken, Chat, ChatPair, Example, Pair, Text
from loraplan_trainer.data.templates import TEMPLATES
from loraplan_trainer.failure import CannotRun
from tests.trainer.harness import in_process
from tests.trainer.tiny import CHATML

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")

TALK = [
    {"role": "system", "content": "be kind"},
    {"role": "user", "content": "what comes after red ?"},
    {"role": "assistant", "content": "green ."},
    {"role": "user", "content": "and after green ?"},
    {"role": "assistant", "content": "blue ."},
]
EXAMPLES: dict[str, tuple[Example, dict[str, Any]]] = {
    "text": (Text("after red comes green ."), {"text": "after red comes green ."}),
    "pair": (
        Pair("what comes after red ?", " green ."),
        {"prompt": "what comes after red ?", "completion": " green ."},
    ),
    "pair that merges": (Pair("after re", "d comes green"), {"prompt": "after re", "completion": "d comes green"}),
    "chat": (Chat(TALK), {"messages": TALK}),
    "chat pair": (ChatPair(TALK[:2], TALK[2:3]), {"prompt": TALK[:2], "completion": TALK[2:3]}),
}
SETTINGS: dict[str, dict[str, Any]] = {
    "default": {},
    "whole": {"completion_only_loss": False},
    "assistant": {"assistant_only_loss": True},  # TRL has it for conversations only
}
CASES = [(name, setting) for name in EXAMPLES for setting in SETTINGS if setting != "assistant" or "chat" in name]


@pytest.fixture(scope="module")
def tokenizer(tiny_model: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_model)


def trl_prepares(model: Path, tokenizer: Any, row: dict[str, Any], tmp_path: Path, **keywords: Any) -> dict[str, Any]:
    from datasets import Dataset
    from transformers import AutoModelForCausalLM
    from trl import SFTConfig, SFTTrainer

    with in_process():
        config = SFTConfig(
            output_dir=str(tmp_path), use_cpu=True, bf16=False, report_to="none", activation_checkpointing=False,
            max_length=None, **keywords,
        )  # fmt: skip
        trainer = SFTTrainer(
            AutoModelForCausalLM.from_pretrained(model), config, train_dataset=Dataset.from_list([row]),
            processing_class=tokenizer,
        )  # fmt: skip
        prepared: dict[str, Any] = trainer.train_dataset[0]
        return prepared


@pytest.mark.parametrize(("name", "setting"), CASES)
def test_as_trl_does(name: str, setting: str, tiny_model: Path, tokenizer: Any, tmp_path: Path) -> None:
    example, row = EXAMPLES[name]
    keywords = SETTINGS[setting]
    plan = build({"method": "sft", **{f"data.{key}": value for key, value in keywords.items()}})
    wanted = trl_prepares(tiny_model, tokenizer, row, tmp_path, **keywords)
    found = Encoder(tokenizer, mask(plan)).encode(example)
    assert found.input_ids == wanted["input_ids"]
    assert found.labels == wanted["labels"]


def seen(tokenizer: Any, encoded: Any) -> str:
    text: str = tokenizer.decode([label for label in encoded.labels if label != IGNORED])
    return text


def test_a_template_without_marks_is_told_apart_by_its_prefixes(tokenizer: Any, tiny_model: Path) -> None:
    from transformers import AutoTokenizer

    plain = AutoTokenizer.from_pretrained(tiny_model)
    plain.chat_template = CHATML.replace("{%- generation -%}", "").replace("{%- endgeneration -%}", "")
    marked = Encoder(tokenizer, Mask(prompt=False, others=False)).encode(Chat(TALK))
    found = Encoder(plain, Mask(prompt=False, others=False)).encode(Chat(TALK))
    assert found.input_ids == marked.input_ids
    assert seen(tokenizer, marked) == "green .<|im_end|>blue .<|im_end|>"
    # Without marks the line feed after an answer belongs to it.
    assert seen(tokenizer, found) == "green .<|im_end|>\nblue .<|im_end|>\n"


def test_a_template_that_rewrites_earlier_turns_is_refused(tiny_model: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.chat_template = (
        "{{- messages | length -}}{%- for turn in messages -%}{{- turn['content'] -}}{%- endfor -%}"
    )
    with pytest.raises(CannotRun, match="renders earlier turns differently"):
        Encoder(tokenizer, Mask(prompt=False, others=False)).encode(Chat(TALK))


def test_conversations_need_a_template(tiny_model: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.chat_template = None
    with pytest.raises(CannotRun, match=r"set data\.chat_template"):
        Encoder(tokenizer, Mask(prompt=False, others=True)).encode(Chat(TALK))
    tokenizer.chat_template = "{{ raise_exception('roles must alternate') }}"
    with pytest.raises(Broken, match="roles must alternate"):
        Encoder(tokenizer, Mask(prompt=False, others=True)).encode(Chat(TALK))
    tokenizer.chat_template = "{% for %}"
    with pytest.raises(CannotRun, match="is not jinja"):
        Encoder(tokenizer, Mask(prompt=False, others=True)).encode(Chat(TALK))


RENDERED = {
    "chatml": "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n",
    "llama3": "<s><|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|><|start_header_id|>user<|end_header_id|>"
    "\n\nU<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nA<|eot_id|>",
    "phi": "<|system|>\nS<|end|>\n<|user|>\nU<|end|>\n<|assistant|>\nA<|end|>\n",
    "default": "System: S</s>\nHuman: U</s>\nAssistant:A</s>\n",
    "empty": "SUA",
    "alpaca": "S### Instruction:\nU\n\n### Response:\nA</s>\n\n",
}


@pytest.mark.parametrize("name", TEMPLATES)
def test_templates_render_and_mark_the_answer(name: str, tokenizer: Any) -> None:
    messages = [
        {"role": "system", "content": "S"},
        {"role": "user", "content": "U"},
        {"role": "assistant", "content": "A"},
    ]
    same = {"qwen": "chatml", "qwen_25": "chatml", "phi_3": "phi"}.get(name, name)
    text = tokenizer.apply_chat_template(messages, chat_template=TEMPLATES[name], tokenize=False)
    assert text == RENDERED[same]
    opening = tokenizer.apply_chat_template(
        messages[:2], chat_template=TEMPLATES[name], tokenize=False, add_generation_prompt=True
    )
    assert text.startswith(opening)
    found = tokenizer.apply_chat_template(
        messages, chat_template=TEMPLATES[name], tokenize=True, return_dict=True, return_assistant_tokens_mask=True
    )
    answer = [one for one, mark in zip(found["input_ids"], found["assistant_masks"], strict=True) if mark]
    assert tokenizer.decode(answer) == text[len(opening) :]


def test_default_systems(tokenizer: Any) -> None:
    messages = [{"role": "user", "content": "U"}]

    def start(name: str) -> str:
        text: str = tokenizer.apply_chat_template(messages, chat_template=TEMPLATES[name], tokenize=False)
        return text

    assert start("qwen").startswith("<|im_start|>system\nYou are Qwen, created by Alibaba Cloud.")
    assert start("alpaca").startswith("Below is an instruction that describes a task. Write")
    assert start("chatml") == "<|im_start|>user\nU<|im_end|>\n"


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ({}, Mask(prompt=False, others=True)),
        ({"method": "pt"}, Mask(prompt=True, others=True)),
        ({"data.train_on_prompt": True}, Mask(prompt=True, others=True)),
        ({"data.train_on_prompt": False}, Mask(prompt=False, others=False)),
        ({"data.completion_only_loss": False}, Mask(prompt=True, others=True)),
        ({"data.assistant_only_loss": True}, Mask(prompt=False, others=False)),
    ],
)
def test_what_the_loss_sees(values: dict[str, Any], wanted: Mask) -> None:
    assert mask(build({"method": "sft", **values})) == wanted
