"""The engine on whole texts: placing, skipping, interplay, broken rules, selection by settings."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from loraplan.context import Inputs
from loraplan.engine import Checker, Overrides
from loraplan.result import Diagnostic, FileResult

AXOLOTL = """\
base_model: meta-llama/Llama-3.1-8B
datasets:
  - path: tatsu-lab/alpaca
    type: alpaca
adapter: lora
lora_r: 64
lora_alpha: 16
lora_target_linear: true
micro_batch_size: 2
learning_rate: 0.0002
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / ".git").mkdir()
    (tmp_path / "loraplan.toml").write_text('rule-packages = ["tests.fake_rules"]\n')
    return tmp_path


def check(
    project: Path, text: str = AXOLOTL, inputs: Inputs | None = None, overrides: Overrides | None = None
) -> FileResult:
    path = project / "config.yml"
    path.write_text(text)
    result = Checker(inputs, overrides).check(str(path))
    assert result is not None
    return result


def by_code(result: FileResult, code: str) -> list[Diagnostic]:
    return [item for item in result.diagnostics if item.code == code]


def test_a_finding_stands_at_its_value(project: Path) -> None:
    result = check(project)
    (item,) = by_code(result, "TST001")
    assert (item.line, item.column, item.end_line, item.end_column) == (7, 13, 7, 15)
    assert item.message == "lora_alpha 16 < rank 64"
    assert (item.severity, item.name, item.field, item.key) == (
        "warning", "alpha-below-rank", "adapter.alpha", "lora_alpha",
    )  # fmt: skip
    assert item.source == "lora_alpha: 16"
    assert item.remedy == "set lora_alpha to 128"
    assert result.failures == []


def test_a_default_is_named_and_placed_at_the_head_of_its_section(project: Path) -> None:
    (item,) = by_code(check(project), "TST003")
    assert (item.line, item.column) == (1, 1)
    assert item.message.startswith("lora_dropout 0 (axolotl default)")


def test_findings_are_sorted_by_line_column_and_code(project: Path) -> None:
    places = [(item.line, item.column, item.code) for item in check(project).diagnostics]
    assert places == sorted(places)
    assert len(places) >= 2


def test_a_replaced_finding_is_not_reported(project: Path) -> None:
    assert by_code(check(project), "TST006") == []
    assert len(by_code(check(project, AXOLOTL.replace("alpha: 16", "alpha: 128")), "TST006")) == 1


def test_architecture_is_resolved_from_the_named_model(project: Path) -> None:
    (item,) = by_code(check(project), "TST002")
    assert (item.line, item.column) == (1, 13)
    assert item.message == "meta-llama/Llama-3.1-8B has 32 layers"


def test_an_unknown_architecture_is_a_skip_with_its_reason(project: Path) -> None:
    result = check(project, AXOLOTL.replace("meta-llama/Llama-3.1-8B", "acme/unheard-of-model"))
    assert by_code(result, "TST002") == []
    (skip,) = [item for item in result.skipped if item.code == "TST002"]
    assert skip.need == "model architecture unknown"
    assert "acme/unheard-of-model" in skip.reason


def test_a_model_on_the_command_line_overrides_the_config(project: Path) -> None:
    text = AXOLOTL.replace("meta-llama/Llama-3.1-8B", "acme/unheard-of-model")
    (item,) = by_code(check(project, text, Inputs(model="mistralai/Mistral-7B-v0.1")), "TST002")
    assert item.message == "mistralai/Mistral-7B-v0.1 has 32 layers"


def test_a_model_directory_in_the_settings_is_relative_to_them(project: Path) -> None:
    (project / "base").mkdir()
    (project / "base" / "config.json").write_text(
        '{"model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 32,'
        ' "num_attention_heads": 4, "vocab_size": 100}'
    )
    (project / "loraplan.toml").write_text('rule-packages = ["tests.fake_rules"]\nmodel = "base"\n')
    inner = project / "configs"
    inner.mkdir()
    text = '{"peft_type": "LORA", "r": 8, "lora_alpha": 16, "base_model_name_or_path": null}'
    (inner / "adapter_config.json").write_text(text)
    result = Checker(overrides=Overrides(select=("TST002",))).check(str(inner / "adapter_config.json"))
    assert result is not None
    assert [item.message.endswith("has 32 layers") for item in result.diagnostics] == [True]


