"""The run written out for other tools."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from loraplan.engine import Checker
from loraplan.plan import build
from loraplan.training import TrainingError
from loraplan.training.assembly import Choices
from loraplan.training.export import accelerate, script, slurm, write_exports
from loraplan.training.launch import Nodes
from loraplan.training.prepare import Asked, Prepared, prepare
from loraplan_trainer.situation import Situation
from tests.training.dialects import DIALECTS
from tests.training.harness import CONFIG

QLORA = """\
quantization: {bits: 4, method: bnb, quant_type: nf4, double_quant: true, compute_dtype: bfloat16}
"""


def _prepared(
    folder: Path, text: str = CONFIG, row: str = '{"prompt": "p", "completion": "c"}', **asked: object
) -> Prepared:
    for name in ("rows", "held"):
        (folder / f"{name}.jsonl").write_text(row + "\n")
    (folder / "run.yaml").write_text(text, encoding="utf-8")
    checker = Checker()
    return prepare(checker, checker.read(str(folder / "run.yaml"))[1][0], Asked(anywhere=True, **asked), ())  # type: ignore[arg-type]


def _keywords(text: str, name: str) -> dict[str, object]:
    """The keyword arguments of the first call of a name, those that are literals."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == name:
            return {
                item.arg: ast.literal_eval(item.value) for item in node.keywords if item.arg and _literal(item.value)
            }
    raise AssertionError(f"no call of {name}")


def _literal(node: ast.expr) -> bool:
    try:
        ast.literal_eval(node)
    except ValueError:
        return False
    return True


def test_a_script_has_every_value_and_nothing_of_ours(tmp_path: Path) -> None:
    text = script.source(_prepared(tmp_path, CONFIG + QLORA, device="cuda"), "/out")
    assert "loraplan" not in text.lower().replace("written by loraplan", "")
    given = _keywords(text, "SFTConfig")
    assert (given["learning_rate"], given["lr_scheduler_type"], given["warmup_steps"]) == (2e-3, "cosine", 2)
    assert (given["seed"], given["max_length"], given["completion_only_loss"]) == (7, 64, True)
    lora = _keywords(text, "LoraConfig")
    assert (lora["r"], lora["lora_alpha"], lora["target_modules"]) == (8, 16, "all-linear")
    quantization = _keywords(text, "BitsAndBytesConfig")
    assert quantization == {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True}
    assert "bnb_4bit_compute_dtype=torch.bfloat16" in text
    assert 'device_map={"": 0}' in text


@pytest.mark.parametrize("name", DIALECTS)
def test_every_dialect_gives_a_script(name: str, tmp_path: Path) -> None:
    checker = Checker()
    reading = checker.read(str(DIALECTS[name](tmp_path)))[1][0]
    text = script.source(prepare(checker, reading, Asked(anywhere=True, device="cpu"), ()), "/out")
    assert _keywords(text, "LoraConfig")["r"] == 4


def test_dpo_and_lora_plus(tmp_path: Path) -> None:
    row = '{"prompt": "p", "chosen": "c", "rejected": "r"}'
    text = script.source(_prepared(tmp_path, CONFIG.replace("sft", "dpo"), row), "/out")
    assert "DPOTrainer(" in text
    assert "peft_config=LoraConfig(" in text
    plus = CONFIG.replace("dropout: 0.0", "dropout: 0.0, loraplus_lr_ratio: 8.0").replace(
        "eval_datasets: [held.jsonl]", "val_size: 0.2"
    )
    text = script.source(_prepared(tmp_path, plus), "/out")
    assert "loraplus_lr_ratio=8.0" in text
    assert "import random" in text
    ast.parse(text)


def test_arguments_of_the_schedule_the_order_and_early_stopping(tmp_path: Path) -> None:
    config = CONFIG.replace("name: cosine", "name: polynomial, args: {power: 2}")
    config = config.replace("seed: 7", "seed: 7, data_seed: 3, early_stopping_patience: 2")
    text = script.source(_prepared(tmp_path, config + "loss: {type: dft}\n"), "/out")
    given = _keywords(text, "SFTConfig")
    assert (given["lr_scheduler_type"], given["lr_scheduler_kwargs"]) == ("polynomial", {"power": 2})
    assert (given["seed"], given["data_seed"], given["loss_type"]) == (7, 3, "dft")
    assert given["metric_for_best_model"] == "loss"
    assert "callbacks=[EarlyStoppingCallback(early_stopping_patience=2)]" in text
    assert "EarlyStoppingCallback" in text.partition("\n\nMODEL")[0]


def test_what_a_plain_script_would_do_otherwise_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="pissa needs the initial adapter"):
        script.source(_prepared(tmp_path, CONFIG.replace("dropout: 0.0", "dropout: 0.0, init: pissa")), "/out")


def test_text_of_a_config_cannot_break_out_of_the_script(tmp_path: Path) -> None:
    nasty = CONFIG.replace("./tiny", "'x\"; import os; os.abort() #'")
    tree = ast.parse(script.source(_prepared(tmp_path, nasty), "/out"))
    assert not any(isinstance(node, ast.Attribute) and node.attr == "abort" for node in ast.walk(tree))


