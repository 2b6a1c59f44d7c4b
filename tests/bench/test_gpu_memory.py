"""Measuring on a GPU, without one: the matrix, the rows, the budget, going on where a run stopped."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from loraplan.trace.setting import Setting

BENCH = Path(__file__).parents[2] / "bench"
FIELDS = {
    "id", "source", "source_repo_or_paper", "source_path", "commit", "quality", "model", "arch", "method", "r",
    "lora_alpha", "lora_dropout", "target_modules", "base_dtype", "adapter_dtype", "quantization", "double_quant",
    "bnb_compute_dtype", "autocast", "optimizer", "optimizer_kwargs", "per_device_batch_size",
    "gradient_accumulation_steps", "seq_len_max", "seq_len_shape", "seq_len_mean", "padding", "gradient_checkpointing",
    "activation_offloading", "attention_impl", "fused_loss", "torch_compile", "num_gpus", "sharding", "gpu_name",
    "library_versions", "metric", "measured_bytes", "measured_original", "measured_is_approximate", "other_measured",
    "trainable_params", "total_params", "is_estimate", "oom", "notes",
}  # fmt: skip


def _load(name: str) -> ModuleType:
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, BENCH / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


gpu_step = _load("gpu_step")
gpu_memory = _load("gpu_memory")


class Counter:
    """A GPU that says what it is told, and a clock that moves when it is used."""

    def __init__(self, seconds: float = 10.0) -> None:
        self.seconds, self.now, self.asked = seconds, 0.0, 0

    def clock(self) -> float:
        return self.now

    def __call__(self, case: Any, seconds: float) -> dict[str, Any]:
        assert seconds > 0
        self.now += self.seconds
        self.asked += 1
        if "dora" in case.id:
            return {"oom": True, "message": "CUDA out of memory.", "gpu_name": "Fake", "library_versions": {}}
        if "eager" in case.id:
            return {"error": "exit code 1 without a reading"}
        return {
            "gpu_name": "Fake", "library_versions": {"torch": "2.13"}, "allocated": 5 * 2**30, "reserved": 6 * 2**30,
            "device_used_MiB": 7000, "allocated_after_load": 2**30, "allocated_end_of_step": 2**30,
            "peak_by_phase": {"backward": 5 * 2**30}, "step_seconds": 0.1, "trainable_params": 1, "total_params": 2,
            "oom": False,
        }  # fmt: skip


@pytest.fixture(autouse=True)
def first_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_step, "device_used", lambda: 300)


def test_every_case_is_there_once_and_its_model_is_known() -> None:
    from loraplan.arch.catalogue import all_rows

    cases = gpu_memory.matrix()
    assert len({case.id for case in cases}) == len(cases) > 60
    assert {case.model for case in cases} <= {row.name for row in all_rows()}
    settings = [case.setting for case in cases]
    assert {item.checkpointing for item in settings} == {"off", "reentrant", "non-reentrant"}
    assert {item.attention for item in settings} == {"sdpa", "eager"}
    for quality in ("nf4", "dora", "padded", "autocast", "upcast"):
        assert {getattr(item, quality) for item in settings} == {True, False}, quality


def test_rows_have_the_fields_of_published_ones() -> None:
    counter = Counter()
    for case in gpu_memory.matrix():
        reading = counter(case, 1)
        if "error" not in reading:
            row = gpu_memory.row(case, reading, 300)
            assert set(row) == FIELDS
            assert row["oom"] == (row["measured_bytes"] is None)
            json.dumps(row)
    plain = gpu_memory.row(gpu_memory.matrix()[0], counter(gpu_memory.matrix()[0], 1), 300)
    assert plain["measured_bytes"] == 5 * 2**30
    assert plain["other_measured"]["nvidia_smi_minus_first_bytes"] == 6700 * 2**20
    assert plain["other_measured"]["max_memory_reserved_bytes"] == 6 * 2**30
    unknown = gpu_memory.row(gpu_memory.matrix()[0], counter(gpu_memory.matrix()[0], 1), None)
    assert unknown["other_measured"]["nvidia_smi_minus_first_bytes"] is None


def test_rows_are_judged_as_what_was_run() -> None:
    measured_rows = _load("measured_rows")
    counter = Counter()
    for case in gpu_memory.matrix():
        reading = counter(case, 1)
        if "error" in reading:
            continue
        judged = measured_rows.case(json.loads(json.dumps(gpu_memory.row(case, reading, 300))))
        setting = case.setting
        assert judged.plan.precision.bf16 == judged.stack.autocast == setting.autocast, case.id
        assert (judged.stack.upcast == "all", judged.stack.loss == "tiled") == (
            setting.upcast,
            setting.loss == "chunked",
        )
        assert judged.plan.precision.gradient_checkpointing == (setting.checkpointing != "off")
        assert (judged.plan.quantization.bits == 4, judged.plan.adapter.use_dora) == (setting.nf4, setting.dora)
        assert judged.plan.data.packing != setting.padded


def test_a_run_goes_on_where_it_stopped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, counter = tmp_path / "rows" / "gpu.jsonl", Counter()
    cases = gpu_memory.matrix()[:6]
    assert gpu_memory.run(cases[:2], out, 1000, counter, counter.clock) == (2, 0)
    with out.open("a") as rows:
        rows.write('{"id": "gpu-cut-')  # as a killed run leaves it
    assert gpu_memory.run(cases, out, 1000, counter, counter.clock) == (4, 0)
    assert counter.asked == 6
    assert gpu_memory.known(out) == {case.id for case in cases}
    assert gpu_memory.run(cases, out, 1000, counter, counter.clock) == (0, 0)
    assert counter.asked == 6
    assert "6 in " in capsys.readouterr().out


def test_it_ends_within_the_budget_and_says_what_is_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    counter = Counter(seconds=200)
    written, _ = gpu_memory.run(gpu_memory.matrix(), tmp_path / "gpu.jsonl", 1000, counter, counter.clock)
    assert written == 5
    assert counter.now <= 1000
    assert f"{len(gpu_memory.matrix()) - 5} cases left" in capsys.readouterr().out


def test_a_failure_is_told_and_tried_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "gpu.jsonl"
    arguments = ["--out", str(out), "--only", "eager"]
    assert gpu_memory.main(arguments, Counter()) == 1
    assert "exit code 1 without a reading" in capsys.readouterr().out
    assert gpu_memory.known(out) == set()


def test_it_says_that_there_is_no_gpu(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpu_memory.main([]) == 2
    assert "no CUDA GPU" in capsys.readouterr().err
    assert gpu_memory.main(["--dry-run"]) == 0
    assert f"{len(gpu_memory.matrix())} cases; nothing was run" in capsys.readouterr().out


def test_a_child_that_dies_is_a_failed_case(monkeypatch: pytest.MonkeyPatch) -> None:
    case = gpu_memory.Case("no/such-model", Setting())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert "error" in gpu_memory.child(case, 120)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("setting", [Setting(sequence=16), Setting(sequence=16, nf4=True)], ids=["lora", "qlora"])
def test_a_model_gets_the_memory_that_the_trace_counts(setting: Setting) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("peft")
    pytest.importorskip("bitsandbytes")
    from loraplan.trace.model import build, config_of
    from loraplan.trace.quantized import statistics

    config = config_of({
        "model_type": "llama", "vocab_size": 64, "hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2,
    })  # fmt: skip
    model = build(config, setting)
    before = [(type(item), item.shape, item.dtype) for item in (*model.parameters(), *statistics(model))]
    gpu_step.give_memory(model, "cpu")
    tensors = (*model.parameters(), *model.buffers(), *statistics(model))
    assert {item.device.type for item in tensors} == {"cpu"}
    assert [(type(item), item.shape, item.dtype) for item in (*model.parameters(), *statistics(model))] == before
    ids = torch.zeros((1, 16), dtype=torch.long)
    loss = model(input_ids=ids, labels=ids).loss
    loss.backward()
    assert torch.isfinite(loss)
    assert all(item.grad is not None for item in model.parameters() if item.requires_grad)


def test_rows_are_read_by_the_accuracy_bench() -> None:
    measured_rows = _load("measured_rows")
    counter = Counter()
    groups = set()
    for case in gpu_memory.matrix():
        reading = counter(case, 1)
        if "error" in reading:
            continue
        row = gpu_memory.row(case, reading, 300)
        groups.add(measured_rows.group(row))
        mapped = measured_rows.case(row)
        assert mapped.plan.batch.micro_batch_size == case.setting.batch
        assert mapped.plan.data.max_length == case.setting.sequence
        assert not mapped.capped
        assert bool(mapped.plan.precision.gradient_checkpointing) == (case.setting.checkpointing != "off")
        assert bool(mapped.plan.precision.bf16) == case.setting.autocast
    assert groups == {"gold_allocated_1gpu", "oom"}
