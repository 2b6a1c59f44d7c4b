from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loraplan.context import Facts, Inputs
from loraplan.datasets import UnknownSizeError, held_out, size
from loraplan.datasets.files import count
from loraplan.datasets.known import table
from loraplan.datasets.slices import apply
from loraplan.engine import Checker, Overrides
from loraplan.formats import NotAConfig
from loraplan.formats.reading import Reading
from loraplan.rule import Skip

AXOLOTL = "base_model: a/b\nadapter: lora\nlora_r: 8\nsequence_len: 512\n"
LLAMAFACTORY = "model_name_or_path: a/b\nstage: sft\nfinetuning_type: lora\ntemplate: qwen3\n"
TRL = "model_name_or_path: a/b\nuse_peft: true\nlora_r: 8\nlora_alpha: 16\n"
OUMI = (
    "model:\n  model_name: a/b\ntraining:\n  trainer_type: TRL_SFT\n  use_peft: true\npeft:\n"
    "  lora_r: 8\ndata:\n  train:\n"
)
TORCHTUNE = """model:
  _component_: torchtune.models.llama3_1.lora_llama3_1_8b
  lora_attn_modules: ['q_proj']
  lora_rank: 8
tokenizer:
  _component_: torchtune.models.llama3.llama3_tokenizer
"""
LITGPT = "checkpoint_dir: c/d\nlora_r: 8\nlora_query: true\ntrain:\n  epochs: 1\n"
NEMO = """recipe: TrainFinetuneRecipeForNextTokenPrediction
model:
  _target_: nemo_automodel.NeMoAutoModelForCausalLM.from_pretrained
  pretrained_model_name_or_path: a/b
peft:
  _target_: nemo_automodel.components._peft.lora.PeftConfig
  dim: 8
dataset:
  _target_: nemo_automodel.components.datasets.llm.squad.make_squad_dataset
"""
AUTOTRAIN = "task: llm-sft\nbase_model: a/b\nproject_name: x\nparams:\n  peft: true\n  lora_r: 8\ndata:\n"
MLX = "model: a/b\ntrain: true\niters: 100\nnum_layers: 8\nlora_parameters:\n  rank: 8\n  scale: 2.0\n  dropout: 0.0\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose configs stand beside `data`."""
    monkeypatch.chdir(tmp_path)
    lines(tmp_path / "data" / "train.jsonl", 100)
    lines(tmp_path / "data" / "valid.jsonl", 10)
    lines(tmp_path / "one.jsonl", 50)
    (tmp_path / "list.json").write_text(json.dumps([{"a": 1}] * 30))
    return tmp_path


def lines(path: Path, count: int) -> None:
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text('{"text": "x"}\n' * count)


def read(folder: Path, text: str, name: str = "config.yaml") -> Reading:
    path = folder / name
    path.write_text(text)
    (reading,) = Checker(Inputs(), Overrides(isolated=True)).read(str(path))[1]
    return reading


