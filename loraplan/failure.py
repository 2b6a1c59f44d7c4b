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
        f"{report_it()} with the versions below; everything else was still checked",
        details=(
            versions(),
            *(line for item in traceback.format_tb(error.__traceback__)[-3:] for line in item.splitlines()),
        ),
    )


def broken_fix(path: str, line: int, code: str, title: str, reason: str) -> Failure:
    """A fix whose edits did what no fix may do: the file is left, and the finding with it."""
    return Failure(
        path,
        "bug",
        f"bug in LoRAPlan: the fix of {code} on line {line} ({title}) went wrong: {reason}; nothing was written to "
        "this file",
        f"{report_it()} with the config (without what is secret in it) and the versions below; "
        f"--ignore {code} leaves this fix out",
        details=(versions(),),
    )


def report_it() -> str:
    """What to do about a bug, with the address where this copy of LoRAPlan states one."""
    from loraplan.home import address

    where = address("Issues") or address("Source")
    return f"please report it at {where}" if where else "please report it where you got LoRAPlan from,"


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
