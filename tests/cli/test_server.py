"""The language server, spoken to over its standard input and output."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

if find_spec("pygls") is None:
    pytest.skip("pygls is not installed", allow_module_level=True)

BAD = """\
base_model: NousResearch/Llama-3.2-1B
datasets:
  - path: tatsu-lab/alpaca
    type: alpaca
adapter: lora
lora_r: 64
lora_alpha: 4
lora_target_linear: true
learning_rate: 0.0002
micro_batch_size: 2
num_epochs: 1
"""


class Client:
    """As much of the protocol as a test needs."""

    def __init__(self, directory: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "loraplan", "server"],
            cwd=directory, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.uri = (directory / "a.yml").as_uri()
        self.number = 0
        self.request("initialize", {"processId": None, "rootUri": directory.as_uri(), "capabilities": {}})
        self.notify("initialized", {})

    def send(self, message: dict[str, Any]) -> None:
        content = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self.process.stdin is not None
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(content), content))
        self.process.stdin.flush()

    def receive(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        length = 0
        while line := self.process.stdout.readline().strip():
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        assert length, "the server went away"
        found: dict[str, Any] = json.loads(self.process.stdout.read(length))
        return found

    def notify(self, method: str, params: Any) -> None:
        self.send({"method": method, "params": params})

    def request(self, method: str, params: Any) -> Any:
        self.number += 1
        self.send({"id": self.number, "method": method, "params": params})
        while (answer := self.receive()).get("id") != self.number:
            pass
        return answer["result"]

    def diagnostics(self) -> list[dict[str, Any]]:
        while (message := self.receive()).get("method") != "textDocument/publishDiagnostics":
            pass
        found: list[dict[str, Any]] = message["params"]["diagnostics"]
        return found

    def open(self, text: str) -> list[dict[str, Any]]:
        item = {"uri": self.uri, "languageId": "yaml", "version": 1, "text": text}
        self.notify("textDocument/didOpen", {"textDocument": item})
        return self.diagnostics()


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    (tmp_path / ".git").mkdir()
    found = Client(tmp_path)
    yield found
    found.request("shutdown", None)
    found.notify("exit", None)
    found.process.wait(timeout=30)
    for stream in (found.process.stdin, found.process.stdout):
        assert stream is not None
        stream.close()


def test_diagnostics_follow_the_text(client: Client) -> None:
    found = {item["code"]: item for item in client.open(BAD)}
    assert found["ALP001"]["range"] == {"start": {"line": 6, "character": 12}, "end": {"line": 6, "character": 13}}
    assert (found["ALP001"]["severity"], found["ALP001"]["source"]) == (2, "loraplan")
    good = BAD.replace("lora_alpha: 4", "lora_alpha: 128")
    client.notify(
        "textDocument/didChange",
        {"textDocument": {"uri": client.uri, "version": 2}, "contentChanges": [{"text": good}]},
    )
    assert "ALP001" not in {item["code"] for item in client.diagnostics()}


def test_a_file_that_is_no_config_has_none(client: Client) -> None:
    assert client.open("name: x\n") == []


def test_hover_shows_the_rule_and_the_value(client: Client) -> None:
    client.open(BAD)
    where = {"textDocument": {"uri": client.uri}, "position": {"line": 6, "character": 12}}
    shown = client.request("textDocument/hover", where)["contents"]["value"]
    assert "`adapter.alpha` = 4" in shown
    assert "# ALP001" in shown
    where["position"] = {"line": 0, "character": 0}
    assert "axolotl default (" in client.request("textDocument/hover", where)["contents"]["value"].replace(
        "0.19.0 ", ""
    )


def test_quick_fixes_are_edits_of_the_value(client: Client) -> None:
    client.open(BAD)
    place = {"line": 6, "character": 12}
    asked = {
        "textDocument": {"uri": client.uri},
        "range": {"start": place, "end": place},
        "context": {"diagnostics": []},
    }
    (action,) = client.request("textDocument/codeAction", asked)
    (edit,) = action["edit"]["changes"][client.uri]
    assert action["title"].startswith("ALP001: ")
    assert edit == {"range": {"start": place, "end": {"line": 6, "character": 13}}, "newText": "128"}


def test_a_quick_fix_of_a_missing_key_is_an_insertion(client: Client) -> None:
    text = BAD.replace("lora_r: 64\nlora_alpha: 4\n", "lora_r: 64  # 😀\n")
    found = {item["code"]: item["range"]["start"]["line"] for item in client.open(text)}
    asked = {
        "textDocument": {"uri": client.uri},
        "range": {side: {"line": found["ALP002"], "character": 0} for side in ("start", "end")},
        "context": {"diagnostics": []},
    }
    actions = {item["title"][:6]: item for item in client.request("textDocument/codeAction", asked)}
    (edit,) = actions["ALP002"]["edit"]["changes"][client.uri]
    end = {"line": 5, "character": len("lora_r: 64  # ") + 2}  # two units of UTF-16
    assert edit == {"range": {"start": end, "end": end}, "newText": "\nlora_alpha: 128"}
