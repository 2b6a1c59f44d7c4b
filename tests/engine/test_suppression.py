"""Suppression comments: where they hold, which are unused, which are malformed."""

from __future__ import annotations

from pathlib import Path

import pytest

from loraplan.engine import Checker, Overrides
from loraplan.result import FileResult

BODY = """\
base_model: a/b
datasets:
  - path: x
    type: alpaca
adapter: lora
lora_r: 64
lora_alpha: 16{line}
lora_dropout: 0.1
lora_target_linear: true
{end}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / ".git").mkdir()
    (tmp_path / "loraplan.toml").write_text('rule-packages = ["tests.fake_rules"]\n')
    return tmp_path


def check(
    project: Path, line: str = "", end: str = "", *, before: str = "", select: tuple[str, ...] = ("ALL",)
) -> FileResult:
    text = BODY.format(line=line, end=end).replace("lora_alpha", f"{before}lora_alpha")
    path = project / "config.yml"
    path.write_text(text)
    result = Checker(overrides=Overrides(select=select)).check(str(path))
    assert result is not None
    return result


def codes(result: FileResult) -> list[str]:
    return [item.code for item in result.diagnostics]


@pytest.mark.parametrize(
    "comment",
    [
        "# loraplan: ignore[TST001]",
        "#loraplan:ignore[ TST001 ]",
        "# loraplan: ignore[alpha-below-rank]",
        "# loraplan: ignore[tst001]",
        "# as published; loraplan: ignore[TST001]",
        "# loraplan: ignore[TST001, TST006]",
    ],
)
def test_a_comment_at_the_end_of_the_line_silences_it(project: Path, comment: str) -> None:
    result = check(project, f"  {comment}")
    assert "TST001" not in codes(result)
    assert result.suppressed == 1


def test_a_comment_on_its_own_line_silences_the_next_one(project: Path) -> None:
    result = check(project, before="# loraplan: ignore[TST001]\n# and a remark\n\n")
    assert (codes(result), result.suppressed) == ([], 1)


def test_a_file_comment_silences_from_anywhere(project: Path) -> None:
    result = check(project, end="# loraplan: ignore-file[TST001]")
    assert (codes(result), result.suppressed) == ([], 1)


def test_another_line_is_not_silenced_and_the_comment_is_unused(project: Path) -> None:
    result = check(project, end="seed: 1  # loraplan: ignore[TST001]")
    assert codes(result) == ["TST001", "SUP001"]
    unused = result.diagnostics[1]
    assert (unused.line, unused.column, unused.end_column) == (10, 29, 35)
    assert (unused.severity, unused.message) == ("info", "no TST001 finding to silence here")


def test_a_comment_for_a_rule_that_did_not_run_is_not_called_unused(project: Path) -> None:
    assert codes(check(project, "  # loraplan: ignore[TST002]", select=("TST003", "SUP"))) == []
    skipped = check(project, "  # loraplan: ignore[TST001, TST002]")  # a/b has no known architecture
    assert codes(skipped) == []


def test_a_code_named_twice_is_unused_once(project: Path) -> None:
    result = check(project, "  # loraplan: ignore[TST001, TST001]")
    assert [(item.code, item.message) for item in result.diagnostics] == [("SUP001", "`TST001` is named twice")]


@pytest.mark.parametrize(
    ("comment", "column", "message"),
    [
        ("# loraplan: ignore", 18, "no `ignore[CODE]` follows `loraplan:`"),
        ("# loraplan: ignore TST001", 18, "no `ignore[CODE]` follows `loraplan:`"),
        ("# loraplan: off", 18, "no `ignore[CODE]` follows `loraplan:`"),
        ("# loraplan: ignore[]", 18, "the brackets name no code"),
        ("# loraplan: ignore[TST999]", 35, "no rule has the code, prefix or name `TST999`; did you mean `TST009`?"),
    ],
)
def test_a_malformed_comment_is_a_warning(project: Path, comment: str, column: int, message: str) -> None:
    result = check(project, f" {comment}")
    (item,) = [item for item in result.diagnostics if item.code == "SUP002"]
    assert (item.line, item.column, item.severity, item.message) == (7, column, "warning", message)
    assert "TST001" in codes(result)


@pytest.mark.parametrize(
    "remark", ["# checked with loraplan: fine", "# loraplan ignore[TST001]", "# see loraplan.toml"]
)
def test_a_remark_that_only_mentions_us_is_left_alone(project: Path, remark: str) -> None:
    assert codes(check(project, f"  {remark}")) == ["TST001"]


def test_a_hash_in_a_string_is_no_comment(project: Path) -> None:
    result = check(project, end='run_name: "# loraplan: ignore-file[TST001]"')
    assert codes(result) == ["TST001"]


def test_comments_in_json_where_they_are_legal(project: Path) -> None:
    path = project / "adapter_config.json"
    path.write_text('{"peft_type": "LORA", "r": 64,\n "lora_alpha": 16 // loraplan: ignore[TST001]\n}\n')
    result = Checker(overrides=Overrides(select=("TST001",))).check(str(path))
    assert result is not None
    assert result.failures or result.suppressed == 1  # PEFT's own loader takes no comments: an error there is right


def test_comments_in_shell_and_python(project: Path) -> None:
    shell = project / "train.sh"
    shell.write_text("swift sft --model a/b --dataset x --lora_rank 64 --lora_alpha 16 # loraplan: ignore[TST001]\n")
    python = project / "train.py"
    python.write_text(
        "from peft import LoraConfig\nc = LoraConfig(\n    r=64,\n    lora_alpha=16,  # loraplan: ignore[TST001]\n)\n"
    )
    for path in (shell, python):
        result = Checker(overrides=Overrides(select=("TST001", "SUP"))).check(str(path))
        assert result is not None
        assert (result.failures, result.suppressed, result.diagnostics) == ([], 1, []), path
