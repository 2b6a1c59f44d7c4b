"""What the Plan says, against what the framework's own parser makes of the same file.

Each test needs its framework on the path (`pip install --no-deps --target DIR ...` and `PYTHONPATH=DIR`); those whose
package pulls in an accelerator's runtime are read from source instead of imported.
"""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import yaml

from loraplan.formats.reading import Reading
from loraplan.plan import get
from tests.formats.reader import corpus, read_one

pytestmark = pytest.mark.slow

_SIZE = ("adapter.r", "adapter.alpha", "adapter.dropout")


def source(package: str, file: str) -> str:
    """The text of a file of an installed package; skips the test where the package is missing."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        pytest.skip(f"{package} is not installed")
    return (Path(next(iter(spec.submodule_search_locations))) / file).read_text(encoding="utf-8")


def constants(text: str, name: str) -> dict[str, Any]:
    """The literal defaults of a class's fields, or of a function's parameters."""
    found: dict[str, Any] = {}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ClassDef) and node.name == name:
            for item in node.body:
                if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name) and item.value is not None:
                    found[item.target.id] = _literal(item.value)
        elif isinstance(node, ast.FunctionDef) and node.name == name:
            names = [argument.arg for argument in node.args.args][-len(node.args.defaults) :]
            found.update(zip(names, map(_literal, node.args.defaults), strict=True))
    return found


def _literal(node: ast.expr) -> Any:
    if isinstance(node, ast.Call):
        defaults = {keyword.arg: keyword.value for keyword in node.keywords}
        if "default" in defaults:
            return _literal(defaults["default"])
        return {keyword.arg: _literal(keyword.value) for keyword in node.keywords if keyword.arg}
    try:
        return ast.literal_eval(node)
    except ValueError:
        return ast.unparse(node)


def same(reading: Reading, expected: dict[str, Any]) -> None:
    """Every expected field has the framework's value."""
    found = {field: get(reading.plan, field) for field in expected}
    assert found == expected


def module_from(text: str, name: str, stubs: dict[str, types.ModuleType] | None = None) -> types.ModuleType:
    """A module made of the framework's own source, with stand-ins for imports it does not need here."""
    module = types.ModuleType(name)
    replaced = {key: sys.modules.get(key) for key in (*(stubs or {}), name)}
    sys.modules.update({**(stubs or {}), name: module})
    try:
        exec(compile(text, name, "exec"), module.__dict__)
    finally:
        for key, before in replaced.items():
            if before is None:
                sys.modules.pop(key, None)
            else:
                sys.modules[key] = before
    return module


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", corpus("oumi"), ids=lambda path: path.name)
def test_oumi(path: Path) -> None:
    pytest.importorskip("torch")
    source("oumi", "__init__.py")
    training_config = pytest.importorskip("oumi.core.configs.training_config")
    config = training_config.TrainingConfig.from_yaml(path)
    training, peft = config.training, config.peft
    lora = peft.to_lora()
    quantized = peft.to_bits_and_bytes() if peft.q_lora else None
    reading = read_one("oumi", path.read_text(encoding="utf-8"), path.name)
    warmup = training._get_warmup_kwargs()
    ratio = training.warmup_ratio if not training.warmup_steps else None
    same(
        reading,
        {
            "model.name": config.model.model_name,
            "adapter.method": "lora" if training.use_peft else "none",
            "adapter.r": lora.r,
            "adapter.alpha": lora.lora_alpha,
            "adapter.dropout": lora.lora_dropout,
            "adapter.bias": lora.bias,
            "adapter.init": str(lora.init_lora_weights).lower(),
            "optimizer.learning_rate": training.learning_rate,
            "optimizer.name": training.optimizer,
            "optimizer.weight_decay": training.weight_decay,
            "optimizer.max_grad_norm": training.max_grad_norm,
            "schedule.name": str(training.lr_scheduler_type),
            "schedule.epochs": training.num_train_epochs,
            "schedule.max_steps": training.max_steps if training.max_steps > 0 else None,
            "batch.micro_batch_size": training.per_device_train_batch_size,
            "batch.gradient_accumulation_steps": training.gradient_accumulation_steps,
            "precision.gradient_checkpointing": training.enable_gradient_checkpointing,
            "precision.bf16": training.mixed_precision_dtype.value == "bf16",
            "data.max_length": config.model.model_max_length,
            "data.packing": config.data.train.pack,
            "quantization.bits": 4 if quantized else 16,
            "quantization.quant_type": quantized.bnb_4bit_quant_type if quantized else None,
            "quantization.double_quant": quantized.bnb_4bit_use_double_quant if quantized else None,
            "quantization.compute_dtype": str(quantized.bnb_4bit_compute_dtype)[6:] if quantized else None,
            "schedule.warmup_ratio": ratio,
            "schedule.warmup_steps": warmup["warmup_steps"] if ratio is None else None,
        },
    )
    targets = reading.plan.adapter.target_modules
    assert (targets if isinstance(targets, str) else set(targets)) == lora.target_modules
    loaded = str(config.model.torch_dtype)
    assert reading.plan.model.dtype == (loaded[6:] if loaded.startswith("torch.") else "auto")


