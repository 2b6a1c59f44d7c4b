"""`loraplan estimate` in a terminal and for programs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest

from loraplan.cli import main

SCHEMA = Path(__file__).parents[2] / "loraplan" / "schema" / "estimate-v1.schema.json"
CONFIG = """base_model: meta-llama/Llama-3.1-8B
adapter: qlora
load_in_4bit: true
lora_r: 16
lora_alpha: 32
lora_target_linear: true
sequence_len: 2048
sample_packing: true
micro_batch_size: 2
gradient_accumulation_steps: 4
num_epochs: 1
optimizer: adamw_torch_fused
lr_scheduler: cosine
learning_rate: 0.0002
bf16: true
flash_attention: true
gradient_checkpointing: true
datasets:
  - path: tatsu-lab/alpaca
    type: alpaca
"""


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        main(["estimate", *arguments])
    found = capsys.readouterr()
    return int(stopped.value.code or 0), found.out, found.err


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "qlora.yml"
    path.write_text(CONFIG, encoding="utf-8")
    return str(path)


def values(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict:
    _, out, _ = run(capsys, *arguments, "--format", "json")
    found = json.loads(out)
    jsonschema.validate(found, json.loads(SCHEMA.read_text(encoding="utf-8")))
    (one,) = found["runs"]
    return one


class TestText:
    def test_a_config(self, capsys, config):
        code, out, err = run(capsys, config, "--gpu", "rtx-4090")
        assert (code, err) == (0, "")
        assert re.search(r"^peak \d+\.\d+ GiB allocated, in the \w+ phase  \(axolotl\)$", out, re.MULTILINE)
        assert re.search(r"^  rtx-4090: fits, \d+\.\d+ GiB free of 23\.\d+ GiB usable$", out, re.MULTILINE)
        for word in ("load", "forward", "loss", "backward", "optimizer", "<- peak", "nf4 + double"):
            assert word in out
        assert out.count("*") == 2  # the run itself, and the legend

    def test_the_bar_is_as_long_as_the_card(self, capsys, config, monkeypatch):
        monkeypatch.setenv("COLUMNS", "84")
        _, out, _ = run(capsys, config, "--gpu", "rtx-4090", "--no-options")
        (bar,) = re.findall(r"^  ([A-Za-z]+·*)$", out, re.MULTILINE)
        assert len(bar) == 80
        share = len(bar.rstrip("·")) / 80
        peak = float(re.search(r"peak (\d+\.\d+)", out)[1])
        usable = float(re.search(r"of (\d+\.\d+) GiB usable", out)[1])
        assert share == pytest.approx(peak / usable, abs=0.02)

    def test_a_run_that_does_not_fit_ends_with_one(self, capsys, config):
        code, out, _ = run(capsys, config, "--gpu", "rtx-3060", "--batch", "16")
        assert code == 1
        assert "does not fit" in out

    def test_explain_names_formula_and_source_of_every_term(self, capsys, config):
        _, out, _ = run(capsys, config, "--explain", "--no-options")
        assert "layers × tokens × hidden × bytes" in out
        assert "torch 2.13 utils/checkpoint.py" in out
        assert re.search(r"where tokens = 4,096, length = 2,048, layers = 32, hidden = 4,096", out)

    def test_facts_are_listed_and_can_be_changed(self, capsys, config):
        _, out, _ = run(capsys, config, "--explain", "--no-options")
        assert re.search(r"^  upcast = nothing  axolotl 0.19 loaders/model.py", out, re.MULTILINE)
        _, changed, _ = run(capsys, config, "--fact", "upcast=all", "--explain", "--no-options")
        assert "  upcast = all  said by the user" in changed
        assert changed.splitlines()[0] != out.splitlines()[0]

    def test_without_a_config(self, capsys):
        code, out, _ = run(
            capsys, "--model", "meta-llama/Llama-3.1-8B", "--method", "qlora", "--r", "16", "--seq", "2048"
        )
        assert code == 0
        assert "(TRL)" in out

    def test_several_gpus(self, capsys, config):
        _, out, _ = run(capsys, config, "--gpus", "4", "--strategy", "fsdp")
        assert "on each of 4 GPUs" in out

    def test_colours_are_off_in_a_pipe_and_can_be_forced(self, capsys, config):
        assert "\x1b[" not in run(capsys, config)[1]
        assert "\x1b[" in run(capsys, config, "--color", "always")[1]


class TestForPrograms:
    def test_json_has_its_schema(self, capsys, config):
        one = values(capsys, config, "--gpu", "a100-80gb")
        assert one["gpu"]["fit"] == "fits"
        assert one["allocated"]["expected"] == max(phase["bytes"] for phase in one["phases"])
        for phase in one["phases"]:
            assert phase["bytes"] == sum(term["bytes"] for term in phase["terms"])
        assert len(one["options"]) == 36

    def test_json_without_a_config(self, capsys):
        assert values(capsys, "--model", "Qwen/Qwen3-4B")["gpu"] is None

    def test_what_the_command_line_sets_wins(self, capsys, config):
        small, large = values(capsys, config, "--batch", "1"), values(capsys, config, "--batch", "4")
        assert small["symbols"]["tokens"] * 4 == large["symbols"]["tokens"]
        assert values(capsys, config, "--seq", "512")["symbols"]["length"] == 512
        assert values(capsys, config, "--checkpointing", "off")["allocated"] != small["allocated"]

    def test_an_older_transformers_costs_what_it_cost(self, capsys, tmp_path):
        path = tmp_path / "sft.yaml"
        path.write_text(
            "model_name_or_path: meta-llama/Llama-3.1-8B\ndataset_name: x/y\nuse_peft: true\nlora_r: 16\n"
            "lora_alpha: 32\n"
            "per_device_train_batch_size: 4\nmax_length: 2048\nbf16: true\noutput_dir: out\nlearning_rate: 2e-4\n",
            encoding="utf-8",
        )
        new = values(capsys, str(path))
        old = values(
            capsys, str(path), "--framework-version", "trl=0.20.0", "--framework-version", "transformers=4.55.0"
        )
        logits = [
            term["bytes"] for one in (new, old) for phase in one["phases"] if phase["name"] == "loss"
            for term in phase["terms"] if term["name"] == "logits and loss"
        ]  # fmt: skip
        assert logits[1] > 8 * logits[0]

    def test_markdown_is_a_table(self, capsys, config):
        _, out, _ = run(capsys, config, "--gpu", "t4", "--format", "markdown")
        rows = [line for line in out.splitlines() if line.startswith("|")]
        assert {line.count("|") for line in rows[:6]} == {3}
        assert "| nf4 + double | on |" in out

    def test_a_report_that_cannot_be_written_is_said(self, capsys, config, tmp_path):
        code, out, err = run(capsys, config, "--output-file", str(tmp_path / "absent" / "a.html"))
        assert (code, out) == (2, "")
        assert "absent" in err
        assert "No such file" in err

    def test_a_tight_run_is_told_what_helps(self, capsys, config):
        words = []
        for batch in range(1, 13):
            _, out, _ = run(capsys, config, "--batch", str(batch), "--gpu", "t4", "--no-options")
            words.append(next(word for word in ("does not fit", "tight", "fits") if f"t4: {word}" in out))
            assert ("expandable_segments:True" in out) == (words[-1] == "tight")
        assert set(words) == {"fits", "tight", "does not fit"}

    def test_html_of_several_runs_is_one_page(self, capsys, tmp_path):
        path = tmp_path / "two.yml"
        path.write_text(f"{CONFIG}---\n{CONFIG}", encoding="utf-8")
        _, out, _ = run(capsys, str(path), "--format", "html")
        assert (out.count("<html"), out.count("</html>"), out.count("<h1>"), out.count("<b>Peak")) == (1, 1, 1, 2)

    def test_html_is_one_page_without_scripts(self, capsys, config, tmp_path):
        page = tmp_path / "memory.html"
        code, out, _ = run(capsys, config, "--gpu", "rtx-4090", "--format", "html", "--output-file", str(page))
        assert (code, out) == (0, "")
        text = page.read_text(encoding="utf-8")
        assert text.startswith("<!doctype html>")
        assert "<script" not in text
        assert text.count('class="bar"') == 5
        assert list(tmp_path.glob("*.tmp*")) == []

    def test_sweep_as_table_and_json(self, capsys, config):
        _, out, _ = run(capsys, config, "--sweep", "seq=512..2048,batch=1,2", "--gpu", "rtx-4090")
        assert re.search(r"seq \\ batch +1 +2$", out, re.MULTILINE)
        assert len(re.findall(r"^ +(?:512|1024|2048) ", out, re.MULTILINE)) == 3
        _, out, _ = run(capsys, config, "--sweep", "seq=512..2048,batch=1,2", "--format", "json")
        cells = json.loads(out)["cells"]
        assert len(cells) == 6
        assert cells[0]["device_bytes"] < cells[-1]["device_bytes"]


class TestMistakes:
    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ([], "name a config, or a model"),
            (["--model", "nobody/nothing"], "loraplan models"),
            (["--model", "Qwen/Qwen3-4B", "--gpu", "rtx-9999"], "unknown GPU"),
            (["--model", "Qwen/Qwen3-4B", "--sweep", "seq"], "--sweep"),
            (["--model", "Qwen/Qwen3-4B", "--plot", "x.png"], "--plot draws a sweep"),
            (["--model", "Qwen/Qwen3-4B", "--stack", "nothing"], "unknown stack"),
            (["/nowhere/config.yml"], "/nowhere/config.yml"),
            (["--model", "Qwen/Qwen3-4B", "--fact", "colour=red"], "no fact of a stack"),
            (["--model", "Qwen/Qwen3-4B", "--fact", "loss=none"], "is none of"),
            (["--model", "Qwen/Qwen3-4B", "--fact", "cache=maybe"], "neither true nor false"),
        ],
    )
    def test_end_with_two_and_say_what_to_do(self, capsys, arguments, words):
        code, out, err = run(capsys, *arguments)
        assert (code, out) == (2, "")
        assert words in err
        assert "Traceback" not in err

    def test_a_method_beside_a_config(self, capsys, config):
        code, _, err = run(capsys, config, "--method", "lora")
        assert code == 2
        assert "--method is for runs without a config" in err

    def test_broken_yaml_names_its_line(self, capsys, tmp_path):
        path = tmp_path / "bad.yml"
        path.write_text("a: [1\nb: 2\n", encoding="utf-8")
        code, _, err = run(capsys, str(path))
        assert code == 2
        assert "bad.yml" in err

    def test_a_model_that_is_unknown(self, capsys, config):
        code, _, err = run(capsys, config, "--model", "nobody/nothing")
        assert code == 2
        assert "--model names one that is known" in err


def test_every_official_config_has_an_estimate(capsys):
    corpus = Path(__file__).parents[3] / "shared" / "corpus"
    if not corpus.is_dir():
        pytest.skip("the corpus is not here")
    estimated = 0
    for path in sorted(corpus.rglob("*")):
        if path.suffix not in (".yml", ".yaml", ".json", ".toml"):
            continue
        code, out, err = run(capsys, str(path), "--format", "json", "--no-options")
        assert code in (0, 2), path
        assert "Traceback" not in err
        if code == 0:
            for one in json.loads(out)["runs"]:
                assert 0 < one["allocated"]["expected"] < 1 << 44, path
            estimated += 1
    assert estimated >= 100
