"""Every corpus file of the formats here is recognised as its format and read without a false key issue."""

from __future__ import annotations

from pathlib import Path

import pytest

from loraplan import formats
from loraplan.document.read import read as read_document
from tests.formats.reader import check_origins, corpus

FOLDERS = {
    "axolotl": "axolotl",
    "llamafactory": "llamafactory",
    "trl-yaml": "trl",
    "peft-adapter": "peft",
    "open-instruct-yaml": "open-instruct",
    "chatglm-yaml": "chatglm",
    "llm-toolkit-yaml": "llm-toolkit",
    "custom-yaml": "custom",
}
# ChatGLM3's and GLM-4's scripts read the same sections; the index files the latter as hand-rolled.
BETTER = {"THUDM__GLM-4__finetune__configs__lora.yaml": "chatglm"}
FILES = [(name, path) for folder, name in FOLDERS.items() for path in corpus(folder)]


@pytest.mark.skipif(not FILES, reason="the corpus is not here")
def test_recognised_as_its_format() -> None:
    wrong = []
    for name, path in FILES:
        document = read_document(str(path))
        found = formats.detect(document, document.roots[0])
        expected = BETTER.get(path.name, name)
        if found is None or found[0] != expected:
            wrong.append((path.name, expected, found))
    assert wrong == []


@pytest.mark.parametrize(("name", "path"), FILES, ids=[path.name for _, path in FILES])
def test_reads(name: str, path: Path) -> None:
    readings = formats.read(read_document(str(path)))
    assert readings
    for reading in readings:
        check_origins(reading)
        assert [issue for issue in reading.key_issues if issue.kind == "unknown"] == []
        assert [issue for issue in reading.value_issues if issue.effect == "raises"] == []