GOOD = [
    (AXOLOTL + "datasets:\n  - path: one.jsonl\n", 50),
    (AXOLOTL + "datasets:\n  - path: one.jsonl\n  - path: list.json\n", 80),
    (AXOLOTL + "datasets:\n  - path: one.jsonl\n    split: train[:20%]\n", 10),
    (AXOLOTL + "datasets:\n  - path: one.jsonl\n    shards: 3\n", 17),
    (AXOLOTL + "datasets:\n  - path: one.jsonl\n    shards: 3\n    shards_idx: 2\n", 16),
    (AXOLOTL + "val_set_size: 0.05\ndatasets:\n  - path: one.jsonl\n", 47),
    (AXOLOTL + "val_set_size: 8\ndatasets:\n  - path: one.jsonl\n", 42),
    (AXOLOTL + "val_set_size: 8\ntest_datasets:\n  - path: list.json\ndatasets:\n  - path: one.jsonl\n", 50),
    (AXOLOTL + "datasets:\n  - path: json\n    data_files: [one.jsonl]\n", 50),
    (AXOLOTL + "datasets:\n  - path: data\n    data_files: [valid.jsonl]\n", 10),
    (AXOLOTL + "datasets:\n  - path: data\n", 100),
    (AXOLOTL + "datasets:\n  - path: tatsu-lab/alpaca\n", 52_002),
    (AXOLOTL + "datasets:\n  - path: openai/gsm8k\n    name: main\n    split: test\n", 1_319),
    (AXOLOTL + "datasets:\n  - path: openai/gsm8k\n    name: main\n    split: train+test\n", 8_792),
    (LLAMAFACTORY + "dataset: identity,alpaca_en_demo\nmax_samples: 500\n", 591),
    (LLAMAFACTORY + "dataset: identity,alpaca_en_demo\nmax_samples: 500\nval_size: 0.1\n", 531),
    (TRL + "dataset_name: HuggingFaceH4/no_robots\n", 9_500),
    (TRL + "dataset_name: HuggingFaceH4/no_robots\ndataset_train_split: test\n", 500),
    (TRL + "dataset_mixer:\n  HuggingFaceH4/no_robots: 0.5\ndataset_splits: [train, test]\n", 4_750),
    (TRL + "dataset_mixture:\n  test_split_size: 10\n  datasets:\n    - path: HuggingFaceH4/no_robots\n"
     "      split: test\n    - path: one.jsonl\n", 540),
    (OUMI + "    datasets:\n      - dataset_name: yahma/alpaca-cleaned\n", 51_760),
    (OUMI + "    datasets:\n      - dataset_name: x\n        dataset_path: one.jsonl\n        sample_count: 80\n", 80),
    (TORCHTUNE + "dataset:\n  _component_: torchtune.datasets.alpaca_cleaned_dataset\n  split: train[:95%]\n", 49_172),
    (TORCHTUNE + "dataset:\n  _component_: torchtune.datasets.chat_dataset\n  source: json\n"
     "  data_files: one.jsonl\n", 50),
    (LITGPT + "data:\n  class_path: litgpt.data.Alpaca2k\n", 1_900),
    (LITGPT + "data:\n  class_path: litgpt.data.JSON\n  init_args:\n    json_path: list.json\n", 28),
    (LITGPT + "data:\n  class_path: litgpt.data.JSON\n  init_args:\n    json_path: list.json\n"
     "    val_split_fraction: 0.5\n", 15),
    (NEMO + "  dataset_name: rajpurkar/squad\n  split: train\n  limit_dataset_samples: 300\n", 300),
    (NEMO + "  dataset_name: rajpurkar/squad\n  split: train[:64]\n", 64),
    (AUTOTRAIN + "  path: HuggingFaceH4/no_robots\n  train_split: test\n", 500),
    (MLX + "data: data\n", 100),
    (MLX + "hf_dataset:\n  path: HuggingFaceH4/no_robots\n", 7_600),
    (("loraplan: 1\nadapter:\n  r: 8\nmodel:\n  name: a/b\ndata:\n  datasets: [one.jsonl, list.json]\n  val_size: 0.1\n"
     "  max_samples: 60\n"), 54),
]  # fmt: skip


@pytest.mark.parametrize(("text", "examples"), GOOD)
def test_examples_of_a_config(folder: Path, text: str, examples: int) -> None:
    found = size(read(folder, text))
    assert found.examples == examples
    assert "rows of" in found.how or "drawn from" in found.how


