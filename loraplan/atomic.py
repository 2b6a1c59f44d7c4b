"""Writing a whole file or none of it."""

from __future__ import annotations

import os
import stat
from contextlib import suppress


def write(path: str, text: str) -> None:
    """Replace or create a file in one step; a link is followed, an existing file's mode and owner are kept.

    Raises OSError.
    """
    from tempfile import mkstemp

    target = os.path.realpath(path)
    if os.path.exists(target) and not os.path.isfile(target):  # /dev/stdout, a pipe
        with open(target, "w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
            file.write(text)
        return
    owner: tuple[int, int] | None = None
    try:
        found = os.stat(target)
        mode, owner = stat.S_IMODE(found.st_mode), (found.st_uid, found.st_gid)
    except FileNotFoundError:
        mask = os.umask(0)
        os.umask(mask)
        mode = 0o666 & ~mask
    descriptor, name = mkstemp(prefix=".loraplan-", dir=os.path.dirname(target))
    try:
        with open(descriptor, "w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())  # or a crash after the rename may leave an empty file
        if owner is not None and hasattr(os, "chown") and owner != (os.geteuid(), os.getegid()):
            with suppress(OSError):  # only root may give a file back to its owner
                os.chown(name, *owner)
        os.chmod(name, mode)
        os.replace(name, target)
    except BaseException:
        os.unlink(name)
        raise
