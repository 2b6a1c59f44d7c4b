"""Words for our own bugs: what broke, where, and the versions a report needs."""

from __future__ import annotations

import os
import sys
import traceback

from loraplan import __version__
from loraplan.result import Failure


def bug(path: str, doing: str, error: Exception) -> Failure:
    """An exception that should not have happened, as a failure of this file only."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f"{os.path.basename(frames[-1].filename)}:{frames[-1].lineno}" if frames else "unknown place"
    text = str(error).splitlines()[0][:200] if str(error) else ""
    return Failure(
        path,
        "bug",
        f"bug in LoRAPlan: {doing} raised {type(error).__name__} at {where}" + (f": {text}" if text else ""),
        "please report it with the versions below; everything else was still checked",
        details=(
            versions(),
            *(line for item in traceback.format_tb(error.__traceback__)[-3:] for line in item.splitlines()),
        ),
    )


def versions() -> str:
    """The versions that decide our behaviour, on one line."""
    from importlib.metadata import PackageNotFoundError, version

    found = [f"loraplan {__version__}", f"Python {sys.version.split()[0]}", sys.platform]
    for name in ("click", "PyYAML", "tree-sitter"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} missing")
    return ", ".join(found)
