from __future__ import annotations

import json
from pathlib import Path

import pytest

from loraplan.arch import catalogue
from loraplan.arch.convert import default_targets
from loraplan.arch.families import FAMILIES, describe
from loraplan.arch.sources import resolve

FOLDER = Path(catalogue.__file__).parent


def test_size_of_the_catalogue() -> None:
    assert len(catalogue.names()) >= 150
    assert (FOLDER / "models.json").stat().st_size < 100_000


def test_every_row_describes_a_model_and_has_a_source() -> None:
    for row in catalogue.all_rows():
        assert row.config["model_type"] in FAMILIES
        assert len(row.source.removeprefix("catalogue: ")) > 5
        problems: list[str] = []
        assert resolve(row.name, base_dir=Path("/nowhere"), problems=problems) is not None, row.name
        assert problems == []


def test_aliases_lead_to_names() -> None:
    table = json.loads((FOLDER / "models.json").read_text())
    assert {published for published, _ in table["aliases"].values()} <= set(table["models"])
    assert set(table["models"].values()) == set(range(len(table["rows"])))
    cited = {source for source, _ in table["rows"]} | {source for _, source in table["aliases"].values()}
    assert cited == set(range(len(table["sources"])))


def test_an_alias_says_where_it_was_read() -> None:
    row = catalogue.lookup("unsloth/zephyr-sft-bnb-4bit")
    assert row is not None
    assert (row.name, row.prequantized) == ("HuggingFaceH4/mistral-7b-sft-beta", "bnb-4bit")
    assert "unsloth 2026.10.9 models/mapper.py" in row.source


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("meta-llama/Llama-2-7b-hf", 6_738_415_616),
        ("meta-llama/Llama-3.1-8B", 8_030_261_248),
        ("meta-llama/Llama-3.1-70B", 70_553_706_496),
        ("meta-llama/Llama-3.2-1B", 1_235_814_400),
        ("meta-llama/Llama-3.2-3B", 3_212_749_824),
        ("mistralai/Mistral-7B-v0.1", 7_241_732_096),
        ("mistralai/Mistral-Nemo-Base-2407", 12_247_782_400),
        ("mistralai/Mixtral-8x7B-v0.1", 46_702_792_704),
        ("Qwen/Qwen2.5-0.5B", 494_032_768),
        ("Qwen/Qwen2.5-7B", 7_615_616_512),
        ("Qwen/Qwen3-8B", 8_190_735_360),
        ("Qwen/Qwen3-30B-A3B", 30_532_122_624),
        ("Qwen/Qwen1.5-MoE-A2.7B", 14_315_784_192),
        ("google/gemma-2-9b", 9_241_705_984),
        ("google/gemma-3-4b-it", 4_300_079_472),
        # 5_439_438_272 in the files, with the keys and values of ten layers that reuse those of others.
        ("google/gemma-3n-E2B-it", 5_418_464_192),
        ("microsoft/phi-2", 2_779_683_840),
        ("microsoft/Phi-3-mini-4k-instruct", 3_821_079_552),
        ("microsoft/phi-4", 14_659_507_200),
        ("EleutherAI/pythia-1.4b", 1_414_647_808),
        ("TinyLlama/TinyLlama-1.1B-Chat-v1.0", 1_100_048_384),
        ("HuggingFaceTB/SmolLM2-135M", 134_515_008),
        ("bigscience/bloom-3b", 3_002_557_440),
        ("openai-community/gpt2", 124_439_808),
        ("t5-small", 60_506_624),
        ("bigcode/starcoder2-7b", 7_173_923_840),
        ("deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B", 1_777_088_000),
        ("openai/gpt-oss-20b", 20_914_757_184),
        ("THUDM/chatglm3-6b", 6_243_584_000),
        ("internlm/internlm-20b", 20_088_714_240),
        ("internlm/internlm2-chat-1_8b", 1_889_110_016),
        ("internlm/internlm2-7b", 7_737_708_544),
        ("internlm/internlm2-20b", 19_861_149_696),
        ("baichuan-inc/Baichuan-7B", 7_000_559_616),
        ("baichuan-inc/Baichuan-13B-Chat", 13_264_901_120),
        ("cerebras/Cerebras-GPT-1.3B", 1_315_723_264),
        ("h2oai/h2o-danube2-1.8b-base", 1_831_201_280),
        ("Qwen/Qwen1.5-0.5B", 463_987_712),
        ("Qwen/Qwen1.5-110B", 111_209_914_368),
        ("baichuan-inc/Baichuan2-7B-Base", 7_505_973_248),
        ("tiiuae/Falcon-H1-7B-Instruct", 7_585_648_736),
        ("microsoft/Phi-3.5-vision-instruct", 4_146_621_440),
        ("Qwen/Qwen-1_8B", 1_836_828_672),
        ("Qwen/Qwen-7B-Chat", 7_721_324_544),
        ("Qwen/Qwen-14B-Chat-Int4", 14_167_290_880),
        ("Qwen/Qwen-72B", 72_287_920_128),
        ("mistralai/Ministral-8B-Instruct-2410", 8_019_808_256),
        ("ByteDance-Seed/Seed-OSS-36B-Instruct", 36_151_104_512),
        ("allenai/Olmo-3-7B-Instruct-SFT", 7_298_011_136),
        ("baichuan-inc/Baichuan2-13B-Chat", 13_896_668_160),
        ("LiquidAI/LFM2.5-1.2B-Base", 1_170_340_608),
    ],
)
def test_published_parameter_counts(name: str, parameters: int) -> None:
    found = resolve(name, base_dir=None)
    assert found is not None
    assert found.parameters == parameters


