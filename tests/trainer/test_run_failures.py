"""How runs fail: with a reason, a phase, an exit code, and what was whole still there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from loraplan_trainer import checkpoints, events
from loraplan_trainer.manifest import DataSource
from tests.trainer.harness import Outcome, rows_file, train
from tests.trainer.test_run_resume import resume
from tests.trainer.tiny import pairs, preferences

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")

SAVING = {"run.save_strategy": "steps", "run.save_steps": 2.0}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rows_file(tmp_path_factory.mktemp("data"), pairs(16))


def test_a_loss_that_is_no_number_stops_the_run(tiny_model: Path, data: Path, tmp_path: Path) -> None:
    outcome = train(tmp_path / "run", tiny_model, data, plan={"optimizer.learning_rate": 1e30})
    assert outcome.code == 4
    assert outcome.error.kind == "not_a_number"
    assert outcome.error.text.startswith("the loss of step 2 is nan: too high a learning rate")
    assert list(outcome.losses) == [1], "no loss was made up for the step that had none"
    assert outcome.of(events.End)[0].exit_code == 4
    assert not (outcome.directory / "adapter").exists()


def test_a_gradient_that_is_no_number_stops_before_the_weights_take_it(
    tiny_model: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from loraplan_trainer.trainer import WatchedSFT

    clip = WatchedSFT._clip_grad_norm

    def broken(self: Any, model: Any) -> Any:
        norm = clip(self, model)
        return norm * torch.inf if self.state.global_step == 2 else norm

    monkeypatch.setattr(WatchedSFT, "_clip_grad_norm", broken)
    outcome = train(tmp_path / "run", tiny_model, data, plan=SAVING)
    assert outcome.code == 4
    assert outcome.error.text.startswith("the gradient of step 3 is not finite")
    assert outcome.error.text.endswith("; the checkpoint of step 2 is whole")
    assert checkpoints.last_whole(outcome.directory / checkpoints.FOLDER) == (2, [])


def cpu_allocator() -> None:
    """A real failure of torch's CPU allocator: more than an address space holds."""
    import torch

    torch.empty(1 << 48)


def cuda_allocator() -> None:
    """The error of CUDA's allocator, word for word."""
    import torch

    raise torch.OutOfMemoryError(
        "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 15 GiB"
    )


@pytest.mark.parametrize("allocator", [cpu_allocator, cuda_allocator])
@pytest.mark.parametrize("phase", ["load", "forward", "backward"])
def test_out_of_memory_names_the_phase_its_peaks_and_what_would_fit(
    allocator: Any, phase: str, tiny_model: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    from loraplan_trainer import session
    from loraplan_trainer.trainer import WatchedSFT

    if phase == "load":
        monkeypatch.setattr(session, "load_model", lambda *_: allocator())
    elif phase == "forward":
        forward = WatchedSFT.compute_loss

        def compute_loss(self: Any, *args: Any, **kwargs: Any) -> Any:
            if self.state.global_step == 3:
                allocator()
            return forward(self, *args, **kwargs)

        monkeypatch.setattr(WatchedSFT, "compute_loss", compute_loss)
    else:
        import torch

        backward = torch.Tensor.backward

        def failing(self: Any, *args: Any, **kwargs: Any) -> Any:
            allocator()
            return backward(self, *args, **kwargs)

        monkeypatch.setattr(torch.Tensor, "backward", failing)
    outcome = train(tmp_path / "run", tiny_model, data, plan=SAVING, suggestions=("batch.micro_batch_size: 1",))
    assert outcome.code == 3
    error = outcome.error
    assert (error.kind, error.phase, error.suggestions) == ("out_of_memory", phase, ("batch.micro_batch_size: 1",))
    assert f"out of memory in phase {phase}" in error.text
    assert f"{phase} 0." in error.text or f"{phase} 1." in error.text, "the phase's own peak"
    assert "would fit: batch.micro_batch_size: 1" in capsys.readouterr().out
    assert phase in {event.phase for event in outcome.of(events.PhaseMemory)}
    if phase == "forward":
        assert "the checkpoint of step 2 is whole" in error.text
        monkeypatch.undo()
        assert resume(outcome).code == 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"plan": {"model.name": "/nowhere/at-all"}}, "model.name /nowhere/at-all: its tokenizer cannot be loaded"),
        ({"plan": {"adapter.target_modules": ("w_qkv",)}}, "the adapter does not fit the model"),
        ({"plan": {"adapter.use_dora": True, "adapter.target_parameters": ("q_proj.weight",)}}, "the adapter"),
        ({"plan": {"adapter.layers_pattern": "layers"}}, "the adapter's settings exclude each other"),
        ({"plan": {"adapter.resume_from": "/nowhere"}}, "adapter.resume_from /nowhere: no adapter_config.json"),
        ({"plan": {"method": "grpo"}}, "method: 'grpo'"),
        ({"plan": {"quantization.bits": 4.0, "quantization.compute_dtype": "float7"}}, "'float7' is no dtype of torch"),
        ({"plan": {"optimizer.name": "adamw_anyprecision"}}, "torchdistx"),
        ({"processes": 2}, "the manifest is for 2 process(es), 1 were started"),
    ],
)
def test_what_cannot_run_says_so_with_code_2(
    changes: dict[str, Any], said: str, tiny_model: Path, data: Path, tmp_path: Path
) -> None:
    outcome = train(tmp_path / "run", tiny_model, data, **changes)
    assert outcome.code == 2
    assert outcome.error.kind == "cannot_run"
    assert said in outcome.error.text
    assert outcome.of(events.End)[0].outcome == "failed"


