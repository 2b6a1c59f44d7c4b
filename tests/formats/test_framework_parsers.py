"""What the readers resolve equals what the frameworks' own parsers resolve from the same file.

Needs the frameworks beside the tests (LLaMA-Factory and axolotl pin other versions of transformers, so each is tested
where it can be imported): nothing here trains or loads a model.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from loraplan.formats.reading import Reading
from loraplan.plan import get
from tests.formats.reader import read_one

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


def _same(reading: Reading, resolved: dict[str, Any]) -> None:
    found = {field: get(reading.plan, field) for field in resolved}
    assert found == resolved


TRL_FILES = {
    "bare": "model_name_or_path: acme/P\nuse_peft: true\ndataset_name: d\npacking: false\noutput_dir: OUT\n",
    "qlora": (
        "model_name_or_path: acme/P\ndtype: bfloat16\nuse_peft: true\nload_in_4bit: true\nuse_bnb_nested_quant: true\n"
        "lora_r: 64\nlora_alpha: 16\nlora_dropout: 0.1\nlora_target_modules: [all-linear]\ndataset_name: d\n"
        "learning_rate: 2e-4\nlr_scheduler_type: cosine\nwarmup_steps: 0.1\nnum_train_epochs: 2\nmax_length: 2048\n"
        "per_device_train_batch_size: 2\ngradient_accumulation_steps: 8\ngradient_checkpointing: false\npacking: true\n"
        "weight_decay: 0.01\noutput_dir: OUT\n"
    ),
    "list": (
        "model_name_or_path: acme/P\nuse_peft: true\nlora_target_modules: [q_proj, v_proj]\nuse_rslora: true\n"
        "lora_modules_to_save: [lm_head]\ndataset_name: d\nfp16: true\nmax_steps: 100\nwarmup_steps: 10\n"
        "packing: false\noptim: adamw_8bit\noutput_dir: OUT\n"
    ),
}


@pytest.mark.parametrize("name", TRL_FILES)
def test_trl(name: str, tmp_path: Path) -> None:
    trl = pytest.importorskip("trl", minversion="1.16")
    text = TRL_FILES[name].replace("OUT", str(tmp_path / "out"))
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    parser = trl.TrlParser((trl.ScriptArguments, trl.SFTConfig, trl.ModelConfig))
    _, training, model = parser.parse_args_and_config(["--config", str(path), "--use_cpu", "true"])
    targets = model.lora_target_modules
    ratio = 0 < training.warmup_steps < 1
    _same(
        read_one("trl", text, str(path)),
        {
            "model.name": model.model_name_or_path,
            "model.dtype": model.dtype,
            "adapter.r": model.lora_r,
            "adapter.alpha": model.lora_alpha,
            "adapter.dropout": model.lora_dropout,
            "adapter.target_modules": tuple(targets) if isinstance(targets, list) else targets,
            "adapter.modules_to_save": tuple(model.lora_modules_to_save) if model.lora_modules_to_save else None,
            "adapter.use_rslora": model.use_rslora,
            "quantization.load_in_4bit": model.load_in_4bit,
            "quantization.quant_type": model.bnb_4bit_quant_type,
            "quantization.double_quant": model.use_bnb_nested_quant,
            **_training(training),
            "schedule.warmup_ratio": training.warmup_steps if ratio else None,
            "schedule.warmup_steps": 0 if ratio else training.warmup_steps,
            "data.max_length": training.max_length,
            "data.packing": training.packing,
            "precision.bf16": training.bf16,
        },
    )


def _training(arguments: Any) -> dict[str, Any]:
    """What every trainer's arguments have, as fields of the Plan."""
    return {
        "optimizer.learning_rate": arguments.learning_rate,
        "optimizer.name": getattr(arguments.optim, "value", arguments.optim),
        "optimizer.weight_decay": arguments.weight_decay,
        "optimizer.beta2": arguments.adam_beta2,
        "optimizer.max_grad_norm": arguments.max_grad_norm,
        "schedule.name": getattr(arguments.lr_scheduler_type, "value", arguments.lr_scheduler_type),
        "schedule.epochs": arguments.num_train_epochs,
        "schedule.max_steps": arguments.max_steps if arguments.max_steps > 0 else None,
        "batch.micro_batch_size": arguments.per_device_train_batch_size,
        "batch.gradient_accumulation_steps": arguments.gradient_accumulation_steps,
        "precision.fp16": arguments.fp16,
        "precision.gradient_checkpointing": arguments.gradient_checkpointing,
        "run.seed": arguments.seed,
        "run.logging_steps": arguments.logging_steps,
        "run.save_steps": arguments.save_steps,
        "run.eval_strategy": getattr(arguments.eval_strategy, "value", arguments.eval_strategy),
    }


