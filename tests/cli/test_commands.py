"""The other commands, and what all of them share."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from loraplan import __version__
from loraplan.cli import COMMANDS
from tests.cli.test_check import BAD, project, run

__all__ = ["project"]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command(capsys: pytest.CaptureFixture[str], command: str) -> None:
    found = run(capsys, command, "--help")
    assert found.code == 0
    assert found.out.startswith(f"Usage: loraplan {command}")
    assert run(capsys, command, "-h").out == found.out


HELP = """\
import sys, loraplan.cli
try:
    loraplan.cli.main(["--help"])
except SystemExit:
    print(sorted(name for name in sys.modules if name.startswith("loraplan.")))
"""


def test_help_of_the_group_lists_every_command_without_importing_any(project: Path) -> None:
    out = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True, check=True).stdout
    assert all(f"  {name} " in out for name in COMMANDS)
    assert out.splitlines()[-1] == "['loraplan.cli']"


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "--version").out == f"loraplan {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("chek",), "no such command 'chek'. Did you mean 'check'?"),
        (("bad.yml",), "no such command 'bad.yml'. Did you mean 'loraplan check bad.yml'?"),
        (("xyzzy",), "no such command 'xyzzy'. Commands: check, fix, "),
        (("check", "--selct", "A"), "No such option '--selct'"),
        (("explain", "ALP01"), "no rule has the code, prefix or name `ALP01`; did you mean `ALP001`?"),
        (("completion", "tcsh"), "'tcsh' is not one of"),
        (("models", "meta-llama/Llama-9-1B-zzz"), "no model like 'meta-llama/Llama-9-1B-zzz'"),
        (("show", "missing.yml"), "missing.yml: "),
    ],
)
def test_mistakes_are_exit_code_2_with_a_hint(
    project: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    found = run(capsys, *arguments)
    assert (found.code, found.out) == (2, "")
    assert message in found.err


def test_explain_prints_the_page(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = run(capsys, "explain", "alp001")
    assert found.code == 0
    assert found.out.startswith("ALP001 scaling-out-of-range\n\n")
    assert "\n## Why is this bad?\n" in found.out
    assert "\n## Sources\n\n- " in found.out
    assert run(capsys, "explain", "scaling-out-of-range").out == found.out
    page = json.loads(run(capsys, "explain", "ALP001", "--format", "json").out)
    assert (page["version"], page["code"], page["severity"]) == (1, "ALP001", "warning")
    assert "## Why is this bad?" in page["page"]
    assert page["evidence"][0].keys() == {"what", "url", "checked"}


def test_explain_knows_the_codes_about_comments(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "explain", "SUP001").out.startswith(
        "SUP001 unused-suppression\n\nA suppression comment silences"
    )


def test_rules_lists_each_once(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listed = json.loads(run(capsys, "rules", "--format", "json").out)["rules"]
    codes = [item["code"] for item in listed]
    assert codes == sorted(set(codes))
    assert {"ALP001", "SUP001"} <= set(codes)
    lines = run(capsys, "rules").out.splitlines()
    assert [line.split()[0] for line in lines[: len(codes)]] == codes
    starred = {item["code"] for item in listed if item["preview"]}
    assert {line.split()[0] for line in lines[: len(codes)] if "*" in line.split()[1]} == starred


def test_models(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = run(capsys, "models", "llama-3.1-8b", "--format", "json")
    rows = {row["name"]: row for row in json.loads(found.out)["models"]}
    row = rows["meta-llama/Llama-3.1-8B"]
    assert (row["layers"], row["hidden_size"], row["kv_heads"], row["parameters"]) == (32, 4096, 8, 8_030_261_248)
    text = run(capsys, "models", "llama-3.1-8b").out
    assert "llama, 32 x 4096" in next(line for line in text.splitlines() if line.startswith("meta-llama/Llama-3.1-8B "))
    alias = json.loads(run(capsys, "models", "unsloth/Meta-Llama-3.1-8B-bnb-4bit", "--format", "json").out)["models"]
    assert [item["layers"] for item in alias] == [32]


def test_show_gives_every_value_with_its_origin(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = BAD.replace("NousResearch/Llama-3.2-1B", "meta-llama/Llama-3.1-8B").replace("lora_r: 64", "lora_r: 16")
    (project / "a.yml").write_text(text)
    found = run(capsys, "show", "a.yml", "--dataset-size", "1600", "--format", "json")
    assert found.code == 0
    (shown,) = json.loads(found.out)["runs"]
    assert (shown["format"], shown["summary"]) == ("axolotl", "LoRA r=16 on meta-llama/Llama-3.1-8B")
    values = {item["field"]: item for item in shown["values"]}
    assert values["adapter.alpha"]["value"] == 4
    assert values["adapter.alpha"]["key"] == "lora_alpha"
    assert values["adapter.alpha"]["origin"] == {
        "kind": "explicit", "key_path": ["lora_alpha"], "shared": False, "line": 7, "column": 13,
    }  # fmt: skip
    assert values["adapter.dropout"]["origin"]["kind"] == "default"
    assert values["adapter.dropout"]["origin"]["framework"] == "axolotl"
    derived = {item["name"]: item["value"] for item in shown["derived"]}
    assert derived["scaling"] == 0.25
    assert derived["effective batch"] == 16
    assert derived["total steps"] == 100
    assert derived["warm-up steps"] == 3
    # 32 layers of r (in + out): q, o 4096+4096; k, v 4096+1024; gate, up, down 4096+14336
    assert derived["trainable parameters"] == 32 * 16 * (2 * 8192 + 2 * 5120 + 3 * 18432)
    assert derived["model parameters"] == 8_030_261_248


def test_show_as_text(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = run(capsys, "show", "bad.yml")
    lines = found.out.splitlines()
    assert lines[0].startswith("bad.yml: axolotl, recognised by ")
    assert any(line.split()[:2] == ["adapter.alpha", "4"] and line.endswith("lora_alpha, line 7:13") for line in lines)
    assert any(line.split()[:2] == ["scaling", "0.0625"] for line in lines)
    everything = run(capsys, "show", "bad.yml", "--all").out
    assert "run.neftune_noise_alpha" in everything
    assert "run.neftune_noise_alpha" not in found.out


def test_show_says_what_is_unknown(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = BAD.replace("NousResearch/Llama-3.2-1B", "acme/unheard-of").replace("tatsu-lab/alpaca", "acme/unseen")
    (project / "a.yml").write_text(text)
    shown = json.loads(run(capsys, "show", "a.yml", "--format", "json").out)["runs"][0]
    derived = {item["name"]: item for item in shown["derived"]}
    assert derived["trainable parameters"]["value"] is None
    assert "acme/unheard-of" in derived["trainable parameters"]["how"]
    assert derived["training examples"]["value"] is None
    assert "acme/unseen" in derived["training examples"]["how"]
    assert derived["total steps"]["value"] is None


def test_show_says_where_the_examples_are_counted(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "rows.jsonl").write_text('{"text": "a"}\n' * 40)
    (project / "a.yml").write_text(BAD.replace("tatsu-lab/alpaca", "rows.jsonl"))
    shown = json.loads(run(capsys, "show", "a.yml", "--format", "json").out)["runs"][0]
    derived = {item["name"]: item for item in shown["derived"]}
    assert derived["training examples"] == {"name": "training examples", "value": 40, "how": "40 rows of rows.jsonl"}
    assert derived["total steps"]["value"] == 3  # 16 examples a step


@pytest.mark.parametrize(
    ("shell", "words"),
    [
        ("bash", "complete -o nosort -F _loraplan_completion loraplan"),
        ("zsh", "#compdef loraplan"),
        ("fish", "complete --no-files --command loraplan"),
    ],
)
def test_completion_script(capsys: pytest.CaptureFixture[str], shell: str, words: str) -> None:
    found = run(capsys, "completion", shell)
    assert found.code == 0
    assert words in found.out
    assert "_LORAPLAN_COMPLETE" in found.out


def test_completion_completes_commands_and_formats(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_LORAPLAN_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "loraplan ex")
    monkeypatch.setenv("COMP_CWORD", "1")
    assert run(capsys).out == "plain,explain\n"
    monkeypatch.setenv("COMP_WORDS", "loraplan check --config-format axo")
    monkeypatch.setenv("COMP_CWORD", "3")
    assert run(capsys).out == "plain,axolotl\n"


def test_read_and_check_are_importable_from_the_package(project: Path) -> None:
    import loraplan

    (reading,) = loraplan.read("bad.yml")
    assert (reading.plan.adapter.r, reading.plan.adapter.alpha) == (64, 4)
    result = loraplan.check("bad.yml", select=("ALP001",))
    assert [(item.code, item.line, item.column) for item in result.diagnostics] == [("ALP001", 7, 13)]
    assert [item.code for item in loraplan.check("x.yml", BAD, select=("ALP001",)).diagnostics] == ["ALP001"]
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        loraplan.nonsense  # noqa: B018
