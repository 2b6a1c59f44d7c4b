"""Framework versions from what stands beside a config."""

from __future__ import annotations

from pathlib import Path

import pytest

from loraplan.versions import beside, pins

LOCK = """\
version = 1

[[package]]
name = "transformers"
version = "4.57.1"
source = { registry = "https://pypi.org/simple" }

[[package]]
name = "torch"
version = "2.4.0"

[[package]]
name = "torch"
version = "2.4.0+cpu"
"""


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("transformers==4.57.1", {"transformers": "4.57.1"}),
        ("  peft ~= 0.17 ; python_version > '3'", {"peft": "0.17"}),
        ("trl[peft]==0.9.*", {"trl": "0.9"}),
        ("ms_swift===3.1", {"ms-swift": "3.1"}),
        ("llama-factory == 0.9.3  # pinned", {"llamafactory": "0.9.3"}),
        ("transformers>=4.57.1", {}),
        ("transformers==4.1\ntransformers==4.2", {}),
        ("# transformers==4.1", {}),
        ("my-transformers==4.1", {}),
        ("numpy==1.26", {}),
    ],
)
def test_pins(line: str, expected: dict[str, str]) -> None:
    assert pins(line) == expected


def test_pyproject_dependencies() -> None:
    text = '[project]\ndependencies = ["transformers==4.57.1", \'peft ~= 0.17.0\', "trl>=1"]\n'
    assert pins(text, quoted=True) == {"transformers": "4.57.1", "peft": "0.17.0"}


def test_lock_files_win_and_an_ambiguous_version_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "uv.lock").write_text(LOCK)
    (tmp_path / "requirements.txt").write_text("transformers==4.40.0\npeft==0.17.0\n")
    assert beside(str(tmp_path)) == {"transformers": "4.57.1", "peft": "0.17.0"}


def test_the_nearest_statement_wins_up_to_the_repository(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("accelerate==1.0\n")
    repository = tmp_path / "repository"
    inner = repository / "configs" / "deep"
    inner.mkdir(parents=True)
    (repository / ".git").mkdir()
    (repository / "requirements.txt").write_text("transformers==4.40.0\npeft==0.17.0\n")
    (inner / "requirements.txt").write_text("transformers==5.0\n")
    assert beside(str(inner)) == {"transformers": "5.0", "peft": "0.17.0"}


def test_outside_a_repository_only_the_directory_itself_counts(tmp_path: Path) -> None:
    inner = tmp_path / "a"
    inner.mkdir()
    (tmp_path / "requirements.txt").write_text("transformers==4.40.0\n")
    assert beside(str(inner)) == {}
