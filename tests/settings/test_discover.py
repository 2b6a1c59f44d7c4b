"""Which files of a directory are looked at."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from loraplan.discover import may_be_config, targets

CONFIG = "base_model: a/b\nadapter: lora\nlora_r: 8\n"


def _tree(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(CONFIG)


def _found(root: Path, *paths: str) -> list[str]:
    chosen = tuple(str(root / path) for path in paths) or (str(root),)
    return [str(Path(item.path).relative_to(root)) for item in targets(chosen, lambda _: False)]


def test_a_plain_directory_is_walked_without_hidden_and_installed_files(tmp_path: Path) -> None:
    _tree(tmp_path, "b.yml", "a/c.json", ".hidden/d.yml", "node_modules/e.yml", "env2/f.yml", "notes.txt", ".g.yml")
    (tmp_path / "env2" / "pyvenv.cfg").write_text("")
    assert _found(tmp_path) == ["a/c.json", "b.yml"]


def test_gitignore_is_honoured(tmp_path: Path) -> None:
    _tree(tmp_path, "tracked.yml", "new.yml", "ignored.yml", "runs/x.yml", "sub/ä.yml")
    (tmp_path / ".gitignore").write_text("ignored.yml\nruns/\n")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    subprocess.run(["git", "add", "tracked.yml"], cwd=tmp_path, check=True)
    assert _found(tmp_path) == ["new.yml", "sub/ä.yml", "tracked.yml"]
    assert _found(tmp_path, "sub") == ["sub/ä.yml"]
    (tmp_path / "tracked.yml").unlink()
    assert _found(tmp_path) == ["new.yml", "sub/ä.yml"]


def test_a_named_file_is_taken_whatever_it_is_and_only_once(tmp_path: Path) -> None:
    _tree(tmp_path, "a.yml", "b.txt")
    found = list(
        targets(tuple(str(tmp_path / name) for name in ("b.txt", "a.yml", ".", "missing.yml")), lambda _: False)
    )
    assert [(Path(item.path).name, item.named) for item in found] == [
        ("b.txt", True), ("a.yml", True), ("missing.yml", True),
    ]  # fmt: skip


def test_excluded_files_are_left_out_of_a_search_only(tmp_path: Path) -> None:
    _tree(tmp_path, "a.yml", "b.yml")
    found = targets((str(tmp_path / "a.yml"), str(tmp_path)), lambda path: True)
    assert [Path(item.path).name for item in found] == ["a.yml"]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.yml", b"lora_r: 8\n", True),
        ("a.yml", b"version: 2\nservices: {}\n", False),
        ("a.yml", b"", False),
        ("a.yml", b"{{- if .Values.lora }}\nlora: 1\n", True),
        ("a.yml", b"lora: 1\n" + b"#" * (1 << 20), False),
        ("a.py", b"from peft import LoraConfig\n", True),
        ("a.py", b"learning_rate = 3\n", False),
        ("a.sh", b"swift sft --model x\n", True),
        ("a.sh", b"ls\n", False),
    ],
)
def test_a_cheap_look_decides_what_is_parsed(tmp_path: Path, name: str, content: bytes, expected: bool) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert may_be_config(str(path)) is expected


def test_a_directory_a_broken_link_and_a_pipe_are_no_configs(tmp_path: Path) -> None:
    (tmp_path / "link.yml").symlink_to(tmp_path / "nowhere.yml")
    (tmp_path / "folder.yml").mkdir()
    assert not may_be_config(str(tmp_path / "link.yml"))
    assert not may_be_config(str(tmp_path / "folder.yml"))
    assert _found(tmp_path) == []