UNKNOWN = [
    (AXOLOTL + "datasets:\n  - path: one.jsonl\n  - path: acme/unseen\n", "size of acme/unseen is not known"),
    (AXOLOTL + "datasets:\n  - path: gone.jsonl\n", "gone.jsonl is not here"),
    (AXOLOTL + "datasets:\n  - path: s3://bucket/a.jsonl\n", "is not downloaded"),
    (AXOLOTL + "datasets:\n  - path: one.jsonl\n    split: test\n", "a single file has the split train alone"),
    (AXOLOTL + "datasets:\n  - path: one.jsonl\n    split: train[5]\n", "cannot be read"),
    (AXOLOTL + "datasets:\n  - path: openai/gsm8k\n    name: other\n", "subset other is not known"),
    (AXOLOTL + "datasets:\n  - path: HuggingFaceH4/ultrachat_200k\n", "split train is not known"),
    (AXOLOTL + "dataset_exact_deduplication: true\ndatasets:\n  - path: one.jsonl\n", "duplicates are dropped"),
    (AXOLOTL + "streaming: true\ndatasets:\n  - path: one.jsonl\n", "the data are streamed"),
    (AXOLOTL + "rl: grpo\ndatasets:\n  - path: one.jsonl\n", "a prompt gives several completions"),
    (AXOLOTL + "datasets:\n  - path: one.jsonl\n    type: completion\n", "texts are cut into blocks"),
    (AXOLOTL + "val_set_size: 80\ndatasets:\n  - path: one.jsonl\n", "no example is left"),
    (LLAMAFACTORY + "dataset: identity,acme\n", "size of LLaMA-Factory/acme is not known"),
    (LLAMAFACTORY + "dataset: identity,alpaca_en_demo\nmix_strategy: interleave_over\n", "mixed by interleave_over"),
    (TRL + "dataset_mixture:\n  datasets:\n    - path: one.jsonl\n      fraction: 0.5\n", "mixed by weight"),
    (TRL, "no dataset is named"),
    (OUMI + "    datasets:\n      - dataset_name: x\n        mixture_proportion: 0.5\n", "mixed by proportion"),
    (LITGPT + "data:\n  class_path: litgpt.data.FLAN\n", "litgpt's FLAN is not known"),
]


@pytest.mark.parametrize(("text", "reason"), UNKNOWN)
def test_what_is_not_certain_is_unknown(folder: Path, text: str, reason: str) -> None:
    with pytest.raises(UnknownSizeError, match=reason):
        size(read(folder, text))


def test_ms_swift_draws_as_many_as_it_is_told(folder: Path) -> None:
    command = (
        "swift sft --model a/b --train_type lora --dataset 'AI-ModelScope/x#500' one.jsonl#20 tatsu-lab/alpaca#7\n"
    )
    found = size(read(folder, command, "train.sh"))
    assert (found.examples, found.how) == (
        527,
        "500 drawn from AI-ModelScope/x + 20 drawn from one.jsonl + 7 drawn from tatsu-lab/alpaca",
    )


def test_dataset_info_explains_the_names_of_llama_factory(folder: Path) -> None:
    info = {
        "mine": {"file_name": "train.jsonl"},
        "hub": {"hf_hub_url": "HuggingFaceH4/no_robots", "split": "test"},
        "drawn": {"file_name": "train.jsonl", "num_samples": 250},
        "cloud": {"cloud_file_name": "s3://x"},
        "identity": {"file_name": "identity.json"},
    }
    (folder / "data" / "dataset_info.json").write_text(json.dumps(info))
    (folder / "examples").mkdir()
    for names, examples in (("mine", 100), ("mine,hub", 600), ("drawn", 250), ("identity", 91)):
        assert size(read(folder, LLAMAFACTORY + f"dataset: {names}\n", "examples/a.yaml")).examples == examples
    assert size(read(folder, LLAMAFACTORY + "dataset: drawn,mine\nmax_samples: 40\n")).examples == 80
    for names, reason in (("cloud", "from a cloud"), ("nobody", "has no nobody")):
        with pytest.raises(UnknownSizeError, match=reason):
            size(read(folder, LLAMAFACTORY + f"dataset: {names}\n"))
    (folder / "data" / "dataset_info.json").write_text("[")
    with pytest.raises(UnknownSizeError, match="cannot be read"):
        size(read(folder, LLAMAFACTORY + "dataset: mine\n"))
    other = LLAMAFACTORY + "dataset: mine\ndataset_dir: REMOTE:a/b\n"
    with pytest.raises(UnknownSizeError, match="is not downloaded"):
        size(read(folder, other))


