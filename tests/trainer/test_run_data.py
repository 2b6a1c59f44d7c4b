"""Data as whole runs see them: policies for broken rows, figures, splits, packing, streams, templates, new tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from loraplan_trainer import events
from loraplan_trainer.manifest import DataSource
from tests.trainer.harness import Outcome, rows_file, train
from tests.trainer.test_run_resume import resume
from tests.trainer.tiny import WORDS, pairs, preferences, sentences

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")

SHORT = {"schedule.max_steps": 2}
BROKEN = [*pairs(3), {"prompt": "a", "completion": ""}, *pairs(3), {"prompt": "a"}]


def statistics(outcome: Outcome, role: str = "train") -> events.DataStatistics:
    [found] = [event for event in outcome.of(events.DataStatistics) if event.role == role]
    return found


def test_broken_rows_stop_the_run_and_are_named(tiny_model: Path, tmp_path: Path) -> None:
    rows = rows_file(tmp_path, BROKEN)
    outcome = train(tmp_path / "run", tiny_model, rows, plan=SHORT)
    assert outcome.code == 2
    assert outcome.error.text == (
        f"2 of 8 rows hold no example:\n  {rows}:4: 'completion' is empty\n"
        f"  {rows}:8: no 'completion'; it has 'prompt'\n"
        "mend them, or go on without them: broken_rows skip"
    )
    assert [(event.line, event.source) for event in outcome.of(events.Broken)] == [(4, str(rows)), (8, str(rows))]
    assert not outcome.of(events.ModelReady), "the model was loaded before the data were looked at"


def test_broken_rows_are_counted_and_left_out(tiny_model: Path, tmp_path: Path) -> None:
    rows = rows_file(tmp_path, BROKEN)
    outcome = train(tmp_path / "run", tiny_model, rows, plan=SHORT, broken_rows="skip")
    assert outcome.code == 0
    found = statistics(outcome)
    assert (found.rows, found.broken, found.forms) == (6, 2, ("prompt_completion",))
    assert len(outcome.of(events.Broken)) == 2


def test_figures(tiny_model: Path, tmp_path: Path) -> None:
    rows = rows_file(tmp_path, [*pairs(2), {"prompt": "what comes after red ? " * 5, "completion": " green ."}])
    outcome = train(tmp_path / "run", tiny_model, rows, plan={**SHORT, "data.max_length": 20})
    found = statistics(outcome)
    # 8 tokens a pair, 2 of them and the end token in the loss; the long one's completion is cut off.
    assert (found.rows, found.longest, found.truncated) == (3, found.tokens - 16 if found.tokens else 0, 1 / 3)
    assert (found.trained_tokens, found.empty) == (6, 1)
    assert found.example == "what comes after red ? green .</s>"
    assert any("1 of 3 rows have no token that the loss sees" in event.text for event in outcome.of(events.Warned))

    cut = train(tmp_path / "cut", tiny_model, rows, plan={**SHORT, "data.max_length": 3})
    assert cut.code == 2
    assert "raise data.max_length" in cut.error.text


@pytest.mark.parametrize(
    ("rows", "plan", "said"),
    [
        ([{"url": "a"}], {}, "rows.jsonl:1: of no known form; it has 'url'"),
        (preferences(2), {}, "preference pairs train DPO only"),
        (pairs(2), {"method": "dpo"}, "DPO needs preference pairs"),
        (pairs(2), {"method": "pt"}, "method pt trains on plain text"),
        ([], {}, "no row holds an example"),
        (pairs(2), {"data.val_size": 2.0}, "leaves nothing of 2 rows"),
    ],
)
def test_data_that_do_not_fit_the_method(
    rows: list[Any], plan: dict[str, Any], said: str, tiny_model: Path, tmp_path: Path
) -> None:
    outcome = train(tmp_path / "run", tiny_model, rows_file(tmp_path, rows), plan={**SHORT, **plan})
    assert outcome.code == 2
    assert said in outcome.error.text


def test_a_split_is_held_out_and_evaluated(tiny_model: Path, tmp_path: Path) -> None:
    plan = {
        "schedule.max_steps": None, "schedule.epochs": 2.0, "data.val_size": 0.25, "run.eval_strategy": "epoch",
        "run.save_strategy": "epoch", "run.load_best_model_at_end": True,
    }  # fmt: skip
    outcome = train(tmp_path / "run", tiny_model, rows_file(tmp_path, pairs(16)), plan=plan)
    assert outcome.code == 0
    assert [(event.step, event.loss is not None) for event in outcome.of(events.Evaluation)] == [(3, True), (6, True)]
    assert outcome.of(events.ModelReady)[0].steps == 6  # 12 of 16 rows, 4 a step, twice


def test_held_out_data_of_their_own_and_capped_training_data(tiny_model: Path, tmp_path: Path) -> None:
    sources = [
        DataSource(source=str(rows_file(tmp_path, pairs(16), "a.jsonl")), kind="file"),
        DataSource(source=str(rows_file(tmp_path, [{"text": text} for text in sentences()], "b.jsonl")), kind="file"),
        DataSource(source=str(rows_file(tmp_path, pairs(5), "c.jsonl")), kind="file", role="eval"),
    ]
    outcome = train(tmp_path / "run", tiny_model, sources, plan={**SHORT, "data.max_samples": 6})
    assert outcome.code == 0
    found = statistics(outcome)
    assert (found.rows, found.forms) == (12, ("prompt_completion", "text"))
    assert statistics(outcome, "eval").rows == 5


@pytest.mark.parametrize("strategy", ["bfd", "bfd_split", "wrapped"])
def test_packing(strategy: str, tiny_model: Path, tmp_path: Path) -> None:
    plan = {
        "schedule.max_steps": None, "schedule.epochs": 1.0, "batch.micro_batch_size": 1, "data.packing": True,
        "data.packing_strategy": strategy, "data.max_length": 32, "method": "pt",
    }  # fmt: skip
    outcome = train(
        tmp_path / "run", tiny_model, rows_file(tmp_path, [{"text": f"{w} ."} for w in WORDS * 4]), plan=plan
    )
    assert outcome.code == 0, outcome.of(events.Failed)
    tokens = statistics(outcome).tokens
    assert tokens is not None
    assert len(outcome.losses) <= tokens / 32 + 2, "32 rows, several to a sequence"


STREAM = {
    "schedule.max_steps": None, "schedule.epochs": 2.0, "run.save_strategy": "steps", "run.save_steps": 3.0,
    "adapter.dropout": 0.1,
}  # fmt: skip


def test_a_stream_trains_as_many_steps_and_resumes(tiny_model: Path, tmp_path: Path) -> None:
    rows = rows_file(tmp_path, pairs(16))
    whole = train(tmp_path / "whole", tiny_model, rows, plan=STREAM, stream=True)
    assert whole.code == 0, whole.of(events.Failed)
    assert statistics(whole).sampled
    assert set(whole.losses) == set(range(1, 9))

    again = train(tmp_path / "again", tiny_model, rows, plan=STREAM, stream=True)
    newest = max((again.directory / "checkpoints").glob("checkpoint-*"), key=lambda path: int(path.name[11:]))
    (newest / "complete.json").unlink()
    resumed = resume(again)
    assert resumed.of(events.Start)[-1].resumed_from == 6
    assert resumed.losses == pytest.approx(whole.losses, abs=1e-4)


def test_what_is_done_every_epoch_is_done_in_a_stream(tiny_model: Path, tmp_path: Path) -> None:
    sources = [
        DataSource(source=str(rows_file(tmp_path, pairs(16))), kind="file"),
        DataSource(source=str(rows_file(tmp_path, pairs(4), "held-out.jsonl")), kind="file", role="eval"),
    ]
    plan = {**STREAM, "run.save_strategy": "epoch", "run.save_steps": None, "run.eval_strategy": "epoch"}
    outcome = train(tmp_path / "run", tiny_model, sources, plan=plan, stream=True)
    assert [event.step for event in outcome.of(events.Checkpoint)] == [4, 8]
    assert [event.step for event in outcome.of(events.Evaluation)] == [4, 8]
    assert [event.epoch for event in outcome.of(events.Step)][3::4] == pytest.approx([1.0, 2.0])


def test_streamed_data_that_vanish(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from loraplan_trainer.recorder import Recorder

    rows = rows_file(tmp_path, pairs(16))
    took = Recorder.on_step_end

    def vanish(self: Recorder, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        rows.unlink(missing_ok=True)
        return took(self, args, state, control, **kwargs)

    monkeypatch.setattr(Recorder, "on_step_end", vanish)
    outcome = train(tmp_path / "run", tiny_model, rows, plan=STREAM, stream=True)
    assert outcome.code == 2
    assert f"{rows}: data file not found" in outcome.error.text
    assert "the checkpoint of step 3 is whole" in outcome.error.text


def test_a_stream_names_its_broken_rows(tiny_model: Path, tmp_path: Path) -> None:
    rows = rows_file(tmp_path, BROKEN)
    outcome = train(tmp_path / "run", tiny_model, rows, plan=STREAM, stream=True)
    assert outcome.code == 2
    assert f"{rows}:4: 'completion' is empty" in outcome.error.text


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ({"data.val_size": 0.5}, "streamed data cannot be split"),
        ({"data.packing": True}, "set schedule.max_steps"),
    ],
)
def test_what_a_stream_cannot_do(plan: dict[str, Any], said: str, tiny_model: Path, tmp_path: Path) -> None:
    outcome = train(tmp_path / "run", tiny_model, rows_file(tmp_path, pairs(8)), plan={**STREAM, **plan}, stream=True)
    assert outcome.code == 2
    assert said in outcome.error.text


def test_instructions_under_a_named_template(tiny_model: Path, tmp_path: Path) -> None:
    rows = rows_file(tmp_path, [{"instruction": "what comes after red ?", "input": "", "output": "green ."}] * 4)
    plan = {**SHORT, "data.chat_template": "default", "data.train_on_prompt": False}
    found = statistics(train(tmp_path / "run", tiny_model, rows, plan=plan))
    assert found.example == "Human: what comes after red ?</s>\nAssistant:green .</s>\n"
    assert found.trained_tokens is not None
    assert found.tokens is not None
    assert 0 < found.trained_tokens < found.tokens / 2


def test_a_template_from_a_file_and_as_text(tiny_model: Path, tmp_path: Path) -> None:
    text = "{%- for turn in messages -%}{{- '|' + turn['content'] -}}{%- endfor -%}"
    path = tmp_path / "chat.jinja"
    path.write_text(text)
    rows = rows_file(
        tmp_path, [{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}]
    )
    for number, template in enumerate((str(path), text)):
        plan = {**SHORT, "data.chat_template": template, "schedule.max_steps": 1}
        assert statistics(train(tmp_path / str(number), tiny_model, rows, plan=plan)).example == "|a|b"
    path.unlink()
    outcome = train(tmp_path / "absent", tiny_model, rows, plan={**SHORT, "data.chat_template": str(path)})
    assert "cannot be read" in outcome.error.text


def test_new_tokens_are_learnt_and_saved(tiny_model: Path, tmp_path: Path) -> None:
    from safetensors import safe_open
    from transformers import AutoTokenizer

    plan = {**SHORT, "data.new_tokens": ("<colour>",), "adapter.modules_to_save": ("embed_tokens", "lm_head"),
            "adapter.target_modules": ("q_proj",)}  # fmt: skip
    rows = rows_file(tmp_path, [{"text": f"<colour> {word}"} for word in WORDS])
    outcome = train(tmp_path / "run", tiny_model, rows, plan=plan)
    assert outcome.code == 0, outcome.of(events.Failed)
    adapter = outcome.directory / "adapter"
    size = len(AutoTokenizer.from_pretrained(tiny_model))
    assert AutoTokenizer.from_pretrained(adapter).convert_tokens_to_ids("<colour>") == size
    with safe_open(adapter / "adapter_model.safetensors", "pt") as weights:
        embeddings = [name for name in weights.keys() if "embed_tokens" in name]  # noqa: SIM118 - no mapping
        assert embeddings
        assert all(weights.get_slice(name).get_shape() == [size + 1, 64] for name in embeddings)


def test_a_tokenizer_that_outgrew_the_model(tiny_model: Path, tmp_path: Path) -> None:
    import shutil

    from transformers import AutoTokenizer

    grown = tmp_path / "grown"
    shutil.copytree(tiny_model, grown)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.add_tokens(["<more>"])
    tokenizer.save_pretrained(grown)
    rows = rows_file(tmp_path, pairs(4))
    refused = train(tmp_path / "refused", grown, rows, plan=SHORT)
    assert "set data.resize_vocab: true" in refused.error.text
    assert train(tmp_path / "run", grown, rows, plan={**SHORT, "data.resize_vocab": True}).code == 0


def test_other_columns(tiny_model: Path, tmp_path: Path) -> None:
    rows = rows_file(tmp_path, [{"frage": "a", "antwort": "b"}] * 4)
    source = DataSource(
        source=str(rows), kind="file", form="prompt_completion", columns={"prompt": "frage", "completion": "antwort"}
    )
    outcome = train(tmp_path / "run", tiny_model, [source], plan=SHORT)
    assert outcome.code == 0
    assert statistics(outcome).example == "ab</s>"


def test_the_log_is_lines_of_json(tiny_model: Path, tmp_path: Path) -> None:
    outcome = train(tmp_path / "run", tiny_model, rows_file(tmp_path, pairs(4)), plan=SHORT)
    for line in (outcome.directory / events.FILE_NAME).read_text().splitlines():
        assert {"event", "time"} <= set(json.loads(line))
    first, *_, last = outcome.log
    assert isinstance(first, events.Start)
    assert isinstance(last, events.End)