@pytest.mark.parametrize("path", corpus("litgpt"), ids=lambda path: path.name)
def test_litgpt(path: Path) -> None:
    full = "full" in path.name
    setup = constants(source("litgpt", f"finetune/{'full' if full else 'lora'}.py"), "setup")
    args = module_from(source("litgpt", "args.py"), "litgpt_args")
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    merged = {**setup, **{key: value for key, value in config.items() if value is not None or key == "quantize"}}
    train = args.TrainArgs(**{**setup["train"], **config["train"]})
    reading = read_one("litgpt", path.read_text(encoding="utf-8"), path.name)
    on = tuple(
        key
        for key in ("lora_query", "lora_key", "lora_value", "lora_projection", "lora_mlp", "lora_head")
        if merged.get(key)
    )
    assert reading.facts.get("litgpt_targets", ()) == on
    quantize = merged.get("quantize")
    optimizer = merged["optimizer"]["init_args"]
    same(
        reading,
        {
            **({} if full else {key: merged[f"lora_{key.rpartition('.')[2]}"] for key in _SIZE}),
            "optimizer.learning_rate": optimizer["lr"],
            "optimizer.weight_decay": optimizer["weight_decay"],
            "optimizer.beta2": optimizer["betas"][1],
            "schedule.warmup_steps": train.lr_warmup_steps,
            "schedule.epochs": train.epochs,
            "schedule.max_steps": train.max_steps,
            "batch.micro_batch_size": train.micro_batch_size,
            "batch.gradient_accumulation_steps": train.gradient_accumulation_iters(merged["devices"]),
            "data.max_length": train.max_seq_length,
            "run.seed": merged["seed"],
            "precision.bf16": merged["precision"] == "bf16-true",
            **({} if full else {"quantization.bits": 4 if quantize else 16}),
        },
    )


def test_litgpt_defaults() -> None:
    setup = constants(source("litgpt", "finetune/lora.py"), "setup")
    reading = read_one("litgpt", "checkpoint_dir: checkpoints/google/gemma-2b\nlora_r: 4\n")
    same(
        reading,
        {
            "adapter.alpha": setup["lora_alpha"],
            "adapter.dropout": setup["lora_dropout"],
            "schedule.warmup_steps": setup["train"]["lr_warmup_steps"],
            "schedule.epochs": setup["train"]["epochs"],
            "batch.global_batch_size": setup["train"]["global_batch_size"],
            "batch.micro_batch_size": setup["train"]["micro_batch_size"],
            "run.seed": setup["seed"],
            "distributed.devices": setup["devices"],
        },
    )
    assert reading.facts["litgpt_targets"] == tuple(
        key for key, value in setup.items() if key.startswith("lora_") and value is True
    )


