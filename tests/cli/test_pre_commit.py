"""The hooks, run by the real pre-commit on a temporary repository."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
HOOKS = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
GOOD = """\
base_model: NousResearch/Llama-3.2-1B
datasets:
  - path: tatsu-lab/alpaca
    type: alpaca
adapter: lora
lora_r: 16
lora_alpha: 32
lora_target_modules: [q_proj, v_proj]
learning_rate: 0.0002
warmup_ratio: 0.03
micro_batch_size: 2
num_epochs: 1
"""
needs_pre_commit = pytest.mark.skipif(find_spec("pre_commit") is None, reason="pre-commit is not installed")


class Repository:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
            "PRE_COMMIT_HOME": str(directory.parent / "cache"),
            "GIT_CONFIG_GLOBAL": os.devnull,
            **{f"GIT_{who}_{what}": "a@b.c" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
        }
        directory.mkdir()
        self.git("init", "-q")

    def git(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["git", *arguments], cwd=self.directory, env=self.environment, capture_output=True, text=True, check=False
        )

    def commit(self, **files: str) -> subprocess.CompletedProcess[str]:
        for name, content in files.items():
            (self.directory / name.replace("_", ".")).write_bytes(content.encode())
        self.git("add", "-A")
        return self.git("commit", "-m", "x")

    def install(self, config: object) -> None:
        (self.directory / ".pre-commit-config.yaml").write_text(yaml.safe_dump(config))
        done = subprocess.run(
            [sys.executable, "-m", "pre_commit", "install"],
            cwd=self.directory, env=self.environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr


def local(*arguments: str, name: str = "loraplan-check") -> object:
    hook = next(item for item in HOOKS if item["id"] == name)
    command = hook["entry"].removeprefix("loraplan ")
    entry = f"{sys.executable} -m loraplan {command}"
    return {
        "repos": [{"repo": "local", "hooks": [{**hook, "language": "system", "entry": entry, "args": [*arguments]}]}]
    }


@needs_pre_commit
def test_a_bad_commit_is_blocked_and_a_good_one_passes(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "r")
    repository.install(local("--select", "ALP001"))
    blocked = repository.commit(a_yml=GOOD.replace("lora_alpha: 32", "lora_alpha: 1"), other_json='{"name": "lora"}')
    assert blocked.returncode == 1
    assert "a.yml:7:13: ALP001 warning: " in blocked.stderr + blocked.stdout
    assert repository.git("rev-parse", "HEAD").returncode != 0
    passed = repository.commit(a_yml=GOOD)
    assert passed.returncode == 0, passed.stdout + passed.stderr


@needs_pre_commit
def test_a_raised_rank_is_seen_against_head(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "r")
    repository.install(local("--select", "RNK004", "--fail-on", "info"))
    assert repository.commit(a_yml=GOOD).returncode == 0
    raised = repository.commit(a_yml=GOOD.replace("lora_r: 16", "lora_r: 128"))
    assert raised.returncode == 1
    assert "a.yml:6:9: RNK004" in raised.stdout + raised.stderr


@needs_pre_commit
def test_the_fixing_hook_blocks_a_commit_that_it_changed(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "r")
    repository.install(local("--select", "WRM003,ALP001", name="loraplan-fix"))
    bad = GOOD + "lr_scheduler: constant  # é\nwarmup_steps: 10\n"
    files = {"a_yml": bad.replace("warmup_ratio: 0.03\n", ""), "b_yml": GOOD, "other_json": '{"name": "lora"}'}
    files["c_yml"] = files["a_yml"].replace("\n", "\r\n")
    blocked = repository.commit(**files)
    assert blocked.returncode == 1
    assert "files were modified by this hook" in blocked.stdout + blocked.stderr
    assert "exit code: 1" in blocked.stdout + blocked.stderr
    assert "fixed 2, 0 remaining" in blocked.stdout + blocked.stderr
    fixed = files["a_yml"].replace("constant  # é", "constant_with_warmup  # é")
    assert (repository.directory / "a.yml").read_text() == fixed
    assert (repository.directory / "c.yml").read_bytes().decode() == fixed.replace("\n", "\r\n")
    assert (repository.directory / "b.yml").read_text() == GOOD
    passed = repository.commit()
    assert passed.returncode == 0, passed.stdout + passed.stderr
    assert repository.git("show", "HEAD:a.yml").stdout == fixed


@needs_pre_commit
def test_the_fixing_hook_writes_safe_fixes_only_unless_told(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "r")
    repository.install(local("--select", "ALP001", name="loraplan-fix"))
    bad = GOOD.replace("lora_alpha: 32", "lora_alpha: 1")
    blocked = repository.commit(a_yml=bad)
    assert blocked.returncode == 1
    assert "a.yml:7:13: ALP001 warning: " in blocked.stdout + blocked.stderr
    assert (repository.directory / "a.yml").read_text() == bad
    repository.install(local("--select", "ALP001", "--unsafe-fixes", name="loraplan-fix"))
    assert repository.commit().returncode == 1
    assert (repository.directory / "a.yml").read_text() == GOOD
    assert repository.commit().returncode == 0


@pytest.mark.slow
@needs_pre_commit
def test_the_hook_installs_from_this_checkout(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "r")
    revision = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    hook = {"id": "loraplan-check", "args": ["--select", "ALP001"]}
    repository.install({"repos": [{"repo": str(ROOT), "rev": revision, "hooks": [hook]}]})
    assert repository.commit(a_yml=GOOD.replace("lora_alpha: 32", "lora_alpha: 1")).returncode == 1
    assert repository.commit(a_yml=GOOD).returncode == 0


def test_the_hooks_name_options_that_exist() -> None:
    from loraplan.cli.check import command

    known = {name for parameter in command.params for name in parameter.opts}
    for hook in HOOKS:
        used = {word for word in hook["entry"].split() if word.startswith("--")}
        assert used <= known