def test_the_first_qwen_under_both_namings() -> None:
    earlier = {"model_type": "qwen", "n_embd": 4096, "n_layer": 32, "n_head": 32, "ffn_hidden_size": 22016}
    before, after = describe(earlier), resolve("Qwen/Qwen-7B", base_dir=None)
    assert before is not None
    assert after is not None
    assert before.modules == after.modules
    assert {m.role: m.shape for m in after.modules if m.part == "mlp"} == {
        "up": (4096, 11008),
        "gate": (4096, 11008),
        "down": (11008, 4096),
    }
    quantized = resolve("Qwen/Qwen-7B-Chat-Int8", base_dir=None)
    assert quantized is not None
    assert quantized.prequantized == "gptq"


def test_default_targets_have_three_forms() -> None:
    assert default_targets("llama") == ("q_proj", "v_proj")
    assert default_targets("gemma4") == r".*language_model\..*\.(q_proj|v_proj)"
    assert default_targets("phi3") is None


@pytest.mark.parametrize(
    ("name", "model", "prequantized"),
    [
        ("TechxGenus/Meta-Llama-3-8B-GPTQ", "meta-llama/Meta-Llama-3-8B", "gptq"),
        ("someone/Qwen2.5-7B-Instruct-AWQ", "Qwen/Qwen2.5-7B-Instruct", "awq"),
        ("hugging-quants/Meta-Llama-3.1-405B-BNB-NF4-BF16", "meta-llama/Meta-Llama-3.1-405B", "bnb-4bit"),
        ("axolotl-quants/DeepSeek-V2.5-bnb-nf4-bf16", "deepseek-ai/DeepSeek-V2.5", "bnb-4bit"),
        ("openlm-research/open_llama_3b_v2", "openlm-research/open_llama_3b", None),
        ("/workspace/models/llama-3-8b", "meta-llama/Meta-Llama-3-8B", None),
        ("deepcogito/cogito-v1-preview-llama-3B", "deepcogito/cogito-v1-preview-llama-3B", None),
    ],
)
def test_copies_and_directories(name: str, model: str, prequantized: str | None) -> None:
    row = catalogue.lookup(name)
    assert row is not None
    assert (row.name, row.prequantized) == (model, prequantized)


@pytest.mark.parametrize("name", ["axolotl-ai-co/gpt-oss-120b-dequantized", "unsloth/gpt-oss-20b-BF16"])
def test_a_copy_without_the_originals_quantization(name: str) -> None:
    found, original = resolve(name, base_dir=None), resolve("openai/gpt-oss-20b", base_dir=None)
    assert found is not None
    assert original is not None
    assert (found.prequantized, original.prequantized) == (None, "mxfp4")


def test_the_first_internlm_has_biases_on_its_attention_alone() -> None:
    found = resolve("internlm/internlm-7b", base_dir=None)
    assert found is not None
    assert {m.name.rpartition(".")[2] for m in found.modules if m.bias} == {"q_proj", "k_proj", "v_proj", "o_proj"}


@pytest.mark.parametrize(
    "name",
    [
        "someone/Meta-Llama-3-8B",
        "someone/My-Meta-Llama-3-8B-GPTQ",
        "someone/Meta-Llama-3-8B-BF16",
        "someone/llama-3-8b",
    ],
)
def test_names_that_could_be_another_model_are_unknown(name: str) -> None:
    assert catalogue.lookup(name) is None


def test_cogito_has_a_head_of_its_own() -> None:
    found = resolve("deepcogito/cogito-v1-preview-llama-3B", base_dir=None)
    assert found is not None
    assert found.parameters == 3_606_752_256
