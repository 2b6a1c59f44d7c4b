"""The plumbing of the comparison with other tools: what they are asked, what is kept, what is counted."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCH = Path(__file__).parents[2] / "bench"
ROW: dict[str, Any] = {
    "id": "a-row", "source": "somewhere", "quality": "gold", "is_estimate": False, "oom": False,
    "model": "meta-llama/Llama-2-7b-hf", "method": "qlora", "r": 16, "lora_alpha": 32, "lora_dropout": 0.1,
    "target_modules": ["q_proj", "v_proj"], "base_dtype": "bfloat16", "adapter_dtype": None, "quantization": "nf4",
    "double_quant": True, "bnb_compute_dtype": "bfloat16", "autocast": None, "optimizer": "adamw_torch",
    "per_device_batch_size": 4, "gradient_accumulation_steps": 2, "seq_len_max": 1024,
    "seq_len_shape": "exactly 4 x 1024", "padding": "none", "gradient_checkpointing": True,
    "activation_offloading": None, "attention_impl": "flash_attention_2", "fused_loss": "none", "torch_compile": None,
    "num_gpus": 1, "sharding": "none", "gpu_name": "NVIDIA A100 80GB", "library_versions": None,
    "metric": "max_memory_allocated", "measured_bytes": 10_000_000_000, "other_measured": None, "notes": None,
}  # fmt: skip
# A tool that always says 11 GB and refuses batches over 4.
STAND_IN = """\
import json, sys
asked = json.load(sys.stdin)
with open(LOG, "a") as log:
    log.write(str(len(asked["settings"])))
answers = [
    {"refused": "too large"} if setting["batch"] > 4
    else {"allocated": 11_000_000_000, "reserved": 12_000_000_000, "device": 13_000_000_000,
          "approximated": ["DoRA as LoRA"] if setting["dora"] else []}
    for setting in asked["settings"]
]
json.dump({"version": "1.0", "answers": answers}, sys.stdout)
"""


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCH))
    return importlib.import_module("other_tools")


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCH))
    return importlib.import_module("other_tools_worker")


def ask(tools: ModuleType, **changes: Any) -> dict[str, Any]:
    asked, unsaid = tools.questions([ROW | changes])
    assert not unsaid, unsaid
    found: dict[str, Any] = asked[0].setting
    return found


def test_a_row_becomes_a_setting(tools: ModuleType) -> None:
    found = ask(tools)
    assert (found["bits"], found["double_quant"], found["dtype"], found["method"]) == (4, True, "bf16", "lora")
    assert (found["batch"], found["length"], found["accumulation"]) == (4, 1024, 2)
    assert (found["r"], found["alpha"], found["dropout"], found["targets"]) == (16, 32, 0.1, ["q", "v"])
    assert (found["hidden"], found["inner"], found["parameters"]) == (4096, 11008, 6_738_415_616)
    assert (found["optimizer"], found["attention"], found["vram_gib"]) == ("adamw", "flash_attention_2", 80)


@pytest.mark.parametrize(
    ("changes", "key", "expected"),
    [
        ({"method": "full", "quantization": "none"}, "method", "full"),
        ({"method": "full", "quantization": "none"}, "state_dtype", "bf16"),
        ({}, "state_dtype", "fp32"),
        ({"quantization": "gptq-int4", "double_quant": None, "method": "gptq-lora"}, "double_quant", True),
        ({"optimizer": "bitsandbytes PagedAdamW"}, "optimizer", "adamw"),
        ({"optimizer": "paged_adamw_8bit"}, "optimizer", "paged_adamw_8bit"),
        ({"fused_loss": "liger fused-linear-CE"}, "loss", "liger"),
        ({"fused_loss": "CEWithChunkedOutputLoss"}, "loss", "chunked"),
        ({"attention_impl": "eager"}, "attention", "eager"),
        ({"gpu_name": "NVIDIA A100-SXM4-40GB"}, "vram_gib", 40),
        ({"gpu_name": None}, "vram_gib", None),
        ({"method": "dora"}, "dora", True),
    ],
)
def test_what_a_setting_says(tools: ModuleType, changes: dict[str, Any], key: str, expected: object) -> None:
    assert ask(tools, **changes)[key] == expected


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"num_gpus": 2, "sharding": "FSDP full_shard"}, "sharded over several GPUs"),
        ({"activation_offloading": True}, "activations offloaded to the host"),
        ({"optimizer": "AdamW fused into backward"}, "optimizer step inside the backward"),
        ({"target_modules": ["q_proj", "modules_to_save: lm_head"]}, "modules trained in full beside the adapter"),
        ({"model": "nobody/knows"}, "architecture of nobody/knows unknown"),
    ],
)
def test_what_no_tool_can_be_asked(tools: ModuleType, changes: dict[str, Any], reason: str) -> None:
    asked, unsaid = tools.questions([ROW | changes])
    assert not asked
    assert [list(reasons) for reasons in unsaid.values()] == [[reason]]


def test_replicated_runs_are_asked_about(tools: ModuleType) -> None:
    asked, unsaid = tools.questions([ROW | {"num_gpus": 2, "sharding": 'FSDP "ddp" mode'}])
    assert (len(asked), dict(unsaid)) == (1, {})


def test_rows_out_of_scope_are_not_counted(tools: ModuleType) -> None:
    asked, unsaid = tools.questions([ROW | {"method": "ia3"}, ROW | {"oom": True}, ROW | {"quality": "bronze"}])
    assert (asked, dict(unsaid)) == ([], {})


def test_each_counter_is_compared_with_its_own(tools: ModuleType) -> None:
    assert tools.counter(ROW) == "allocated"
    assert tools.counter(ROW | {"metric": "max_memory_reserved per GPU"}) == "reserved"
    assert tools.counter(ROW | {"metric": "nvidia-smi"}) == "device"
    assert tools.counter(ROW | {"metric": 'unknown ("GPU memory")'}) is None


def run(tools: ModuleType, monkeypatch: pytest.MonkeyPatch, folder: Path, rows: list[dict[str, Any]]) -> None:
    """Lay out the rows, and put the stand-in where the tools' own adapters are."""
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "other_tools_worker.py").write_text(STAND_IN.replace("LOG", repr(str(folder / "log"))))
    monkeypatch.setattr(tools, "BENCH", folder)