def test_a_folder_gives_the_files_of_its_split(folder: Path) -> None:
    config = AXOLOTL + "datasets:\n  - path: shards\n"
    lines(folder / "shards" / "part-00000.jsonl", 3)
    lines(folder / "shards" / "deeper" / "part-00001.jsonl", 4)
    lines(folder / "shards" / ".cache" / "part.jsonl", 5)
    assert size(read(folder, config)).how == "7 rows of shards (2 files)"
    lines(folder / "shards" / "test" / "part-00002.jsonl", 6)
    lines(folder / "shards" / "train-00003.jsonl", 2)
    assert size(read(folder, config)).examples == 2
    assert size(read(folder, config + "    split: test\n")).examples == 6
    with pytest.raises(UnknownSizeError, match="no file of the split validation"):
        size(read(folder, config + "    split: validation\n"))
    (folder / "shards" / "x.csv").write_text("a\n1\n")
    with pytest.raises(UnknownSizeError, match="several kinds"):
        size(read(folder, config))
    (folder / "shards" / "x.csv").rename(folder / "shards" / "x.arrow")
    with pytest.raises(UnknownSizeError, match=r"\.arrow files, which are not counted"):
        size(read(folder, config))
    (folder / "shards" / "state.json").write_text("{}")
    with pytest.raises(UnknownSizeError, match="saved as Arrow files"):
        size(read(folder, config))


def test_beside_the_config_comes_before_the_working_directory(folder: Path) -> None:
    lines(folder / "sub" / "one.jsonl", 7)
    config = AXOLOTL + "datasets:\n  - path: one.jsonl\n"
    assert size(read(folder, config, "sub/config.yaml")).examples == 7
    (folder / "sub" / "one.jsonl").unlink()
    assert size(read(folder, config, "sub/config.yaml")).examples == 50


def test_a_script_that_changes_its_data_is_not_followed(folder: Path) -> None:
    script = (
        "from datasets import load_dataset\nfrom peft import LoraConfig\nfrom trl import SFTConfig, SFTTrainer\n"
        'data = load_dataset("tatsu-lab/alpaca", split="train")\n'
        "trainer = SFTTrainer(model='a/b', args=SFTConfig(), train_dataset=data, peft_config=LoraConfig(r=8))\n"
    )
    assert size(read(folder, script, "train.py")).examples == 52_002
    with pytest.raises(UnknownSizeError, match="the script changes what it loads"):
        size(read(folder, script + "data = data.select(range(10))\n", "train.py"))


def test_the_given_size_wins_and_is_capped(folder: Path) -> None:
    def facts(text: str, given: int | None) -> Facts:
        reading = read(folder, text)
        return Facts(reading, Inputs(dataset_size=given), {}, lambda _: reading)

    text = LLAMAFACTORY + "dataset: identity,alpaca_en_demo\nmax_samples: 500\n"
    assert facts(text, 300).dataset() == (300, "--dataset-size")
    assert facts(text, 5_000).dataset() == (1_000, "--dataset-size 5,000, capped at 1,000")
    assert facts(text, None).dataset().examples == 591
    with pytest.raises(Skip, match=r"dataset size unknown: no dataset is named \(--dataset-size gives it\)"):
        facts(TRL, None).dataset()