@pytest.mark.parametrize(
    "text",
    [*(path.read_text(encoding="utf-8") for path in corpus("mlx-lm")), "model: a/b\nadapter_path: x\niters: 9\n",
     "model: a/b-4bit\niters: 80\nnum_layers: 4\nlearning_rate: 1e-5\ngrad_checkpoint: true\nseed: 3\n"],
)  # fmt: skip
def test_mlx_lm(text: str) -> None:
    tree = ast.parse(source("mlx_lm", "lora.py"))
    wanted = ("yaml_loader", "CONFIG_DEFAULTS")
    parts = [
        node
        for node in tree.body
        if (isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id in wanted)
        or (isinstance(node, ast.Expr) and "add_implicit_resolver" in ast.unparse(node))
    ]
    # SafeLoader itself would be changed for every other test: its resolver goes to a loader of this test's own.
    code = "\n".join(map(ast.unparse, parts)).replace("yaml.SafeLoader", "type('Own', (yaml.SafeLoader,), {})")
    own = module_from("import re, yaml\n" + code, "mlx_lora")
    config = yaml.load(text, own.yaml_loader)  # a subclass of SafeLoader
    for key, value in own.CONFIG_DEFAULTS.items():  # as mlx_lm.lora's main() does
        if config.get(key) is None:
            config[key] = value
    same(
        read_one("mlx-lm", text),
        {
            "model.name": config["model"],
            "adapter.r": config["lora_parameters"]["rank"],
            "adapter.scaling": config["lora_parameters"]["scale"],
            "adapter.dropout": config["lora_parameters"]["dropout"],
            "optimizer.learning_rate": config["learning_rate"],
            "optimizer.name": config["optimizer"],
            "schedule.max_steps": config["iters"] // config["grad_accumulation_steps"],
            "batch.micro_batch_size": config["batch_size"],
            "data.max_length": config["max_seq_length"],
            "precision.gradient_checkpointing": config["grad_checkpoint"],
            "run.seed": config["seed"],
        },
    )


@pytest.mark.parametrize("path", corpus("autotrain"), ids=lambda path: path.name)
def test_autotrain(path: Path) -> None:
    pydantic = pytest.importorskip("pydantic")
    common = types.ModuleType("autotrain.trainers.common")
    common.AutoTrainParams = type(
        "AutoTrainParams", (pydantic.BaseModel,), {"model_config": {"protected_namespaces": ()}}
    )
    text = source("autotrain", "trainers/clm/params.py")
    stubs = {"autotrain.trainers.common": common}
    stubs.update({name: types.ModuleType(name) for name in ("autotrain", "autotrain.trainers")})
    params = module_from(text, "autotrain_params", stubs).LLMTrainingParams
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    own = params(
        model=config["base_model"],
        project_name=config["project_name"],
        trainer=config["task"].partition("-")[2],
        **config["params"],
    )
    reading = read_one("autotrain", path.read_text(encoding="utf-8"), path.name)
    same(
        reading,
        {
            "model.name": own.model,
            "method": own.trainer,
            "adapter.method": "lora" if own.peft else "none",
            "adapter.r": own.lora_r,
            "adapter.alpha": own.lora_alpha,
            "adapter.dropout": own.lora_dropout,
            "adapter.target_modules": own.target_modules,
            "quantization.bits": {"int4": 4, "int8": 8, None: 16}[own.quantization],
            "optimizer.learning_rate": own.lr,
            "optimizer.name": own.optimizer,
            "schedule.name": own.scheduler,
            "schedule.warmup_ratio": own.warmup_ratio,
            "schedule.epochs": own.epochs,
            "batch.micro_batch_size": own.batch_size,
            "batch.gradient_accumulation_steps": own.gradient_accumulation,
            "precision.bf16": own.mixed_precision == "bf16",
            "precision.fp16": own.mixed_precision == "fp16",
            "precision.gradient_checkpointing": not own.disable_gradient_checkpointing,
            "data.max_length": own.block_size,
        },
    )


UNSLOTH = [
    "model: a/b\ntraining:\n  training_type: lora\nlora:\n  lora_r: 16\n",
    (
        "model: a/b\ntraining:\n  training_type: LoRA\n  learning_rate: 3e-4\n  gradient_checkpointing: true\n"
        "  max_steps: 60\nlora:\n  lora_r: 8\n  lora_alpha: 8\n  target_modules: q_proj, v_proj\n  use_rslora: true\n"
    ),
    "model: a/b\ntraining:\n  training_type: full\n  load_in_4bit: false\nlora:\n  lora_r: 8\n",
]


