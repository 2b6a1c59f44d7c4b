"""Opening a file safely and choosing its parser; a parser is imported only when a file needs it."""

from __future__ import annotations

# ruff: noqa: PTH114, PTH115, PTH116, PTH122, PTH123
# Importing pathlib takes several milliseconds (python -X importtime), and nothing else on the way of a check needs it.
import os
import re
import stat
import sys
from importlib import import_module

from loraplan.document import Document, DocumentError, Position, Syntax

MAX_BYTES = 5 * 1024 * 1024
"""The largest training config is a few hundred lines; anything larger is data."""

_BY_EXTENSION: dict[str, Syntax] = {
    ".yaml": "yaml",
    ".yml": "yaml",
    ".json": "json",
    ".jsonc": "json",
    ".toml": "toml",
    ".sh": "shell",
    ".bash": "shell",
    ".slurm": "shell",
    ".py": "python",
}


def read(path: str, text: str | None = None, syntax: Syntax | None = None) -> Document:
    """The document at `path` (`-` is standard input); `text` replaces the file's content, `syntax` the guess."""
    if text is None:
        text = read_text(path)
    syntax = syntax or syntax_of(path, text)
    document: Document = import_module(f"loraplan.document.{syntax}").parse(text, path)
    return document


def syntax_of(path: str, text: str) -> Syntax:
    """By extension; without a known one, by how the text begins, YAML if in doubt."""
    known = _BY_EXTENSION.get(os.path.splitext(path)[1].lower())
    return known or _sniff(text)


def read_text(path: str) -> str:
    """The file's text with its line endings and byte order mark kept; whatever prevents that is a DocumentError."""
    data = _read_stdin() if path == "-" else _read_file(path)
    if b"\0" in data:
        raise _binary(path, data)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line_start = before.rfind(b"\n") + 1
        column = len(before[line_start:].decode(errors="replace")) + 1
        raise DocumentError(
            path,
            _utf16(data) or f"not UTF-8: the byte 0x{data[error.start]:02x} at offset {error.start}",
            "save the file as UTF-8",
            Position(before.count(b"\n") + 1, column),
        ) from None


def _read_stdin() -> bytes:
    try:
        data = sys.stdin.buffer.read(MAX_BYTES + 1)
    except (AttributeError, OSError):  # it is closed, or a directory
        raise DocumentError("-", "standard input cannot be read", "pipe a config into it") from None
    if len(data) > MAX_BYTES:
        raise _too_large("-")
    return data


def _read_file(path: str) -> bytes:
    # The kind is asked before opening: opening a FIFO waits for a writer, opening a device may do anything.
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):
            raise _irregular(path, found.st_mode)
        if found.st_size > MAX_BYTES:
            raise _too_large(path)
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        if os.path.islink(path):
            target = os.readlink(path)
            raise DocumentError(
                path, f"a broken symbolic link to {target}", "restore its target or remove the link"
            ) from None
        raise DocumentError(path, "no such file", "check the path") from None
    except PermissionError:
        raise DocumentError(path, "no permission to read it", "check the file's permissions") from None
    except OSError as error:
        raise DocumentError(path, f"cannot be read: {error.strerror}", "check the path") from None
    except ValueError:
        raise DocumentError(path, "not a valid path", "check the path") from None
    if len(data) > MAX_BYTES:
        raise _too_large(path)
    return data


def _irregular(path: str, mode: int) -> DocumentError:
    if stat.S_ISDIR(mode):
        return DocumentError(path, "a directory, not a file", "name a file in it")
    kind = "a FIFO" if stat.S_ISFIFO(mode) else "a socket" if stat.S_ISSOCK(mode) else "a device"
    return DocumentError(path, f"{kind}, not a regular file", "name a regular file, or pipe the text to '-'")


def _too_large(path: str) -> DocumentError:
    limit = MAX_BYTES // (1024 * 1024)
    return DocumentError(path, f"larger than {limit} MiB, no training config", "name the config, not data or weights")


def _binary(path: str, data: bytes) -> DocumentError:
    if message := _utf16(data):
        return DocumentError(path, message, "save the file as UTF-8")
    offset = data.index(b"\0")
    return DocumentError(path, f"a binary file (a NUL byte at offset {offset})", "name a text file")


def _utf16(data: bytes) -> str | None:
    if data.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        return "encoded in UTF-32"
    return "encoded in UTF-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else None


def _sniff(text: str) -> Syntax:
    start = text[:4096].lstrip("\ufeff \t\r\n")
    if start.startswith("#!"):
        return "python" if "python" in start.partition("\n")[0] else "shell"
    if re.match(r"\{\s*[\"}/]|\[\s*[\[{\"]", start):
        return "json"
    if start.startswith("#SBATCH"):
        return "shell"
    code = "\n".join(line for line in start.splitlines() if not line.lstrip().startswith("#")).lstrip()
    if re.match(r"(?:import|from) [\w.]+", code):
        return "python"
    if re.match(r"\[{1,2}[\w.\"' -]+\]{1,2}\s*(?:#.*)?$|[\w.\"-]+ *= *\S", code, re.MULTILINE):
        return "toml"
    if re.search(r"\\\r?$", code, re.MULTILINE) and re.search(r"(?:^|\s)--\w", code):
        return "shell"
    return "yaml"