@pytest.mark.parametrize(
    ("plan", "situation", "expected"),
    [
        ({}, Situation("cpu", 2), {"distributed_type": "MULTI_CPU", "num_processes": 2, "use_cpu": True}),
        ({}, Situation("cuda", 8), {"distributed_type": "MULTI_GPU", "num_processes": 8}),
        (
            {"distributed.strategy": "fsdp", "distributed.offload": True},
            Situation("cuda", 2, "fsdp"),
            {"distributed_type": "FSDP", "fsdp_config.fsdp_offload_params": True, "fsdp_config.fsdp_version": 1},
        ),
        (
            {"distributed.strategy": "fsdp2"},
            Situation("cuda", 2, "fsdp"),
            {"fsdp_config.fsdp_version": 2, "fsdp_config.fsdp_reshard_after_forward": True},
        ),
        (
            {"distributed.strategy": "zero3"},
            Situation("cuda", 2, "deepspeed"),
            {"deepspeed_config.zero_stage": 3, "deepspeed_config.zero3_save_16bit_model": True},
        ),
    ],
)
def test_accelerates_config(plan: dict[str, object], situation: Situation, expected: dict[str, object]) -> None:
    found = yaml.safe_load(accelerate.config(build(plan), situation, Nodes()))
    for name, value in expected.items():
        section, _, leaf = name.rpartition(".")
        assert (found[section] if section else found)[leaf] == value


@pytest.mark.parametrize(
    ("plan", "situation"),
    [
        ({}, Situation("cpu", 2)),
        ({}, Situation("cuda", 8)),
        ({"distributed.strategy": "fsdp", "distributed.fsdp": "shard_grad_op"}, Situation("cuda", 2, "fsdp")),
        ({"distributed.strategy": "fsdp2", "distributed.offload": True}, Situation("cuda", 2, "fsdp")),
        ({"distributed.strategy": "zero2", "distributed.offload": True}, Situation("cuda", 2, "deepspeed")),
        ({"distributed.strategy": "zero3"}, Situation("cuda", 2, "deepspeed")),
        ({"distributed.strategy": "zero3", "distributed.deepspeed": "ds.json"}, Situation("cuda", 2, "deepspeed")),
    ],
)
def test_accelerate_reads_its_config(plan: dict[str, object], situation: Situation, tmp_path: Path) -> None:
    if find_spec("accelerate") is None:
        pytest.skip("accelerate is not installed")
    from accelerate.commands.config.config_args import load_config_from_file

    file = tmp_path / "accelerate.yaml"
    file.write_text(accelerate.config(build(plan), situation, Nodes()))
    found = load_config_from_file(str(file))
    assert found.num_processes == situation.processes
    if plan.get("distributed.deepspeed"):  # which has its own precision: accelerate raises where both give one
        assert found.mixed_precision is None
        assert found.deepspeed_config["deepspeed_config_file"] == "ds.json"
    else:
        assert found.mixed_precision == "no"


def test_fsdp_needs_packed_weights_of_the_computes_dtype() -> None:
    plan = {"quantization.bits": 4, "distributed.strategy": "fsdp"}
    with pytest.raises(TrainingError, match="quant_storage"):
        accelerate.config(build(plan), Situation("cuda", 2, "fsdp"), Nodes())
    accelerate.config(build({**plan, "quantization.quant_storage": "bfloat16"}), Situation("cuda", 2, "fsdp"), Nodes())


def test_a_slurm_job_asks_to_resume_in_one_step(tmp_path: Path) -> None:
    text = slurm.job(_prepared(tmp_path, processes=4), tmp_path, Nodes(2))
    code = text.partition("<<'PYTHON'\n")[2].partition("\nPYTHON")[0]
    manifest = tmp_path / "manifest.json"
    manifest.write_text('{"resume": false, "seed": 7}', encoding="utf-8")
    subprocess.run([sys.executable, "-c", code, str(manifest)], check=True)
    assert json.loads(manifest.read_text(encoding="utf-8")) == {"resume": True, "seed": 7}
    assert [path.name for path in tmp_path.glob("manifest*")] == ["manifest.json"]


def test_a_slurm_job_is_bash_and_starts_accelerate_on_every_machine(tmp_path: Path) -> None:
    prepared = _prepared(tmp_path, processes=8)
    text = slurm.job(prepared, tmp_path / "my run", Nodes(2))
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)
    assert "#SBATCH --nodes=2" in text
    assert "#SBATCH --gpus-per-node=4" in text
    assert "--processes 8 --nodes 2 --rendezvous" in text
    assert '--machine_rank "$SLURM_NODEID"' in text
    assert f"RUN='{tmp_path}/my run'" in text
    with pytest.raises(TrainingError, match="evenly"):
        slurm.job(_prepared(tmp_path, processes=3), tmp_path, Nodes(2))


def test_exports_are_written_by_their_ending_or_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepared = _prepared(tmp_path, processes=2)
    files = tuple(str(tmp_path / name) for name in ("a.py", "a.yaml", "a.sbatch"))
    assert write_exports(prepared, (*files, "command"), str(tmp_path / "out"), Nodes(), Choices("cuda", 2)) == 0
    out = capsys.readouterr().out
    assert "accelerate.commands.launch --config_file" in out
    assert all(Path(name).is_file() for name in files)
    assert not (tmp_path / "out").exists()
    write_exports(prepared, ("manifest",), str(tmp_path / "out"), Nodes(), Choices("cuda", 2))
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"manifest.json", "accelerate.yaml"}