def test_a_cuda_device_that_is_not_there(tiny_model: Path, data: Path, tmp_path: Path) -> None:
    import torch

    from loraplan_trainer.manifest import FILE_NAME, read
    from loraplan_trainer.run import run
    from tests.trainer.harness import in_process, make_manifest

    if torch.cuda.is_available():
        pytest.skip("there is one")
    make_manifest(tmp_path, tiny_model, data)
    path = tmp_path / FILE_NAME
    with in_process():
        assert run(read(path).model_copy(update={"device": "cuda"}), b"") == 2
    assert "torch sees none" in Outcome(2, tmp_path).error.text


def test_a_dry_run_stops_before_the_first_step(tiny_model: Path, data: Path, tmp_path: Path) -> None:
    outcome = train(tmp_path / "run", tiny_model, data, dry_run=True)
    assert outcome.code == 0
    assert outcome.of(events.End)[0].outcome == "dry_run"
    [model] = outcome.of(events.ModelReady)
    assert (model.steps, model.adapted_modules, model.examples_per_step) == (8, 14, 4)
    assert not outcome.of(events.Step)
    assert not (outcome.directory / "adapter").exists()


def test_samples_before_and_after(tiny_model: Path, data: Path, tmp_path: Path) -> None:
    prompt = "what comes after red ?"
    plan = {
        "schedule.max_steps": 60, "optimizer.learning_rate": 5e-3, "adapter.method": "none", "run.logging_steps": 20.0,
    }  # fmt: skip
    outcome = train(tmp_path / "run", tiny_model, data, plan=plan, sample_prompts=(prompt,), sample_tokens=2)
    before, after = outcome.of(events.Sample)
    assert [(sample.when, sample.prompt) for sample in (before, after)] == [("before", prompt), ("after", prompt)]
    assert after.completion.strip() == "green ."
    assert before.completion != after.completion


