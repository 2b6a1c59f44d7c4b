"""What `check` imports: start-up time is spent there, so every heavy module has to be asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CONFIG = """\
base_model: NousResearch/Llama-3.2-1B
datasets:
  - path: tatsu-lab/alpaca
    type: alpaca
adapter: lora
lora_r: 16
lora_alpha: 1
lora_target_linear: true
micro_batch_size: 1
"""
PROGRAM = """\
import sys
from loraplan.cli import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    print(end.code, file=sys.stderr)
print(*sorted(sys.modules), file=sys.stderr)
"""
# What only some files, some options or other commands need.
HEAVY = {
    "rich", "pydantic", "torch", "transformers", "peft", "numpy", "yamllint", "huggingface_hub", "loraplan_trainer",
    "tree_sitter", "tree_sitter_json", "tree_sitter_toml", "tree_sitter_bash",
    "subprocess", "tomllib", "shutil", "tempfile", "difflib", "unicodedata", "textwrap", "importlib.metadata", "socket",
    "asyncio", "http", "email", "concurrent", "multiprocessing", "logging", "argparse", "pprint", "decimal", "random",
    "loraplan.report.text", "loraplan.baseline", "loraplan.devices", "loraplan.failure", "loraplan.fixing",
    "loraplan.cli.fixes", "loraplan.document.structure", "loraplan.document.edit",
}  # fmt: skip
# The formats that come before axolotl in the order of detection, and axolotl itself with what it needs.
FORMATS = {"peft", "loraplan_yaml", "torchtune", "nemo_automodel", "litgpt", "ludwig", "axolotl"}
SUPPORT = {"reading", "loading", "table", "values", "typed", "targets", "spelling", "components", "interpolation",
           "training_arguments"}  # fmt: skip


def _imported(folder: Path, *options: str) -> tuple[str, set[str]]:
    (folder / "qlora.yml").write_text(CONFIG)
    command = [sys.executable, "-c", PROGRAM, "check", "qlora.yml", *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    code, modules = done.stderr.splitlines()
    return code, set(modules.split())


def test_a_yaml_check_with_json_output_imports_nothing_heavy(tmp_path: Path) -> None:
    code, modules = _imported(tmp_path, "--format", "json", "--select", "ALP,RNK,DRP,WRM,LRS,QNT,PRC,TGT")
    assert code == "1"
    assert "loraplan.report.json" in modules
    assert modules & HEAVY == set()
    formats = {name.removeprefix("loraplan.formats.") for name in modules if name.startswith("loraplan.formats.")}
    assert formats <= FORMATS | SUPPORT


@pytest.mark.parametrize("form", ["text", "concise", "github"])
def test_text_output_needs_neither_rich_nor_pydantic(tmp_path: Path, form: str) -> None:
    code, modules = _imported(tmp_path, "--format", form)
    assert code == "1"
    assert modules & {"rich", "pydantic", "subprocess", "tomllib", "tree_sitter", "torch"} == set()


def test_only_selected_rules_are_imported(tmp_path: Path) -> None:
    _, modules = _imported(tmp_path, "--format", "json", "--select", "ALP001")
    rules = {name for name in modules if name.startswith("loraplan_rules.") and name.count(".") == 2}
    assert rules == {"loraplan_rules.adapter.scaling_out_of_range"}


def test_settings_are_parsed_only_where_there_are_some(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    assert "tomllib" not in _imported(tmp_path)[1]
    (tmp_path / "pyproject.toml").write_text("[tool.loraplan]\n")
    assert "tomllib" in _imported(tmp_path)[1]


def test_importing_the_package_imports_nothing_else() -> None:
    program = "import sys, loraplan; print(*[name for name in sys.modules if name.startswith('loraplan')])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["loraplan"]