@pytest.mark.parametrize("text", UNSLOTH)
def test_unsloth(text: str, tmp_path: Path) -> None:
    pytest.importorskip("pydantic")
    cli = module_from(source("unsloth_cli", "config.py"), "unsloth_cli_config")
    file = tmp_path / "config.yaml"
    file.write_text(text, encoding="utf-8")
    own = cli.load_config(file)
    lora, training = own.lora, own.training
    on = training.training_type == "lora"
    same(
        read_one("unsloth", text),
        {
            "model.name": own.model,
            "adapter.method": "lora" if on else "none",
            **(
                {
                    "adapter.r": lora.lora_r,
                    "adapter.alpha": lora.lora_alpha,
                    "adapter.dropout": lora.lora_dropout,
                    "adapter.use_rslora": lora.use_rslora,
                    "adapter.target_modules": tuple(own.model_kwargs(use_lora=True, is_vision=False)["target_modules"]),
                }
                if on
                else {}
            ),
            "quantization.load_in_4bit": training.load_in_4bit,
            "optimizer.learning_rate": training.learning_rate,
            "optimizer.weight_decay": training.weight_decay,
            "schedule.warmup_steps": training.warmup_steps,
            "schedule.epochs": training.num_epochs,
            "schedule.max_steps": training.max_steps or None,
            "batch.micro_batch_size": training.batch_size,
            "batch.gradient_accumulation_steps": training.gradient_accumulation_steps,
            "data.max_length": training.max_seq_length,
            "data.packing": training.packing,
            "precision.gradient_checkpointing": training.gradient_checkpointing != "none",
            "run.seed": training.random_seed,
        },
    )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", corpus("torchtune"), ids=lambda path: path.name)
def test_torchtune(path: Path) -> None:
    omegaconf = pytest.importorskip("omegaconf")
    config = omegaconf.OmegaConf.load(path)
    component = config.model._component_
    family, builder = component.split(".")[-2:]
    base = builder.replace("qlora_", "lora_")
    if family == "qwen3":
        pytest.skip("torchtune's last release has no qwen3")
    text = source("torchtune", f"models/{family}/_model_builders.py")
    if family == "llama3_3":
        text, base = source("torchtune", "models/llama3_1/_model_builders.py"), base.replace("3_3", "3_1")
    own = {**constants(text, base), **{key: value for key, value in config.model.items() if key != "_component_"}}
    reading = read_one("torchtune", path.read_text(encoding="utf-8"), path.name)
    same(
        reading,
        {
            "adapter.r": own["lora_rank"],
            "adapter.alpha": own["lora_alpha"],
            "adapter.dropout": own["lora_dropout"],
            "quantization.bits": 4 if f"\n{builder} = partial({base}, quantize_base=True)" in text
            or builder == "qlora_llama3_3_70b" else 16,
            "optimizer.learning_rate": config.optimizer.lr,
            "optimizer.weight_decay": config.optimizer.weight_decay,
            "schedule.warmup_steps": config.lr_scheduler.num_warmup_steps,
            "schedule.epochs": config.epochs,
            "schedule.max_steps": config.max_steps_per_epoch and config.max_steps_per_epoch * config.epochs,
            "batch.micro_batch_size": config.batch_size,
            "batch.gradient_accumulation_steps": config.gradient_accumulation_steps,
            "batch.eval_batch_size": config.get("batch_size_val"),
            "data.max_length": config.tokenizer.max_seq_len,
            "precision.gradient_checkpointing": config.get("enable_activation_checkpointing", False),
            "precision.bf16": config.dtype == "bf16",
        },
    )  # fmt: skip
    written = [*own["lora_attn_modules"]]
    written += [key for key in ("apply_lora_to_mlp", "apply_lora_to_output") if own.get(key)]
    assert reading.facts["torchtune_targets"] == tuple(written)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", corpus("nemo-automodel"), ids=lambda path: path.name)