def test_preview_rules_and_bands_are_off_by_default(project: Path) -> None:
    text = AXOLOTL.replace("alpha: 16", "alpha: 64")
    assert by_code(check(project, text), "TST004") == by_code(check(project, text), "TST001") == []
    result = check(project, text, overrides=Overrides(preview=True))
    assert [item.severity for item in by_code(result, "TST004") + by_code(result, "TST001")] == ["error", "info"]


def test_naming_a_preview_rule_turns_it_on_but_a_prefix_does_not(project: Path) -> None:
    assert by_code(check(project, overrides=Overrides(select=("TST004",))), "TST004")
    assert by_code(check(project, overrides=Overrides(select=("only-in-preview",))), "TST004")
    assert not by_code(check(project, overrides=Overrides(select=("TST",))), "TST004")


def test_a_broken_rule_is_our_bug_and_the_others_still_report(project: Path) -> None:
    result = check(project, AXOLOTL.replace("lora_r: 64", "lora_r: 13").replace("alpha: 16", "alpha: 6"))
    (failure,) = result.failures
    assert failure.kind == "bug"
    assert failure.message.startswith("bug in LoRAPlan: rule TST005 raised ZeroDivisionError at breaks_at_rank_13.py:")
    assert failure.message.endswith(": thirteen")
    assert failure.details[0].startswith("loraplan ")
    assert "Python 3." in failure.details[0]
    assert len(by_code(result, "TST001")) == 1


def test_full_fine_tuning_runs_only_rules_that_want_it(project: Path) -> None:
    text = (
        "base_model: a/b\ndatasets:\n  - path: x\n    type: alpaca\nseed: 8\nlearning_rate: 0.1\nmicro_batch_size: 1\n"
    )
    codes = {item.code for item in check(project, text).diagnostics}
    assert codes == {"TST009"}


def test_options_come_from_the_settings(project: Path) -> None:
    (project / "loraplan.toml").write_text(
        'rule-packages = ["tests.fake_rules"]\n[rules.alpha-below-rank]\nmin = 0.25\n'
    )
    assert by_code(check(project), "TST001") == []
    assert len(by_code(check(project, AXOLOTL.replace("alpha: 16", "alpha: 15")), "TST001")) == 1


@pytest.mark.parametrize(
    ("select", "ignore", "expected"),
    [
        (("TST001",), (), {"TST001"}),
        (("ALL",), ("TST",), set()),
        (("TST00",), ("TST001", "wants-architecture"), {"TST003", "TST006"}),
        (("TST001",), ("TST",), {"TST001"}),
        (("TST001",), ("TST001",), set()),
    ],
)
def test_the_more_specific_selector_wins(
    project: Path, select: tuple[str, ...], ignore: tuple[str, ...], expected: set[str]
) -> None:
    result = check(project, overrides=Overrides(select=select, ignore=ignore))
    assert {item.code for item in result.diagnostics} == expected


def test_selecting_on_the_command_line_outweighs_ignoring_in_the_settings(project: Path) -> None:
    (project / "loraplan.toml").write_text('rule-packages = ["tests.fake_rules"]\nignore = ["TST001"]\n')
    assert by_code(check(project), "TST001") == []
    assert by_code(check(project, overrides=Overrides(select=("TST001",))), "TST001")
    assert by_code(check(project, overrides=Overrides(extend_select=("TST001",))), "TST001")


def test_per_file_ignores_hold_whatever_selects(project: Path) -> None:
    (project / "loraplan.toml").write_text(
        'rule-packages = ["tests.fake_rules"]\n[per-file-ignores]\n"*.yml" = ["TST001"]\n"other/*" = ["TST003"]\n'
    )
    result = check(project, overrides=Overrides(select=("TST001", "TST003")))
    assert {item.code for item in result.diagnostics} == {"TST003"}


def test_dataset_size_and_gpu_reach_the_rules(project: Path, tmp_path: Path) -> None:
    earlier = tmp_path / "earlier.yml"
    earlier.write_text(AXOLOTL)
    inputs = Inputs(gpu="RTX 4090", dataset_size=9, baseline=str(earlier))
    messages = [item.message for item in by_code(check(project, inputs=inputs), "TST007")]
    assert messages == ["9 examples on rtx-4090"]
    unseen = AXOLOTL.replace("tatsu-lab/alpaca", "acme/unheard-of")
    result = check(project, unseen, Inputs(gpu="t4", baseline=str(earlier)))
    assert [item.need for item in result.skipped] == ["dataset size unknown"]
    assert "acme/unheard-of" in result.skipped[0].reason