def test_merged_weights_compute_what_the_adapter_computes(tiny_model: Path, data: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    outcome = train(tmp_path / "run", tiny_model, data, merge=True)
    assert outcome.code == 0
    [merged] = outcome.of(events.Merge)
    assert merged.largest_difference <= merged.tolerance
    model = AutoModelForCausalLM.from_pretrained(merged.path)
    assert model.dtype == torch.bfloat16
    assert not (outcome.directory / ".merged.writing").exists()


def test_a_merge_that_computes_something_else_is_not_kept(
    tiny_model: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from peft import PeftModel

    monkeypatch.setattr(PeftModel, "merge_and_unload", lambda self, **_: self.unload(), raising=False)
    outcome = train(tmp_path / "run", tiny_model, data, merge=True, plan={"optimizer.learning_rate": 5e-2})
    assert outcome.code == 2
    assert "the merged model's logits differ from the adapter's" in outcome.error.text
    assert not (outcome.directory / "merged").exists()
    assert (outcome.directory / "adapter" / "adapter_model.safetensors").is_file()


def test_an_adapter_is_continued(tiny_model: Path, data: Path, tmp_path: Path) -> None:
    first = train(tmp_path / "first", tiny_model, data)
    plan = {"adapter.resume_from": str(first.directory / "adapter"), "adapter.alpha": 99.0}
    second = train(tmp_path / "second", tiny_model, data, plan=plan)
    assert second.code == 0
    assert second.losses[1] < 0.95 * first.losses[1]
    assert [event.text for event in second.of(events.Warned)] == [
        "adapter.alpha 99 has no effect: the adapter that is continued has 16"
    ]


def test_dpo_continues_an_adapter_and_compares_with_it(tiny_model: Path, tmp_path: Path) -> None:
    rows = rows_file(tmp_path, preferences(16))
    plan = {**SAVING, "method": "dpo", "schedule.max_steps": 4}
    first = train(tmp_path / "first", tiny_model, rows, plan=plan)
    plan["adapter.resume_from"] = str(first.directory / "adapter")
    second = train(tmp_path / "second", tiny_model, rows, plan=plan)
    assert second.code == 0, second.of(events.Failed)
    assert second.losses[1] == pytest.approx(0.6931, abs=1e-3), "ln 2: the reference is the adapter as it was"
    assert sorted(path.name for path in (second.directory / "adapter").glob("*.safetensors")) == [
        "adapter_model.safetensors"
    ]
    assert not (second.directory / "adapter" / "ref").exists()
    losses = second.losses
    (second.directory / checkpoints.FOLDER / "checkpoint-4" / checkpoints.MARKER).unlink()
    resumed = resume(second)
    assert resumed.code == 0, resumed.of(events.Failed)
    assert resumed.of(events.Start)[-1].resumed_from == 2
    assert resumed.losses == pytest.approx(losses, abs=1e-4)


def test_what_became_of_every_field_is_in_the_log(tiny_model: Path, data: Path, tmp_path: Path) -> None:
    plan = {"run.push_to_hub": True, "schedule.max_steps": 1}
    outcome = train(tmp_path / "run", tiny_model, data, plan=plan)
    said = {event.name: event for event in outcome.of(events.PlanField)}
    assert said["adapter.r"].outcome == "honoured"
    assert said["run.push_to_hub"].outcome == "no_effect"
    default = said["optimizer.beta2"]
    assert (default.outcome, default.value) == ("default", 0.999)


def test_a_hub_data_set_that_cannot_be_reached(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    def refuse(*_: Any, **__: Any) -> None:
        raise ConnectionError("no network")

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    outcome = train(tmp_path / "run", tiny_model, [DataSource(source="owner/data", kind="hub")])
    assert outcome.code == 2
    assert "owner/data: split 'train' cannot be loaded from the hub (no network)" in outcome.error.text


def test_a_hub_data_set_is_read_like_any_other(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    asked: list[Any] = []

    def load(*args: Any, **kwargs: Any) -> list[dict[str, str]]:
        asked.append((args, kwargs))
        return pairs(8)

    monkeypatch.setattr(datasets, "load_dataset", load)
    source = DataSource(source="owner/data", kind="hub", subset="en", split="train[:8]", revision="v1")
    assert train(tmp_path / "run", tiny_model, [source], plan={"schedule.max_steps": 1}).code == 0
    assert asked == [(("owner/data", "en"), {"split": "train[:8]", "revision": "v1", "streaming": False})]
