"""Writing a whole file or none of it."""

from __future__ import annotations

import os
import stat


def write(path: str, text: str) -> None:
    """Replace or create a file in one step; a link is followed, an existing file's mode kept. Raises OSError."""
    from tempfile import mkstemp

    target = os.path.realpath(path)
    if os.path.exists(target) and not os.path.isfile(target):  # /dev/stdout, a pipe
        with open(target, "w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
            file.write(text)
        return
    try:
        mode = stat.S_IMODE(os.stat(target).st_mode)
    except FileNotFoundError:
        mask = os.umask(0)
        os.umask(mask)
        mode = 0o666 & ~mask
    descriptor, name = mkstemp(prefix=".loraplan-", dir=os.path.dirname(target))
    try:
        with open(descriptor, "w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
            file.write(text)
        os.chmod(name, mode)
        os.replace(name, target)
    except BaseException:
        os.unlink(name)
        raise
