from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from loraplan.arch import sources, weights
from loraplan.arch.sources import resolve, suggest

SMALL: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 100,
    "torch_dtype": "bfloat16",
}


@pytest.fixture(autouse=True)
def no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Hugging Face home; returns its hub directory."""
    for key in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "hf" / "hub"


def write(directory: Path, config: object) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    return directory


def safetensors(path: Path, tensors: dict[str, Any]) -> None:
    header = json.dumps(tensors).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header)


def test_a_local_directory_comes_first(tmp_path: Path) -> None:
    write(tmp_path / "meta-llama" / "Llama-3.1-8B", SMALL)
    found = resolve("meta-llama/Llama-3.1-8B", base_dir=tmp_path)
    assert found is not None
    assert (found.hidden_size, found.dtype) == (64, "bfloat16")
    assert found.source == str(tmp_path / "meta-llama" / "Llama-3.1-8B" / "config.json")
    elsewhere = resolve("meta-llama/Llama-3.1-8B", base_dir=tmp_path / "other")
    assert elsewhere is not None
    assert elsewhere.hidden_size == 4096


def test_the_cache_comes_before_the_catalogue(no_cache: Path) -> None:
    folder = no_cache / "models--meta-llama--Llama-3.1-8B"
    write(folder / "snapshots" / "aaa", {**SMALL, "hidden_size": 32})
    write(folder / "snapshots" / "bbb", SMALL)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("bbb")
    found = resolve("meta-llama/Llama-3.1-8B", base_dir=None)
    assert found is not None
    assert found.hidden_size == 64
    (folder / "refs" / "main").write_text("../../../etc")
    assert resolve("meta-llama/Llama-3.1-8B", base_dir=None) is not None


def test_a_cache_named_by_its_own_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "elsewhere" / "models--me--mine" / "snapshots" / "1", SMALL)
    monkeypatch.setenv("HUGGINGFACE_HUB_CACHE", str(tmp_path / "elsewhere"))
    found = resolve("me/mine", base_dir=None)
    assert found is not None
    assert found.parameters == 2 * (4 * 64 * 64 + 3 * 64 * 128 + 2 * 64) + 64 + 2 * 100 * 64


@pytest.mark.parametrize(
    ("name", "published", "prequantized"),
    [
        ("meta-llama/Llama-3.1-8B", "meta-llama/Llama-3.1-8B", None),
        ("Meta-Llama/meta-llama-3.1-8B", "meta-llama/Meta-Llama-3.1-8B", None),
        ("unsloth/llama-3-8b-Instruct-bnb-4bit", "meta-llama/Meta-Llama-3-8B-Instruct", "bnb-4bit"),
        ("unsloth/Meta-Llama-3.1-8B-unsloth-bnb-4bit", "meta-llama/Meta-Llama-3.1-8B", "bnb-4bit"),
        ("unsloth/qwen2.5-7b-instruct-unsloth-bnb-4bit", "Qwen/Qwen2.5-7B-Instruct", "bnb-4bit"),
        ("Qwen/Qwen2.5-7B-Instruct-AWQ", "Qwen/Qwen2.5-7B-Instruct", "awq"),
        ("Qwen/Qwen2.5-7B-Instruct-GPTQ-Int4", "Qwen/Qwen2.5-7B-Instruct", "gptq"),
        ("NousResearch/Llama-2-7b-hf", "meta-llama/Llama-2-7b-hf", None),
        ("ISTA-DASLab/Meta-Llama-3-8B-Instruct-AQLM-2Bit-1x16", "meta-llama/Meta-Llama-3-8B-Instruct", "aqlm"),
        ("mlx-community/Llama-3.2-1B-Instruct-bf16", "meta-llama/Llama-3.2-1B-Instruct", None),
        ("/tmp/Llama-3.3-70B-Instruct/", "meta-llama/Llama-3.3-70B-Instruct", None),
        ("checkpoints/google/gemma-2b", "google/gemma-2b", None),
        ("openai/gpt-oss-20b", "openai/gpt-oss-20b", "mxfp4"),
    ],
)
def test_names_in_the_catalogue(name: str, published: str, prequantized: str | None) -> None:
    found = resolve(name, base_dir=None)
    assert found is not None
    assert (found.name, found.prequantized) == (published, prequantized)
    assert found.source.startswith("catalogue")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "  ",
        "username/custom_model_name",
        "someone/Llama-3.1-8B",
        "./output",
        "a\0b",
        "x" * 5000,
        "../..",
        "/",
        "gpt-5",
    ],
)
def test_unknown_names_are_unknown(name: str) -> None:
    assert resolve(name, base_dir=None) is None


def test_unknown_model_type_is_no_guess(tmp_path: Path) -> None:
    write(tmp_path / "m", {**SMALL, "model_type": "llama9"})
    problems: list[str] = []
    assert resolve("m", base_dir=tmp_path, problems=problems) is None
    assert problems == []


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "no valid JSON"),
        ("[" * 100_000, "no valid JSON"),
        ("[1]", "holds no mapping"),
        ("", "no valid JSON"),
        ('{"model_type": "llama", "hidden_size": "64"}', "hidden_size is no whole number"),
        ('{"model_type": "llama", "num_hidden_layers": -1}', "num_hidden_layers is -1, outside 1 to 1024"),
        ('{"model_type": "llama", "num_hidden_layers": 1000000000}', "num_hidden_layers is 1000000000"),
        ('{"model_type": "llama", "hidden_size": ' + "9" * 4000 + "}", "hidden_size is huge"),
        ('{"model_type": "llama", "num_attention_heads": true}', "num_attention_heads is no whole number"),
        ('{"model_type": "llama", "num_attention_heads": 0}', "num_attention_heads is 0"),
        ('{"model_type": "gemma3", "text_config": [1]}', "text_config is no mapping"),
        ('{"model_type": "qwen3_5", "text_config": {"layer_types": ["x"]}}', "layer_types names too few layers"),
        ('{"model_type": "qwen3_moe", "mlp_only_layers": [9999999999]}', "mlp_only_layers is no list of layer indices"),
        ('{"model_type": "mixtral", "num_local_experts": 100000}', "num_local_experts is 100000, outside 1 to 4096"),
        ('{"model_type": "gpt2", "n_embd": 100, "n_head": 7}', "n_embd 100 is no multiple of n_head 7"),
    ],
)
def test_hostile_configurations_are_refused(tmp_path: Path, content: str, problem: str) -> None:
    write(tmp_path / "m", content)
    problems: list[str] = []
    assert resolve("m", base_dir=tmp_path, problems=problems) is None
    assert len(problems) == 1
    assert problem in problems[0]
    assert str(tmp_path / "m" / "config.json") in problems[0]


def test_a_configuration_of_unusual_size_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "m", '{"a": "' + "x" * sources.MAX_CONFIG_BYTES + '"}')
    problems: list[str] = []
    assert resolve("m", base_dir=tmp_path, problems=problems) is None
    assert "larger than 5 MB" in problems[0]


def test_an_adapter_s_base_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text('{"base_model_name_or_path": "gpt2"}')
    assert resolve("adapter", base_dir=tmp_path) is None


def test_a_directory_named_like_a_model_but_without_configuration(tmp_path: Path) -> None:
    (tmp_path / "Llama-3.1-8B").mkdir()
    found = resolve(str(tmp_path / "Llama-3.1-8B"), base_dir=None)
    assert found is not None
    assert found.source.startswith("catalogue, by the directory's name")


def test_rows_of_the_embedding_come_from_the_weights(tmp_path: Path) -> None:
    write(tmp_path / "m", SMALL)
    tensor = {"dtype": "BF16", "shape": [128, 64], "data_offsets": [0, 16384]}
    safetensors(tmp_path / "m" / "model.safetensors", {"__metadata__": {}, "model.embed_tokens.weight": tensor})
    found = resolve("m", base_dir=tmp_path)
    assert found is not None
    assert found.vocab_size == 128
    tensor["dtype"] = "U8"
    safetensors(tmp_path / "m" / "model.safetensors", {"model.embed_tokens.weight": tensor})
    found = resolve("m", base_dir=tmp_path)
    assert found is not None
    assert found.vocab_size == 100


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 8,
        struct.pack("<Q", 1 << 62),
        struct.pack("<Q", 4) + b"{",
        struct.pack("<Q", 2) + b"[]",
        b"12345678x",
    ],
)
def test_broken_weights_change_nothing(tmp_path: Path, content: bytes) -> None:
    write(tmp_path / "m", SMALL)
    (tmp_path / "m" / "model.safetensors").write_bytes(content)
    problems: list[str] = []
    found = resolve("m", base_dir=tmp_path, problems=problems)
    assert found is not None
    assert found.vocab_size == 100
    assert len(problems) == 1


def test_header_is_bounded(tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(struct.pack("<Q", weights.MAX_HEADER_BYTES + 1) + b"{}")
    with pytest.raises(ValueError, match="larger than 32 MB"):
        weights.header(tmp_path / "w")


@pytest.mark.parametrize(
    ("quantization", "expected"),
    [
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "bnb-4bit"),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "bnb-8bit"),
        ({"quant_method": "gptq", "bits": 4}, "gptq"),
        ("gptq", None),
        ({"quant_method": 4}, None),
    ],
)
def test_stored_quantization(tmp_path: Path, quantization: object, expected: str | None) -> None:
    write(tmp_path / "m", {**SMALL, "quantization_config": quantization})
    found = resolve("m", base_dir=tmp_path)
    assert found is not None
    assert found.prequantized == expected


def test_suggestions() -> None:
    assert suggest("meta-llama/Llama-3.1-8b-instuct")[0] == "meta-llama/Llama-3.1-8B-Instruct"
    assert suggest("Qwen3-8B")[0] == "Qwen/Qwen3-8B"
    assert suggest("entirely/unlike-anything-here-xyz") == []


def test_the_hub_is_asked_only_when_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def urlopen(request: Any, timeout: float) -> io.BytesIO:
        asked.append((request.full_url, timeout))
        return io.BytesIO(json.dumps(SMALL).encode())

    monkeypatch.setattr("urllib.request.urlopen", urlopen)
    assert resolve("me/my-model", base_dir=None) is None
    assert asked == []
    found = resolve("me/my-model", base_dir=None, online=True)
    assert found is not None
    assert asked == [("https://huggingface.co/me/my-model/resolve/main/config.json", 10.0)]
    for name in ("me/../x", "me/my model", "me/x?y", "plain", "a/b/c"):
        assert resolve(name, base_dir=None, online=True) is None
    assert len(asked) == 1


def test_an_unreachable_hub_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def urlopen(request: Any, timeout: float) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("urllib.request.urlopen", urlopen)
    problems: list[str] = []
    assert resolve("me/my-model", base_dir=None, online=True, problems=problems) is None
    assert problems == ["https://huggingface.co/me/my-model/resolve/main/config.json cannot be read: no route to host"]


def test_looking_up_a_model_imports_little() -> None:
    code = (
        "import sys; from loraplan.arch.sources import resolve; resolve('Qwen/Qwen3-8B', base_dir=None);"
        "print(*sorted(name for name in sys.modules if name.partition('.')[0] in"
        " ('pydantic', 'rich', 'yaml', 'urllib', 'tomllib', 'huggingface_hub', 'torch', 'transformers')"
        " or name.startswith('loraplan.arch.families.')))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert [name for name in out if not name.startswith("urllib")] == [
        "loraplan.arch.families.layout",
        "loraplan.arch.families.llama",
    ]
    assert "urllib.request" not in out
