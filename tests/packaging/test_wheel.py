"""What the wheel holds: three import packages, the data tables, nothing else."""

from __future__ import annotations

import zipfile
from pathlib import Path

from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parents[2]


def test_wheel_holds_three_packages_and_their_data(tmp_path: Path) -> None:
    [wheel] = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == {"loraplan", "loraplan_rules", "loraplan_trainer"}

    tracked = {path.relative_to(ROOT).as_posix() for path in (ROOT / "loraplan").rglob("*.json")}
    assert tracked, "the tables are there"
    assert tracked <= set(names)
    assert "loraplan/py.typed" in names


def test_version_is_the_packages() -> None:
    import loraplan

    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert "## [Unreleased]" in changelog
    assert loraplan.__version__.count(".") == 2
