"""Where this copy of LoRAPlan lives: the addresses that its distribution states in `[project.urls]`, and no others.

Reports and messages take addresses from here only. One that is not stated is left out, rather than sending a reader to
a page that may be anybody's.
"""

from __future__ import annotations

from functools import cache


@cache
def address(label: str) -> str | None:
    """`Source`, `Issues` or `Rules` (the folder of the rules' pages), without a closing slash; None if not stated."""
    from importlib.metadata import PackageNotFoundError, metadata

    try:
        stated = metadata("loraplan").get_all("Project-URL") or []
    except PackageNotFoundError:
        return None
    for line in stated:
        name, _, url = line.partition(", ")
        if name.lower() == label.lower():
            return str(url).rstrip("/")
    return None