@pytest.mark.parametrize(
    ("split", "taken"),
    [
        ("train[:10]", 10), ("train[10:]", 40), ("train[-10:]", 10), ("train[:-10]", 40), ("train[10:20]", 10),
        ("train[:10%]", 5), ("train[90%:]", 5), ("train[-10%:]", 5), ("train[33%:66%]", 17), ("train[:]", 50),
        ("train[60:70]", 0), ("train[:500]", 50), ("train[20:10]", 0), ("train[-500:]", 50), ("train[1%:2%]", 1),
        ("train[4:50%]", 23),
    ],
)  # fmt: skip
def test_slices(split: str, taken: int) -> None:
    assert apply(split, 50) == taken


@pytest.mark.parametrize("split", ["train[5]", "train[:10]+test[:10]", "train[::2]", "train[:101%]", "train[a:b]"])
def test_a_slice_that_is_none_is_a_reason(split: str) -> None:
    with pytest.raises(UnknownSizeError):
        apply(split, 50)


@pytest.mark.slow
def test_slices_and_what_is_held_out_agree_with_datasets() -> None:
    datasets = pytest.importorskip("datasets")
    whole = datasets.Dataset.from_dict({"a": list(range(53))})
    instructions = [f"train[{a}:{b}]" for a in ("", "3", "-7", "10%", "-30%") for b in ("", "40", "-3", "77%", "-5%")]
    for split in instructions:
        parsed = datasets.ReadInstruction.from_spec(split).to_absolute({"train": 53})
        (part,) = parsed
        assert apply(split, 53) == max(0, part.to - part.from_), split
    for share in (0.05, 0.1, 0.33, 0.02, 7):
        assert len(whole.train_test_split(test_size=share)["train"]) == 53 - held_out(share, 53)


def test_every_row_of_the_table_has_its_source() -> None:
    assert len(table()) > 30
    for name, row in table().items():
        assert set(row) <= {"splits", "source", "subsets", "about"}, name
        assert len(row["source"]) > 10, name
        assert row["splits"], name
        assert all(isinstance(count, int) and count > 0 for count in row["splits"].values()), name


def test_a_file_is_counted_once_until_it_changes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reading = read(folder, AXOLOTL + "datasets:\n  - path: one.jsonl\n")
    calls: list[str] = []

    def counted(path: str) -> int:
        calls.append(path)
        return count(path)

    monkeypatch.setattr("loraplan.datasets.files.count", counted)
    assert [size(reading).examples for _ in range(3)] == [50, 50, 50]
    lines(folder / "one.jsonl", 51)
    assert size(reading).examples == 51
    assert len(calls) == 2


ODD = st.recursive(
    st.sampled_from(
        [None, True, False, 0, -1, 3, 1e308, "", "a", "one.jsonl", "train[:", "${x}", "../", "/", ".", "a#5"]
    ),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["path", "split", "a"]), inner, max_size=2)
    ),
    max_leaves=4,
)
KEYS = (
    "datasets dataset dataset_dir dataset_name dataset_mixer dataset_mixer_list dataset_mixture dataset_splits data"
    " shards split path max_samples val_size val_set_size mix_strategy hf_dataset dataset_train_split streaming"
).split()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    base=st.sampled_from([AXOLOTL, LLAMAFACTORY, TRL, TORCHTUNE, LITGPT, MLX, "loraplan: 1\nadapter:\n  r: 8\n"]),
    values=st.dictionaries(st.sampled_from(KEYS), ODD, min_size=1, max_size=4),
)
def test_whatever_stands_there_gives_a_number_or_a_reason(folder: Path, base: str, values: dict[str, object]) -> None:
    text = base + "".join(f"{key}: {json.dumps(value)}\n" for key, value in values.items())
    (folder / "config.yaml").write_text(text)
    try:
        readings = Checker(Inputs(), Overrides(isolated=True)).read(str(folder / "config.yaml"))[1]
    except NotAConfig:
        return
    for reading in readings:
        assert _outcome(reading)


def _outcome(reading: Reading) -> int | str:
    try:
        return max(0, size(reading).examples)
    except UnknownSizeError as reason:
        return str(reason)