def _git(folder: Path, *arguments: str) -> None:
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *arguments]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


def test_the_baseline_is_the_last_committed_version_that_differs(tmp_path: Path) -> None:
    _git(tmp_path, "init", "-q")
    (tmp_path / "loraplan.toml").write_text('rule-packages = ["tests.fake_rules"]\n')
    only = Overrides(select=("TST007",))
    result = check(tmp_path, overrides=only)
    assert [item.reason for item in result.skipped] == ["no baseline: the file is not in git (--baseline names one)"]
    _git(tmp_path, "add", ".")
    _git(tmp_path, "commit", "-qm", "one")
    assert [item.reason for item in check(tmp_path, overrides=only).skipped] == [
        "no baseline: git has one version of this file"
    ]
    changed = AXOLOTL.replace("lora_r: 64", "lora_r: 128")
    assert [item.message for item in check(tmp_path, changed, overrides=only).diagnostics] == ["rank was 64"]
    _git(tmp_path, "commit", "-qam", "two")
    assert [item.message for item in check(tmp_path, changed, overrides=only).diagnostics] == ["rank was 64"]
    result = check(tmp_path, changed, Inputs(baseline="HEAD"), only)
    assert (result.diagnostics, result.skipped) == ([], [])
    assert [i.message for i in check(tmp_path, changed, Inputs(baseline="HEAD~1"), only).diagnostics] == ["rank was 64"]


def test_runs_of_a_script_are_compared_by_place_although_lines_move(tmp_path: Path) -> None:
    (tmp_path / "loraplan.toml").write_text('rule-packages = ["tests.fake_rules"]\n')
    command = "swift sft --model a/b --dataset {} --lora_rank {} --lora_alpha 16\n"
    earlier, now = tmp_path / "earlier.sh", tmp_path / "now.sh"
    earlier.write_text(command.format("x", 8) + command.format("y", 16))
    now.write_text("# a remark\n" + command.format("x", 8) + command.format("y", 64))
    checker = Checker(Inputs(baseline=str(earlier)), Overrides(select=("TST007",)))
    result = checker.check(str(now))
    assert result is not None
    assert [(item.message, item.line) for item in result.diagnostics] == [("rank was 16", 3)]
    now.write_text(command.format("z", 4) + now.read_text())
    result = checker.check(str(now))
    assert result is not None
    assert {item.reason for item in result.skipped} == {"no baseline: the earlier version has no such run"}


@pytest.mark.parametrize("revision", ["--output=pwned", "-p", "HEAD:./other", "no-such-revision", "a b"])
def test_a_baseline_that_is_neither_file_nor_revision_is_a_skip(tmp_path: Path, revision: str) -> None:
    _git(tmp_path, "init", "-q")
    (tmp_path / "loraplan.toml").write_text('rule-packages = ["tests.fake_rules"]\n')
    result = check(tmp_path, inputs=Inputs(baseline=revision), overrides=Overrides(select=("TST007",)))
    assert [item.need for item in result.skipped] == ["no earlier version"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [".git", "config.yml", "loraplan.toml"]


def test_two_runs_in_one_file_report_the_same_thing_once(project: Path) -> None:
    path = project / "train.sh"
    path.write_text(
        "export R=64\n"
        "swift sft --model a/b --dataset x --lora_rank $R --lora_alpha 16\n"
        "swift sft --model a/b --dataset y --lora_rank $R --lora_alpha 16\n"
    )
    result = Checker(overrides=Overrides(select=("TST001", "TST006"))).check(str(path))
    assert result is not None
    assert [(item.code, item.line) for item in result.diagnostics] == [("TST001", 2), ("TST001", 3)]
    assert len({item.run for item in result.diagnostics} - {None}) == 2


@pytest.mark.parametrize(
    ("line", "hidden"),
    [
        ("hub_token: hf_abcdefghijklmnopqrstuvwxyzABCDEFGH  # lora_r", "abcdefghijklmnop"),
        ("lora_alpha: 16 # wandb key 0123456789abcdef0123456789abcdef01234567", "0123456789abcdef"),
    ],
)
def test_tokens_never_reach_a_report(project: Path, line: str, hidden: str) -> None:
    text = AXOLOTL.replace("lora_alpha: 16", line) if "lora_alpha" in line else line + "\n" + AXOLOTL
    result = check(project, text)
    assert result.diagnostics
    assert all(hidden not in repr(item) for item in result.diagnostics)
