"""The earlier version of a config: a file, a git revision, or the last committed version that differs."""

from __future__ import annotations

import os

_TIMEOUT_SECONDS = 10
_MAX_BYTES = 16 << 20
_MAX_REVISIONS = 20


class NoBaseline(Exception):
    """There is no earlier version to compare with: the reason, in words for `rules skipped`."""


def text_of(path: str, text: str, given: str | None) -> tuple[str, str]:
    """Name and text of the earlier version of the file at `path`, whose text now is `text`."""
    if given is not None and os.path.isfile(given):
        return given, _read(given)
    if path == "-" or not os.path.isfile(path):
        raise NoBaseline("no baseline: the config is not a file")
    if given is not None:
        if given.startswith("-") or any(character.isspace() for character in given) or ":" in given:
            raise NoBaseline(f"no baseline: `{given}` is neither a file nor a git revision")
        found = _show(path, given)
        if found is None:
            raise NoBaseline(f"no baseline: `{given}` is neither a file nor a revision that has this file")
        return f"{path}@{given}", found
    head = _show(path, "HEAD")
    if head is None:
        raise NoBaseline("no baseline: the file is not in git (--baseline names one)")
    if not _same(head, text):
        return f"{path}@HEAD", head
    for revision in _revisions(path):
        earlier = _show(path, revision)
        if earlier is not None and not _same(earlier, text):
            return f"{path}@{revision[:10]}", earlier
    raise NoBaseline("no baseline: git has one version of this file")


def _read(path: str) -> str:
    try:
        with open(path, "rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise NoBaseline(f"no baseline: {path}: {error.strerror}") from error
    if len(content) > _MAX_BYTES:
        raise NoBaseline(f"no baseline: {path} is too large")
    return content.decode("utf-8-sig", "replace")


def _same(left: str, right: str) -> bool:
    """Equal apart from line ends and a byte-order mark, which git may convert."""
    return left.lstrip("\ufeff").split() == right.lstrip("\ufeff").split()


def _show(path: str, revision: str) -> str | None:
    directory, name = os.path.split(os.path.abspath(path))
    content = git(directory, "show", "--no-textconv", "--end-of-options", f"{revision}:./{name}")
    return None if content is None else content.decode("utf-8-sig", "replace")


def _revisions(path: str) -> list[str]:
    directory, name = os.path.split(os.path.abspath(path))
    listed = git(directory, "log", "-n", str(_MAX_REVISIONS), "--format=%H", "HEAD", "--", f"./{name}")
    return [] if listed is None else listed.decode("ascii", "replace").split()


def git(directory: str, *arguments: str) -> bytes | None:
    """What a git command prints, or None where it fails, is missing or takes too long; it never writes or asks."""
    import subprocess

    environment = {
        **os.environ,
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_PAGER": "cat",
        "GIT_LITERAL_PATHSPECS": "1",
        "LC_ALL": "C",
    }
    # A repository's own configuration can name programs that git runs: none may come from the files being checked.
    command = ["git", "--no-pager", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", *arguments]
    try:
        done = subprocess.run(  # noqa: S603
            command,
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
