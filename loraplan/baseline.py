"""The earlier version of a config: a file, a git revision, or the last committed version that differs."""

from __future__ import annotations

import os

_TIMEOUT_SECONDS = 10
_MAX_BYTES = 16 << 20
_MAX_REVISIONS = 20
_LOCATIONS = frozenset(("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR"))


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
        found = show(path, given)
        if found is None:
            raise NoBaseline(f"no baseline: `{given}` is neither a file nor a revision that has this file")
        return f"{path}@{given}", found
    head = show(path, "HEAD")
    if head is None and (former := _renamed(path)) is not None:
        return former
    if head is None:
        raise NoBaseline("no baseline: the file is not in git (--baseline names one)")
    if not _same(head, text):
        return f"{path}@HEAD", head
    for revision, name in _revisions(path):
        earlier = _show_from_root(path, revision, name)
        if earlier is not None and not _same(earlier, text):
            return f"{path}@{revision[:10]}", earlier
    directory = os.path.dirname(os.path.abspath(path))
    if (git(directory, "rev-parse", "--is-shallow-repository") or b"").strip() == b"true":
        raise NoBaseline("no baseline: a shallow clone has one version of this file")
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


def show(path: str, revision: str) -> str | None:
    """The text of a file as a revision has it under the same name; None where it has none."""
    directory, name = os.path.split(os.path.abspath(path))
    content = git(directory, "show", "--no-textconv", "--end-of-options", f"{revision}:./{name}")
    return None if content is None else content.decode("utf-8-sig", "replace")


def _show_from_root(path: str, revision: str, name: str) -> str | None:
    content = git(
        os.path.dirname(os.path.abspath(path)), "show", "--no-textconv", "--end-of-options", f"{revision}:{name}"
    )
    return None if content is None else content.decode("utf-8-sig", "replace")


def _renamed(path: str) -> tuple[str, str] | None:
    """The file as HEAD has it under the name that the index renamed to this one; None where it was not renamed."""
    directory, name = os.path.split(os.path.abspath(path))
    prefix = git(directory, "rev-parse", "--show-prefix")
    listed = git(
        directory, "diff", "--cached", "-z", "--find-renames", "--name-status", "--diff-filter=R", "HEAD", "--"
    )
    if prefix is None or not listed:
        return None
    here = os.fsdecode(prefix.rstrip(b"\n")) + name
    parts = [os.fsdecode(part) for part in listed.split(b"\0")]
    for old, new in zip(parts[1::3], parts[2::3], strict=False):
        if new == here and (text := _show_from_root(path, "HEAD", old)) is not None:
            return f"{old}@HEAD", text
    return None


def _revisions(path: str) -> list[tuple[str, str]]:
    """The commits that changed the file, latest first, each with the file's name then, from the repository's root."""
    directory, name = os.path.split(os.path.abspath(path))
    log = ("log", "-n", str(_MAX_REVISIONS), "--follow", "--name-only", "--format=%x00%H", "HEAD", "--", f"./{name}")
    listed = git(directory, "-c", "core.quotePath=false", *log)
    if listed is None:
        return []
    commits = (os.fsdecode(entry).split("\n") for entry in listed.split(b"\0"))
    return [(lines[0], lines[2]) for lines in commits if len(lines) > 2 and lines[2]]


def git(directory: str, *arguments: str) -> bytes | None:
    """What a git command prints, or None where it fails, is missing or takes too long; it never writes or asks."""
    import subprocess

    environment = {
        # A hook's GIT_DIR and GIT_INDEX_FILE are relative to a place that is not the file's folder.
        **{name: value for name, value in os.environ.items() if name not in _LOCATIONS},
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