def test_nemo_automodel(path: Path) -> None:
    text = source("nemo_automodel", "components/config/loader.py")
    translate = next(
        node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef) and node.name == "translate_value"
    )
    own = module_from("import ast\nfrom typing import Any\n" + ast.unparse(translate), "nemo_loader")

    def typed(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: typed(item) for key, item in value.items()}
        return [typed(item) for item in value] if isinstance(value, list) else own.translate_value(value)

    config = typed(yaml.safe_load(path.read_text(encoding="utf-8")))
    peft = constants(source("nemo_automodel", "components/_peft/lora.py"), "PeftConfig")
    reading = read_one("nemo-automodel", path.read_text(encoding="utf-8"), path.name)
    expected: dict[str, Any] = {
        "optimizer.learning_rate": config["optimizer"]["lr"],
        "optimizer.weight_decay": config["optimizer"]["weight_decay"],
        "batch.micro_batch_size": config["step_scheduler"]["local_batch_size"],
        "batch.global_batch_size": config["step_scheduler"]["global_batch_size"],
        "schedule.max_steps": config["step_scheduler"]["max_steps"],
        "schedule.epochs": config["step_scheduler"].get("num_epochs"),
        "run.seed": config["rng"]["seed"],
    }
    if "optimizer" in config and "eps" in config["optimizer"]:
        expected["optimizer.epsilon"] = config["optimizer"]["eps"]
    if "peft" in config:
        peft.update(config["peft"])
        expected |= {"adapter.r": peft["dim"], "adapter.alpha": peft["alpha"], "adapter.dropout": peft["dropout"]}
    same(reading, expected)


def test_nemo_automodel_matches_the_same_names() -> None:
    torch = pytest.importorskip("torch")
    text = source("nemo_automodel", "components/_peft/module_matcher.py")
    shared = types.ModuleType("nemo_automodel.shared.import_utils")
    shared.safe_import_te = lambda: (False, None)
    stubs = {name: types.ModuleType(name) for name in ("nemo_automodel", "nemo_automodel.shared")}
    own = module_from(text, "nemo_matcher", {**stubs, shared.__name__: shared})
    names = [
        "model.embed_tokens", "model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.o_proj",
        "model.layers.1.mlp.gate_proj", "model.layers.1.mlp.experts.3.down_proj", "model.layers.10.self_attn.v_proj",
        "model.norm", "lm_head", "model.layers.1.proj_out",
    ]  # fmt: skip
    for globs in (
        ["*_proj"],
        ["*_proj", "lm_head"],
        ["*.self_attn.*"],
        ["*q_proj", "*v_proj"],
        ["*.experts.*down_proj"],
    ):
        matcher = own.ModuleMatcher(target_modules=globs)
        expected = [
            name
            for name in names
            if matcher.match(torch.nn.Linear(1, 1), name.rpartition(".")[2], name.rpartition(".")[0] or None)
        ]
        text = f"step_scheduler: {{}}\nmodel:\n  pretrained_model_name_or_path: a/b\npeft:\n  target_modules: {globs}\n"
        pattern = read_one("nemo-automodel", text).plan.adapter.target_modules
        assert [name for name in names if re.fullmatch(pattern, name)] == expected, globs


def test_ludwig_defaults() -> None:
    lora = constants(source("ludwig", "schema/llms/peft.py"), "LoraConfig")
    bits = constants(source("ludwig", "schema/llms/quantization.py"), "QuantizationConfig")
    trainer = constants(source("ludwig", "schema/trainer.py"), "ECDTrainerConfig")
    trainer.update(constants(source("ludwig", "schema/trainer.py"), "FineTuneTrainerConfig"))
    text = (
        "model_type: llm\nbase_model: a/b\nadapter:\n  type: lora\nquantization:\n  bits: 4\n"
        "trainer:\n  type: finetune\n"
    )
    same(
        read_one("ludwig", text),
        {
            "adapter.r": lora["r"],
            "adapter.alpha": 2 * lora["r"],
            "adapter.dropout": lora["dropout"],
            "adapter.bias": lora["bias_type"],
            "adapter.use_rslora": lora["use_rslora"],
            "quantization.quant_type": bits["bnb_4bit_quant_type"],
            "quantization.double_quant": bits["bnb_4bit_use_double_quant"],
            "quantization.compute_dtype": bits["bnb_4bit_compute_dtype"],
            "batch.micro_batch_size": trainer["batch_size"],
            "optimizer.learning_rate": trainer["learning_rate"],
            "schedule.epochs": trainer["epochs"],
        },
    )
