"""Rules of the user's own: the example package, and a folder in the project."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from loraplan.engine import Checker, Overrides
from loraplan.settings import SettingsError

EXAMPLES = Path(__file__).parents[2] / "docs/examples"
RULE = EXAMPLES / "acme_lora_rules/rank_above_house_limit.py"
CONFIG = "base_model: a/b\nadapter: lora\nlora_r: 64\nlora_alpha: 64\ndatasets: [{path: x, type: alpaca}]\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    found = tmp_path / "project"
    (found / ".git").mkdir(parents=True)
    (found / "a.yml").write_text(CONFIG)
    monkeypatch.chdir(found)
    return found


def codes(path: Path, *, isolated: bool = False) -> list[tuple[str, int, str]]:
    result = Checker(overrides=Overrides(isolated=isolated)).check(str(path))
    assert result is not None
    assert result.failures == []
    return [(item.code, item.line, item.message) for item in result.diagnostics if item.code.startswith("ACM")]


def test_the_example_package(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLES)
    (project / "loraplan.toml").write_text(
        'rule-packages = ["loraplan_rules", "acme_lora_rules"]\n[rules.ACM001]\nmax = 16\n'
    )
    assert codes(project / "a.yml") == [("ACM001", 3, "lora_r 64 is above 16, the most that is served")]
    assert codes(project / "a.yml", isolated=True) == []


def test_a_folder(project: Path) -> None:
    (project / "lint").mkdir()
    shutil.copy(RULE, project / "lint")
    (project / "loraplan.toml").write_text('rules-dir = "lint"\n')
    assert codes(project / "a.yml") == [("ACM001", 3, "lora_r 64 is above 32, the most that is served")]
    assert codes(project / "a.yml", isolated=True) == []


def test_code_of_another_project_does_not_run(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "lint").mkdir()
    (project / "lint/bad.py").write_text("raise SystemExit(3)")
    (project / "loraplan.toml").write_text('rules-dir = "lint"\n')
    monkeypatch.chdir(project.parent)
    result = Checker().check(str(project / "a.yml"))
    assert result is not None
    assert [item.kind for item in result.failures] == ["settings"]
    assert "only for a project that the working directory is in" in result.failures[0].message


@pytest.mark.parametrize("value", ["..", "missing", "/", "out"])
def test_a_folder_outside_of_the_project_is_refused(project: Path, value: str) -> None:
    (project / "out").symlink_to(project.parent)
    (project / "loraplan.toml").write_text(f'rules-dir = "{value}"\n')
    with pytest.raises(SettingsError, match="a folder inside the project"):
        Checker().settings_for(str(project / "a.yml"))
