"""Detection: the keys that spare an import never spare a recognition."""

from __future__ import annotations

from pathlib import Path

import pytest

from loraplan import formats
from loraplan.document import Mapping
from loraplan.document.read import read

ROOT = Path(__file__).parents[2]
CORPUS = ROOT.parent / "shared" / "corpus"


def test_every_hint_names_a_format() -> None:
    assert set(formats._TOP_KEYS) <= set(formats.FORMATS)


@pytest.mark.skipif(not CORPUS.exists(), reason="needs the corpus of real configs")
def test_top_keys_are_necessary() -> None:
    recognised = 0
    for path in sorted(CORPUS.rglob("*")):
        if path.suffix not in {".yml", ".yaml", ".json", ".toml"}:
            continue
        document = read(str(path))
        for root in document.roots:
            assert isinstance(root, Mapping)
            for name, needed in formats._TOP_KEYS.items():
                if document.syntax in formats.FORMATS[name][1] and formats.load(name).detect(root, document):
                    recognised += 1
                    assert needed & set(root.keys()), f"{path.name} is {name} without any of {sorted(needed)}"
    assert recognised > 100


def test_a_mapping_without_top_keys_imports_no_format_but_the_open_ones() -> None:
    import subprocess
    import sys

    code = (
        "import sys\n"
        "from loraplan.document.read import read\n"
        "from loraplan import formats\n"
        "document = read('x.yml', 'colour: red\\n')\n"
        "assert formats.detect(document, document.roots[0]) is None\n"
        "print(sorted(name for name in sys.modules if name.startswith('loraplan.formats.')))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert "custom" in done.stdout
    assert "hf_args" in done.stdout
    assert "axolotl" not in done.stdout
    assert "torchtune" not in done.stdout


def test_an_empty_file_is_called_one() -> None:
    with pytest.raises(formats.NotAConfig) as caught:
        formats.read(read("x.yml", "# nothing\n"))
    assert caught.value.looks_like == "an empty file"


@pytest.mark.parametrize(
    ("text", "looks_like"),
    [
        ("model_name_or_path: acme/P\ntemplate: llama3\ninfer_backend: vllm\n", "an inference config"),
        (
            "model:\n  _component_: torchtune.models.llama3.llama3_8b\ncheckpointer:\n  x: 1\nmax_new_tokens: 9\n",
            "a config of a torchtune recipe that does not train",
        ),
    ],
)
def test_what_a_file_of_a_framework_is_that_trains_nothing(text: str, looks_like: str) -> None:
    with pytest.raises(formats.NotAConfig) as caught:
        formats.read(read("x.yml", text))
    assert caught.value.looks_like == looks_like
