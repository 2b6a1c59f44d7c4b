"""Writing fixed files: whole or not at all, and only those that are the user's to change."""

from __future__ import annotations

import os
from pathlib import Path

from loraplan.baseline import git


class CannotWriteError(Exception):
    """A file that is left as it is; the message says why."""


def writable(path: str) -> None:
    """Raise CannotWriteError for a file that must not be changed."""
    target = Path(path).resolve()
    if not os.access(target, os.W_OK) or not target.stat().st_mode & 0o200:  # root may write all
        raise CannotWriteError("the file is read-only")
    if not os.access(target.parent, os.W_OK):
        raise CannotWriteError("its folder is read-only")
    if git(str(target.parent), "--no-literal-pathspecs", "check-ignore", "--", f"./{target.name}"):
        raise CannotWriteError("git ignores the file")


def write(path: str, before: str, after: str) -> None:
    """Put `after` in place of `before` in one step; refused where the file has changed since it was read."""
    from loraplan.atomic import write as replace
    from loraplan.document import DocumentError
    from loraplan.document.read import read_text

    writable(path)
    try:
        if read_text(path) != before:
            raise CannotWriteError("the file has changed since it was read")
        replace(path, after)
    except DocumentError as error:
        raise CannotWriteError(error.message) from error
    except OSError as error:
        raise CannotWriteError(error.strerror or str(error)) from error
