"""The earlier version of a file, wherever git keeps it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from loraplan.baseline import NoBaseline, text_of

LINES = "".join(f"key_{number}: {number}\n" for number in range(30))
OLD, NEW = LINES + "lora_r: 16\n", LINES + "lora_r: 64\n"


def git(directory: Path, *arguments: str) -> None:
    who = {f"GIT_{who}_{what}": "a@b.c" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    subprocess.run(
        ["git", "-c", "commit.gpgsign=false", *arguments], cwd=directory, env={**os.environ, **who},
        check=True, capture_output=True,
    )  # fmt: skip


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    directory = tmp_path / "repository"
    (directory / "conf").mkdir(parents=True)
    git(directory, "init", "-q")
    commit(directory, OLD)
    return directory


def commit(directory: Path, text: str, name: str = "conf/é a.yml") -> None:
    (directory / name).write_text(text)
    git(directory, "add", "-A")
    git(directory, "commit", "-qm", "x")


def test_in_a_worktree(repository: Path) -> None:
    git(repository, "worktree", "add", "-q", "../other")
    path = repository.parent / "other/conf/é a.yml"
    assert text_of(str(path), NEW, None) == (f"{path}@HEAD", OLD)


def test_an_earlier_commit(repository: Path) -> None:
    commit(repository, NEW)
    path = repository / "conf/é a.yml"
    name, text = text_of(str(path), NEW, None)
    assert (name.rpartition("@")[0], text) == (str(path), OLD)


def test_a_shallow_clone_says_that_there_is_none(repository: Path) -> None:
    commit(repository, NEW)
    git(repository.parent, "clone", "-q", "--depth", "1", f"file://{repository}", "shallow")
    path = str(repository.parent / "shallow/conf/é a.yml")
    with pytest.raises(NoBaseline, match="shallow clone"):
        text_of(path, NEW, None)
    assert text_of(path, OLD, None) == (f"{path}@HEAD", NEW)


def test_in_a_hooks_environment(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repository)
    monkeypatch.setenv("GIT_DIR", ".git")
    monkeypatch.setenv("GIT_INDEX_FILE", ".git/index")
    assert text_of("conf/é a.yml", NEW, None) == ("conf/é a.yml@HEAD", OLD)


def test_a_rename_that_is_staged(repository: Path) -> None:
    git(repository, "mv", "conf/é a.yml", "b.yml")
    (repository / "b.yml").write_text(NEW)
    git(repository, "add", "-A")
    assert text_of(str(repository / "b.yml"), NEW, None) == ("conf/é a.yml@HEAD", OLD)


def test_a_rename_in_history(repository: Path) -> None:
    git(repository, "mv", "conf/é a.yml", "b.yml")
    commit(repository, NEW, "b.yml")
    assert text_of(str(repository / "b.yml"), NEW, None)[1] == OLD


def test_outside_of_git(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text(OLD)
    with pytest.raises(NoBaseline, match="not in git"):
        text_of(str(tmp_path / "a.yml"), OLD, None)
