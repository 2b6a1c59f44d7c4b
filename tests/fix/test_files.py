"""What is written to disk: whole or not at all, with the file's mode, through links, and only what may be changed."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from loraplan.fixing.files import CannotWriteError, write
from tests.fix.test_golden import AXOLOTL

BAD = AXOLOTL.replace("cosine", "constant")
GOOD = AXOLOTL.replace("cosine", "constant_with_warmup")
UNSAFE = AXOLOTL.replace("lora_alpha: 32", "lora_alpha: 1")


def loraplan(folder: Path, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "loraplan", *arguments],
        cwd=folder, capture_output=True, text=True, input=stdin, check=False,
    )  # fmt: skip


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "qlora.yml"
    path.write_text(BAD, encoding="utf-8")
    return path


def test_safe_fixes_are_written(config: Path) -> None:
    config.chmod(0o640)
    done = loraplan(config.parent, "check", "--fix", "qlora.yml")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("fixed 1, 0 remaining\n")
    assert config.read_text("utf-8") == GOOD
    assert stat.S_IMODE(config.stat().st_mode) == 0o640
    assert [entry.name for entry in config.parent.iterdir()] == ["qlora.yml"]


def test_unsafe_fixes_need_their_own_word(config: Path) -> None:
    config.write_text(UNSAFE, encoding="utf-8")
    assert loraplan(config.parent, "check", "--fix", "qlora.yml").returncode == 1
    assert config.read_text("utf-8") == UNSAFE
    done = loraplan(config.parent, "check", "--fix", "--unsafe-fixes", "qlora.yml")
    assert done.returncode == 0
    assert config.read_text("utf-8") == AXOLOTL
    assert loraplan(config.parent, "check", "--unsafe-fixes", "qlora.yml").returncode == 2


def test_a_diff_is_printed_and_nothing_written(config: Path) -> None:
    done = loraplan(config.parent, "check", "--diff", "qlora.yml")
    assert done.returncode == 1
    assert done.stdout.startswith("--- a/qlora.yml\n+++ b/qlora.yml\n@@ ")
    assert "\n-lr_scheduler: constant\n+lr_scheduler: constant_with_warmup\n" in done.stdout
    assert config.read_text("utf-8") == BAD
    config.write_text(GOOD, encoding="utf-8")
    clean = loraplan(config.parent, "check", "--diff", "qlora.yml")
    assert (clean.returncode, clean.stdout) == (0, "")


def test_the_diff_is_one_that_patch_takes(config: Path) -> None:
    text = BAD.rstrip("\n").replace("\n", "\r\n")
    config.write_bytes(text.encode())
    patch = subprocess.run(
        [sys.executable, "-m", "loraplan", "check", "--diff", "qlora.yml"],
        cwd=config.parent, capture_output=True, check=False,
    ).stdout  # fmt: skip
    subprocess.run(["git", "init", "-q"], cwd=config.parent, check=True)
    subprocess.run(["git", "apply", "-"], cwd=config.parent, input=patch, check=True)
    assert config.read_bytes() == GOOD.rstrip("\n").replace("\n", "\r\n").encode()


def test_standard_input_comes_out_fixed(tmp_path: Path) -> None:
    done = loraplan(tmp_path, "check", "--fix", "-", stdin=BAD)
    assert (done.returncode, done.stdout) == (0, GOOD)
    assert "fixed 1, 0 remaining" in done.stderr
    untouched = loraplan(tmp_path, "check", "--fix", "-", stdin=GOOD)
    assert untouched.stdout == GOOD


def test_the_fix_command_does_the_same(config: Path) -> None:
    assert loraplan(config.parent, "fix", "qlora.yml").returncode == 0
    assert config.read_text("utf-8") == GOOD


def test_a_link_is_followed(config: Path) -> None:
    link = config.parent / "link.yml"
    link.symlink_to("qlora.yml")
    loraplan(config.parent, "check", "--fix", "link.yml")
    assert link.is_symlink()
    assert config.read_text("utf-8") == GOOD


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
def test_a_read_only_file_is_left(config: Path) -> None:
    config.chmod(0o444)
    done = loraplan(config.parent, "check", "--fix", "qlora.yml")
    assert "qlora.yml: not fixed: the file is read-only" in done.stderr
    assert config.read_text("utf-8") == BAD


def test_a_file_without_a_writing_bit_is_left(config: Path) -> None:
    config.chmod(0o444)
    with pytest.raises(CannotWriteError, match="read-only"):
        write(str(config), BAD, GOOD)
    assert config.read_text("utf-8") == BAD


def test_a_file_that_git_ignores_is_left(config: Path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=config.parent, check=True)
    (config.parent / ".gitignore").write_text("*.yml\n")
    done = loraplan(config.parent, "check", "--fix", "qlora.yml")
    assert "qlora.yml: not fixed: git ignores the file" in done.stderr
    assert done.returncode == 1
    assert config.read_text("utf-8") == BAD


def test_a_file_that_changed_meanwhile_is_left(config: Path) -> None:
    config.write_text(BAD + "# new\n", encoding="utf-8")
    with pytest.raises(CannotWriteError, match="changed since it was read"):
        write(str(config), BAD, GOOD)
    assert config.read_text("utf-8") == BAD + "# new\n"


def test_a_failing_write_leaves_the_file(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(CannotWriteError, match="No space left"):
        write(str(config), BAD, GOOD)
    assert config.read_text("utf-8") == BAD
    assert [entry.name for entry in config.parent.iterdir()] == ["qlora.yml"]


def test_a_refused_fix_is_named_with_its_reason(config: Path) -> None:
    config.write_text(BAD.replace("lr_scheduler: constant", "x: &s constant\nlr_scheduler: *s"), encoding="utf-8")
    done = loraplan(config.parent, "check", "--fix", "--select", "WRM003", "qlora.yml")
    assert (
        "WRM003: not applied: set lr_scheduler to constant_with_warmup (the value also serves other places)"
        in done.stderr
    )


@pytest.mark.parametrize("name", ["plan.yaml", "plan.json"])
def test_the_corrected_plan(config: Path, name: str) -> None:
    done = loraplan(config.parent, "fix", "qlora.yml", "-o", name)
    assert done.returncode == 0, done.stderr
    assert config.read_text("utf-8") == BAD
    shown = loraplan(config.parent, "check", "--select", "WRM003,CFG", name)
    assert (shown.returncode, shown.stderr) == (0, "")
    text = (config.parent / name).read_text("utf-8")
    assert "constant_with_warmup" in text
    assert "target_modules" in text


def test_a_plan_takes_one_run(config: Path) -> None:
    other = config.parent / "b.yml"
    other.write_text(BAD)
    assert loraplan(config.parent, "fix", "qlora.yml", "b.yml", "-o", "x.yaml").returncode == 2
    assert loraplan(config.parent, "fix", "none.yml", "-o", "x.yaml").returncode == 2


def test_a_changed_file_may_count_as_a_failure(config: Path) -> None:
    for _, code in ((BAD, 1), (GOOD, 0)):
        done = loraplan(config.parent, "check", "--fix", "--exit-non-zero-on-fix", "qlora.yml")
        assert done.returncode == code, done.stderr
        assert config.read_text("utf-8") == GOOD
    config.write_text(BAD, encoding="utf-8")
    assert loraplan(config.parent, "fix", "--exit-non-zero-on-fix", "qlora.yml").returncode == 1


# A finding that is merely an info, and whose fix changes the training.
INFO = AXOLOTL.replace("lora_target_linear: true", "lora_target_modules: [q_proj, v_proj]")


def test_unsafe_fixes_are_of_what_fails_the_check(config: Path) -> None:
    config.write_text(INFO, encoding="utf-8")
    done = loraplan(config.parent, "check", "--fix", "--unsafe-fixes", "qlora.yml")
    assert config.read_text("utf-8") == INFO
    assert done.returncode == 0
    assert "qlora.yml: not applied: unsafe fixes of TGT004 (below --fail-on warning; " in done.stderr
    assert loraplan(config.parent, "check", "--diff", "--unsafe-fixes", "qlora.yml").stdout == ""
    loraplan(config.parent, "check", "--fix", "qlora.yml")
    assert config.read_text("utf-8") == INFO


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "--fix", "--fail-on", "info"),
        ("fix", "--fail-on", "info"),
        ("check", "--fix", "--select", "TGT004"),
        ("check", "--fix", "--extend-select", "attention-only-targets"),
        ("fix", "--select", "TGT"),
    ],
)
def test_what_is_asked_for_is_fixed_whatever_its_severity(config: Path, arguments: tuple[str, ...]) -> None:
    config.write_text(INFO, encoding="utf-8")
    loraplan(config.parent, *arguments, "--unsafe-fixes", "qlora.yml")
    assert config.read_text("utf-8") == AXOLOTL


def test_all_names_no_rule(config: Path) -> None:
    config.write_text(INFO, encoding="utf-8")
    loraplan(config.parent, "check", "--fix", "--unsafe-fixes", "--select", "ALL", "qlora.yml")
    assert config.read_text("utf-8") == INFO


def test_a_settings_file_moves_the_threshold(config: Path) -> None:
    config.write_text(INFO, encoding="utf-8")
    (config.parent / "loraplan.toml").write_text('fail-on = "info"\n')
    loraplan(config.parent, "fix", "--unsafe-fixes", "qlora.yml")
    assert config.read_text("utf-8") == AXOLOTL
