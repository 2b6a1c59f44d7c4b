"""What can be wrong with a file before its syntax matters, and which parser is chosen."""

import io
import os
import subprocess
import sys

import pytest

from loraplan.document import DocumentError, Position
from loraplan.document.read import MAX_BYTES, read, read_text, syntax_of


def failure(path):
    with pytest.raises(DocumentError) as caught:
        read(str(path))
    assert caught.value.remedy
    return caught.value


def write(tmp_path, name, data):
    path = tmp_path / name
    path.write_bytes(data)
    return path


def test_missing_file(tmp_path):
    error = failure(tmp_path / "no.yml")
    assert (error.message, error.position) == ("no such file", None)


def test_directory(tmp_path):
    assert failure(tmp_path).message == "a directory, not a file"


def test_broken_link_names_its_target(tmp_path):
    (tmp_path / "a.yml").symlink_to("gone.yml")
    assert failure(tmp_path / "a.yml").message == "a broken symbolic link to gone.yml"


def test_link_loop(tmp_path):
    (tmp_path / "a.yml").symlink_to("b.yml")
    (tmp_path / "b.yml").symlink_to("a.yml")
    assert "cannot be read" in failure(tmp_path / "a.yml").message


def test_no_permission(tmp_path, monkeypatch):
    path = write(tmp_path, "a.yml", b"a: 1\n")

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    assert failure(path).message == "no permission to read it"


def test_fifo_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe.yml")
    assert failure(tmp_path / "pipe.yml").message == "a FIFO, not a regular file"


def test_device():
    assert failure("/dev/zero").message == "a device, not a regular file"


def test_invalid_path():
    assert failure("a\0b.yml").message == "not a valid path"


def test_too_long_name(tmp_path):
    assert "cannot be read" in failure(tmp_path / ("x" * 300)).message


def test_binary(tmp_path):
    error = failure(write(tmp_path, "a.yml", b"ab\0\1"))
    assert error.message == "a binary file (a NUL byte at offset 2)"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("a: é\n".encode("utf-16"), "encoded in UTF-16"),
        ("a: é\n".encode("utf-32"), "encoded in UTF-32"),
        (b"\xff\xfea", "encoded in UTF-16"),
    ],
)
def test_other_unicode_encodings_are_named(tmp_path, data, message):
    assert failure(write(tmp_path, "a.yml", data)).message == message


def test_not_utf8_says_where(tmp_path):
    error = failure(write(tmp_path, "a.yml", "é: 1\nüb: ".encode() + "é".encode("latin-1")))
    assert error.message == "not UTF-8: the byte 0xe9 at offset 11"
    assert error.position == Position(2, 5)


@pytest.mark.parametrize("name", ["a.yml", "a.json", "a.toml"])
@pytest.mark.parametrize("data", [b"", b" \n", b"\xef\xbb\xbf"])
def test_empty_file_has_no_roots(tmp_path, name, data):
    assert read(str(write(tmp_path, name, data))).roots == ()


def test_large_file_is_refused_unread(tmp_path, monkeypatch):
    path = tmp_path / "a.yml"
    with path.open("wb") as file:
        file.truncate(100 * 1024 * 1024)
    monkeypatch.setattr("builtins.open", lambda *_: pytest.fail("it was opened"))
    assert failure(path).message == "larger than 5 MiB, no training config"


def test_a_file_that_grows_while_it_is_read_is_refused(tmp_path, monkeypatch):
    path = write(tmp_path, "a.yml", b"a: 1\n")
    monkeypatch.setattr("builtins.open", lambda *_: io.BytesIO(b"x" * (MAX_BYTES + 2)))
    assert "larger than" in failure(path).message


def test_line_endings_and_byte_order_mark_are_kept(tmp_path):
    path = write(tmp_path, "a.yml", b"\xef\xbb\xbfa: 1\r\nb: 2\r\n")
    assert read_text(str(path)) == "\ufeffa: 1\r\nb: 2\r\n"
    document = read(str(path))
    assert document.position(document.roots[0].get("a").span.start) == Position(1, 4)
    assert document.position(document.roots[0].get("b").span.start) == Position(2, 4)
    assert (document.line(1), document.line(2)) == ("a: 1", "b: 2")


def test_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"lora_r: 8\n")))
    document = read("-")
    assert (document.path, document.syntax, document.roots[0].get("lora_r").text) == ("-", "yaml", "8")


def test_closed_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    assert failure("-").message == "standard input cannot be read"


def test_endless_standard_input_is_refused(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"x" * (MAX_BYTES + 1))))
    assert "larger than" in failure("-").message


@pytest.mark.parametrize(
    ("path", "text", "syntax"),
    [
        ("a.yml", "{", "yaml"),
        ("a.YAML", "", "yaml"),
        ("a.json", "a: 1", "json"),
        ("a.jsonc", "", "json"),
        ("a.toml", "", "toml"),
        ("a.sh", "", "shell"),
        ("a.bash", "", "shell"),
        ("a.slurm", "", "shell"),
        ("a.py", "", "python"),
        ("run", "#!/bin/bash\nswift sft", "shell"),
        ("run", "#!/usr/bin/env python3\nx = 1", "python"),
        ("-", '\ufeff\n {"r": 8}', "json"),
        ("-", "{r: 8}", "yaml"),
        ("-", "lora_r: 8", "yaml"),
        ("-", "# [a]\nlora_r: 8", "yaml"),
        ("-", "- a\n- b", "yaml"),
        ("-", "# c\n[model]\nname = 'x'", "toml"),
        ("-", "lora_rank = 8", "toml"),
        ("-", "from peft import LoraConfig\n", "python"),
        ("-", "#SBATCH --gpus 1\n", "shell"),
        ("-", "swift sft \\\n  --model x", "shell"),
        ("config", "", "yaml"),
    ],
)
def test_syntax(path, text, syntax):
    assert syntax_of(path, text) == syntax


def test_a_named_syntax_wins():
    assert read("a.yml", '{"r": 1e-4}', "json").roots[0].get("r").tag == "float"


@pytest.mark.parametrize(
    ("name", "text", "banned"),
    [
        ("a.yml", "a: 1", ("tree_sitter", "tomllib", "pathlib", "loraplan.document.json")),
        ("a.json", "{}", ("yaml", "tree_sitter", "tomllib", "pathlib")),
        ("a.toml", "a = 1", ("yaml", "tree_sitter_bash")),
    ],
)
def test_only_the_parser_needed_is_imported(name, text, banned):
    code = f"import sys; from loraplan.document.read import read; read({name!r}, {text!r}); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not set(banned) & set(loaded)