@pytest.mark.parametrize("method", ["dpo", "grpo", "reward", "kto"])
def test_trl_learning_rates(method: str, tmp_path: Path) -> None:
    trl = pytest.importorskip("trl", minversion="1.16")
    config = {"dpo": "DPOConfig", "grpo": "GRPOConfig", "reward": "RewardConfig", "kto": "KTOConfig"}[method]
    arguments = getattr(trl, config)(output_dir=str(tmp_path), use_cpu=True)
    text = "model_name_or_path: acme/P\nuse_peft: true\ndataset_name: d\noutput_dir: o\n"
    reading = read_one("trl", text, f"recipes/{method}/config.yaml")
    expected = {"method": method, "optimizer.learning_rate": arguments.learning_rate}
    if method != "reward":
        expected["precision.gradient_checkpointing"] = arguments.gradient_checkpointing
    if method != "grpo":
        expected["data.max_length"] = arguments.max_length
    if method == "reward":
        reading = read_one("trl", text + "center_rewards_coefficient: 0.1\n")
    _same(reading, expected)


@pytest.mark.parametrize("extra", [{}, {"warmup_steps": 0.05, "lr_scheduler_type": "cosine"}, {"max_steps": 50}])
def test_hf_argument_parser(extra: dict[str, Any], tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", minversion="5.15")
    values = {"output_dir": str(tmp_path), "per_device_train_batch_size": 4, "learning_rate": 1e-4, **extra}
    path = tmp_path / "arguments.json"
    path.write_text(json.dumps({**values, "use_cpu": True}))
    (arguments,) = transformers.HfArgumentParser(transformers.TrainingArguments).parse_json_file(str(path))
    reading = read_one("hf-args", json.dumps({**values, "lora_r": 8}), "arguments.json")
    ratio = 0 < arguments.warmup_steps < 1
    _same(
        reading,
        {
            **_training(arguments),
            "precision.bf16": arguments.bf16,
            "schedule.warmup_ratio": arguments.warmup_steps if ratio else None,
            "schedule.warmup_steps": 0 if ratio else arguments.warmup_steps,
        },
    )


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"r": 64, "lora_alpha": 16, "lora_dropout": 0.1, "target_modules": ["q_proj", "v_proj"], "bias": "lora_only"},
        {"target_modules": "all-linear", "use_rslora": True, "init_lora_weights": "pissa"},
    ],
)
def test_peft(values: dict[str, Any], tmp_path: Path) -> None:
    peft = pytest.importorskip("peft", minversion="0.21")
    text = json.dumps({"peft_type": "LORA", "task_type": "CAUSAL_LM", **values})
    (tmp_path / "adapter_config.json").write_text(text)
    config = peft.PeftConfig.from_pretrained(str(tmp_path))
    targets = config.target_modules
    _same(
        read_one("peft", text, "adapter_config.json"),
        {
            "adapter.r": config.r,
            "adapter.alpha": config.lora_alpha,
            "adapter.dropout": config.lora_dropout,
            "adapter.bias": config.bias,
            "adapter.use_rslora": config.use_rslora,
            "adapter.use_dora": config.use_dora,
            "adapter.lora_bias": config.lora_bias,
            "adapter.init": str(config.init_lora_weights).lower(),
            "adapter.fan_in_fan_out": config.fan_in_fan_out,
        },
    )
    found = read_one("peft", text, "adapter_config.json").plan.adapter.target_modules
    assert (set(found) if isinstance(found, tuple) else found) == targets


LLAMAFACTORY_FILES = {
    "bare": {},
    "qlora": {
        "quantization_bit": 4,
        "lora_rank": 64,
        "lora_alpha": 16,
        "lora_dropout": 0.1,
        "lora_target": "q_proj,v_proj",
        "learning_rate": 1e-4,
        "lr_scheduler_type": "cosine",
        "warmup_ratio": 0.1,
        "num_train_epochs": 2.0,
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": 8,
        "disable_gradient_checkpointing": True,
        "cutoff_len": 1024,
    },
    "rank only": {"lora_rank": 32, "use_rslora": True, "additional_target": "embed_tokens,lm_head", "max_steps": 30},
}


