"""The GitHub action: its steps, run by bash as the runner runs them, with the environment that it sets."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.test_pre_commit import GOOD

ROOT = Path(__file__).parents[2]
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
STEPS = {step["name"]: step for step in ACTION["runs"]["steps"]}
BAD = GOOD.replace("lora_alpha: 32", "lora_alpha: 1")


class Runner:
    """As much of a GitHub runner as a composite action sees."""

    def __init__(self, folder: Path) -> None:
        self.workspace, self.temp = folder / "work", folder / "temp"
        self.workspace.mkdir()
        self.temp.mkdir()
        self.environment = {
            **os.environ,
            "GITHUB_ACTIONS": "true",
            "GITHUB_WORKSPACE": str(self.workspace),
            "GITHUB_OUTPUT": str(folder / "output"),
            "GITHUB_STEP_SUMMARY": str(folder / "summary"),
            "RUNNER_TEMP": str(self.temp),
        }

    def program(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def installed(self) -> None:
        """What the first step leaves behind."""
        self.program(self.temp / "loraplan/bin/python", f'exec "{sys.executable}" "$@"')

    def run(self, name: str, **inputs: str) -> subprocess.CompletedProcess[str]:
        step = STEPS[name]
        given = {key: inputs.get(key.replace("-", "_"), value["default"]) for key, value in ACTION["inputs"].items()}
        context = {f"inputs.{key}": value for key, value in given.items()} | {"github.action_path": str(ROOT)}
        assert "${{" not in step["run"]  # an expression in the script would be run as code
        variables = {
            key: re.sub(r"\$\{\{ *(.*?) *\}\}", lambda found: context[found[1]], value)
            for key, value in step["env"].items()
        }
        script = self.temp / "step.sh"
        script.write_text(step["run"])
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)],
            cwd=self.workspace, env={**self.environment, **variables}, capture_output=True, text=True, check=False,
        )  # fmt: skip


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path)


def test_every_step_says_its_shell_and_every_input_its_default() -> None:
    assert ACTION["runs"]["using"] == "composite"
    assert all(step["shell"] == "bash" for step in STEPS.values())
    assert all({"description", "default"} <= set(value) for value in ACTION["inputs"].values())


@pytest.mark.parametrize(("version", "source"), [("", str(ROOT)), ("1.2.3", "loraplan==1.2.3")])
def test_what_is_installed(version: str, source: str, runner: Runner) -> None:
    log = runner.temp / "log"
    python = runner.temp / "loraplan/bin/python"
    runner.program(
        runner.temp / "path/python3",
        f'echo "$@" >> "{log}"\nmkdir -p "{python.parent}"\n[ -e "{python}" ] || cp "$0" "{python}"',
    )
    runner.environment["PATH"] = f"{runner.temp / 'path'}:{os.environ['PATH']}"
    done = runner.run("Install LoRAPlan", version=version)
    assert done.returncode == 0, done.stderr
    venv, pip = log.read_text().splitlines()
    assert venv == f"-m venv {runner.temp}/loraplan"
    assert pip == f"-m pip install --quiet --disable-pip-version-check {source}"


def test_a_finding_is_an_annotation_and_fails_the_step(runner: Runner) -> None:
    runner.installed()
    (runner.workspace / "a.yml").write_text(BAD)
    done = runner.run("Check configs", args="--select ALP001")
    assert done.returncode == 1
    assert done.stdout.startswith("::warning file=a.yml,line=7,")
    (runner.workspace / "a.yml").write_text(GOOD)
    assert runner.run("Check configs", args="--select ALP001").returncode == 0


def test_several_paths_and_a_sarif_file(runner: Runner) -> None:
    runner.installed()
    for name in ("a", "b", "c"):
        (runner.workspace / name).mkdir()
        (runner.workspace / name / "x.yml").write_text(BAD)
    done = runner.run("Check configs", paths="a  b", args="--select ALP001", sarif_file="out.sarif")
    assert done.returncode == 1
    assert [line.partition(",")[0] for line in done.stdout.splitlines()[:2]] == [
        "::warning file=a/x.yml", "::warning file=b/x.yml",
    ]  # fmt: skip
    (run,) = json.loads((runner.workspace / "out.sarif").read_text())["runs"]
    assert [item["ruleId"] for item in run["results"]] == ["ALP001", "ALP001"]
    assert all("fixes" in item for item in run["results"])


def test_what_cannot_be_checked_fails_the_step_too(runner: Runner) -> None:
    runner.installed()
    (runner.workspace / "a.yml").write_text("a: [1\n")
    done = runner.run("Check configs", paths="a.yml", sarif_file="out.sarif")
    assert done.returncode == 2
    assert (runner.workspace / "out.sarif").exists()


def test_no_input_is_run_as_a_command(runner: Runner) -> None:
    runner.installed()
    for text in ("$(touch pwned)", "; touch pwned", "`touch pwned`", "' ; touch pwned ; '", '" ; touch pwned ; "'):
        runner.run("Check configs", paths=text)
        runner.run("Check configs", args=text)
        runner.run("Check configs", sarif_file=text)
    assert not (runner.workspace / "pwned").exists()


@pytest.mark.slow
def test_the_action_installs_itself(runner: Runner) -> None:
    done = runner.run("Install LoRAPlan")
    assert done.returncode == 0, done.stderr
    (runner.workspace / "a.yml").write_text(BAD)
    done = runner.run("Check configs", args="--select ALP001")
    assert (done.returncode, done.stdout.count("::warning file=a.yml,line=7,")) == (1, 1), done.stderr