def table(tools: ModuleType, folder: Path, capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, Any]:
    arguments = [str(folder / "rows.jsonl"), "--cache", str(folder / "cache.json"), "--tool", "peft-doctor"]
    assert tools.main([*arguments, "--format", "json", *more]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)["peft-doctor"]
    return found


def test_the_table(
    tools: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        ROW,
        ROW | {"method": "dora", "measured_bytes": 22_000_000_000},
        ROW | {"per_device_batch_size": 8},
        ROW | {"num_gpus": 2, "sharding": "FSDP full_shard"},
    ]
    run(tools, monkeypatch, tmp_path, rows)
    found = table(tools, tmp_path, capsys, "--python", sys.executable)
    one = found["gold_allocated_1gpu"]
    assert found["version"] == "1.0"
    assert (one["rows"], one["rows_not_expressible"], one["reasons"]) == (2, 1, {"too large": 1})
    assert (one["median_abs_pct"], one["worst_abs_pct"], one["bias_pct"]) == (30.0, 50.0, -20.0)
    assert (one["exact"]["rows"], one["exact"]["worst_abs_pct"]) == (1, 10.0)
    assert one["approximated"] == {"DoRA as LoRA": 1}
    errors = [tools.judge(row).error for row in rows[:2]]
    assert one["ours"]["bias_pct"] == pytest.approx(sum(errors) / 2, abs=0.001)
    assert one["exact"]["ours"]["bias_pct"] == pytest.approx(errors[0], abs=0.001)
    assert found["gold_allocated_multi"]["reasons"] == {"sharded over several GPUs": 1}
    assert found["silver"]["median_abs_pct"] is None


def test_answers_are_kept(
    tools: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tools, monkeypatch, tmp_path, [ROW, ROW | {"id": "the-same-setting"}])
    first = table(tools, tmp_path, capsys, "--python", sys.executable)
    assert table(tools, tmp_path, capsys) == first
    assert (tmp_path / "log").read_text() == "1"


def test_missing_answers_need_the_tools(tools: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run(tools, monkeypatch, tmp_path, [ROW])
    arguments = [str(tmp_path / "rows.jsonl"), "--cache", str(tmp_path / "cache.json"), "--tool", "peft-doctor"]
    with pytest.raises(SystemExit, match="1 answers of peft-doctor are not in the cache"):
        tools.main(arguments)
    assert not (tmp_path / "cache.json").exists()


def test_unstated_counters_suit_the_tool(
    tools: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    silver = {"quality": "silver", "source": "qwen-readme-profiling", "metric": "unknown", "measured_bytes": 13 * 10**9}
    run(tools, monkeypatch, tmp_path, [ROW | silver])
    found = table(tools, tmp_path, capsys, "--python", sys.executable)["silver"]
    assert (found["counter_of_unstated"], found["median_abs_pct"]) == ("device", 0.0)


def test_refusals_are_answers_and_faults_are_not(worker: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(_: dict[str, Any]) -> dict[str, Any]:
        raise ValueError("no such model\nand more")

    def breaks(_: dict[str, Any]) -> dict[str, Any]:
        raise AttributeError("checks")

    monkeypatch.setitem(worker.TOOLS, "refuses", ("x", refuses))
    monkeypatch.setitem(worker.TOOLS, "breaks", ("x", breaks))
    assert worker.answer("refuses", {}) == {"refused": "no such model"}
    with pytest.raises(AttributeError):
        worker.answer("breaks", {})


def test_fused_projections_stand_for_separate_ones(worker: ModuleType) -> None:
    roles = {"targets": ["qkv", "o", "fc1", "fc2"]}
    assert worker._targets(roles) == ["q_proj", "k_proj", "v_proj", "o_proj", "up_proj", "down_proj"]