@pytest.mark.parametrize("name", LLAMAFACTORY_FILES)
def test_llamafactory(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISABLE_VERSION_CHECK", "1")  # it also pins accelerate, datasets and trl, which are not used
    hparams = pytest.importorskip("llamafactory.hparams", exc_type=ImportError)
    omegaconf = pytest.importorskip("omegaconf")
    transformers = pytest.importorskip("transformers")
    base = {"model_name_or_path": "acme/P", "stage": "sft", "finetuning_type": "lora", "template": "p", "dataset": "d"}
    text = yaml.safe_dump({**base, "output_dir": str(tmp_path), **LLAMAFACTORY_FILES[name]})
    values = omegaconf.OmegaConf.to_container(omegaconf.OmegaConf.create(text))
    kinds = (hparams.ModelArguments, hparams.DataArguments, hparams.TrainingArguments, hparams.FinetuningArguments)
    parser = transformers.HfArgumentParser(kinds)
    model, data, training, finetuning = parser.parse_dict({**values, "use_cpu": True})
    targets = tuple(finetuning.lora_target)
    warmup = getattr(training, "warmup_steps", 0)
    reading = read_one("llamafactory", text)
    resolved = _training(training)
    resolved["precision.gradient_checkpointing"] = not model.disable_gradient_checkpointing
    _same(
        reading,
        {
            **resolved,
            "adapter.method": finetuning.finetuning_type,
            "adapter.r": finetuning.lora_rank,
            "adapter.alpha": finetuning.lora_alpha,
            "adapter.dropout": finetuning.lora_dropout,
            "adapter.target_modules": "all-linear" if targets == ("all",) else targets,
            "adapter.use_rslora": finetuning.use_rslora,
            "quantization.bits": model.quantization_bit,
            "data.max_length": data.cutoff_len,
            "data.max_samples": data.max_samples,
            "data.train_on_prompt": data.train_on_prompt,
            "precision.bf16": training.bf16,
        },
    )
    schedule = reading.plan.schedule
    assert warmup == (schedule.warmup_steps or schedule.warmup_ratio or 0)


AXOLOTL_FILES = {
    "bare": "micro_batch_size: 1\ngradient_accumulation_steps: 1\n",
    "qlora": (
        "adapter: qlora\nload_in_4bit: true\nlora_r: 32\nlora_alpha: 16\nlora_dropout: 0.05\n"
        "lora_target_modules: [q_proj, v_proj]\nsequence_len: 4096\nsample_packing: true\nmicro_batch_size: 2\n"
        "gradient_accumulation_steps: 4\nnum_epochs: 3\noptimizer: adamw_bnb_8bit\nlr_scheduler: linear\n"
        "warmup_ratio: 0.1\nweight_decay: 0.01\ngradient_checkpointing: true\nbf16: true\nval_set_size: 0.1\n"
    ),
    "lora": (
        "adapter: lora\nload_in_8bit: true\nlora_r: 8\nlora_alpha: 16\nlora_target_linear: true\nmicro_batch_size: 1\n"
        "gradient_accumulation_steps: 2\nmax_steps: 20\nwarmup_steps: 5\nflash_attention: true\nrl_beta: 0.1\nrl: dpo\n"
    ),
}


@pytest.mark.parametrize("name", AXOLOTL_FILES)
def test_axolotl(name: str) -> None:
    schemas = pytest.importorskip("axolotl.utils.schemas.config", exc_type=ImportError)
    text = "base_model: acme/P\ndatasets:\n  - path: d\n    type: alpaca\nlearning_rate: 2e-4\n" + AXOLOTL_FILES[name]
    config = schemas.AxolotlInputConfig(**yaml.safe_load(text))
    reading = read_one("axolotl", text)
    targets = "all-linear" if config.lora_target_linear else config.lora_target_modules
    trained = config.adapter is not None
    _same(
        reading,
        {
            "model.name": config.base_model,
            "model.attn_implementation": config.attn_implementation,
            "adapter.method": "lora" if trained else "none",
            "adapter.r": config.lora_r,
            "adapter.alpha": config.lora_alpha,
            "adapter.dropout": config.lora_dropout if trained else None,
            "adapter.target_modules": tuple(targets) if isinstance(targets, list) else targets,
            "quantization.load_in_4bit": config.load_in_4bit,
            "quantization.load_in_8bit": config.load_in_8bit,
            "optimizer.learning_rate": config.learning_rate,
            "optimizer.name": getattr(config.optimizer, "value", config.optimizer),
            "optimizer.weight_decay": config.weight_decay,
            "schedule.name": config.lr_scheduler,
            "schedule.epochs": config.num_epochs,
            "schedule.max_steps": config.max_steps,
            "schedule.warmup_steps": config.warmup_steps,
            "batch.micro_batch_size": config.micro_batch_size,
            "batch.gradient_accumulation_steps": config.gradient_accumulation_steps,
            "data.max_length": config.sequence_len,
            "data.packing": bool(config.sample_packing),
            "data.val_size": config.val_set_size,
            "precision.gradient_checkpointing": config.gradient_checkpointing,
            "run.output_dir": config.output_dir,
            "method": config.rl.value if config.rl else "sft",
        },
    )
    given = config.warmup_ratio
    default = None if config.warmup_steps is not None else 0.03
    assert reading.plan.schedule.warmup_ratio == (given if given is not None else default)
