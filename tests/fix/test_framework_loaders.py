"""Fixed files are read by the frameworks' own loaders, which find changed what was to be changed and nothing else.

Each test needs its framework on the path (see `nox -s oracle`); LLaMA-Factory and axolotl pin other versions of
transformers and are tested where they can be imported.
"""

from __future__ import annotations

import ast
import json
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from loraplan.context import Inputs
from loraplan.document import KeyPath, Scalar, walk
from loraplan.document.edit import CannotEditError
from loraplan.document.read import read
from loraplan.engine import Checker, Overrides
from loraplan.fixing import fix_text
from loraplan.fixing.one import Made, make
from loraplan.formats.reading import Reading
from loraplan.result import Diagnostic
from loraplan.rule import Change, Fix, Remove, Set
from tests.formats.reader import corpus
from tests.formats.test_own_parsers import constants, module_from, source

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

Load = Callable[[Path], dict[str, Any]]
CHECKER = Checker(Inputs(), Overrides(isolated=True, preview=True))
LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
FIELDS: dict[str, tuple[Any, ...]] = {
    "adapter.r": (24,),
    "adapter.alpha": (48,),
    "adapter.dropout": (0.07,),
    "adapter.target_modules": ("all-linear", LINEAR, ("q_proj", "v_proj")),
    "adapter.exclude_modules": (("lm_head",),),
    "adapter.modules_to_save": (("embed_tokens", "lm_head"),),
    "optimizer.learning_rate": (0.00017, 0.001),
    "optimizer.weight_decay": (0.013,),
    "optimizer.max_grad_norm": (0.9,),
    "schedule.warmup_steps": (37,),
    "schedule.warmup_ratio": (0.04,),
    "schedule.name": ("cosine", "linear"),
    "precision.bf16": (True,),
    "precision.gradient_checkpointing": (True,),
    "precision.use_reentrant": (False,),
    "quantization.quant_type": ("nf4",),
    "quantization.compute_dtype": ("bfloat16",),
    "data.max_length": (1234,),
    "run.seed": (123,),
}


def flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of what a loader made, by dotted key."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from flat(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple | set):
        yield path, sorted(map(str, value)) if isinstance(value, set) else [str(item) for item in value]
    else:
        yield path, value


def variants(path: Path) -> Iterator[tuple[str, str]]:
    """The file with all that its findings say, and with one field at a time set in the first proved way."""
    text = path.read_bytes().decode()
    fixed = fix_text(CHECKER, str(path), text, unsafe=True)
    assert fixed is not None
    assert not fixed.broken
    if fixed.changed:
        yield "fixed", fixed.text
    readings = CHECKER.read(str(path), text=text)[1]
    for field, values in FIELDS.items():
        plan = readings[0].plan
        if field == "adapter.dropout" and plan.adapter.target_parameters:
            continue  # PEFT refuses the two together
        if field.startswith("adapter.") and plan.adapter.method == "none":
            continue
        for value in values:
            made = _set(readings, path, field, value)
            if made is not None:
                yield f"{field} = {value}", made


def _set(readings: list[Reading], path: Path, field: str, value: Any) -> str | None:
    changes: list[Change] = [Set(field, value)]
    other = {"schedule.warmup_steps": "schedule.warmup_ratio", "schedule.warmup_ratio": "schedule.warmup_steps"}
    if field in other and readings[0].explicit(other[field]):
        changes.append(Remove(other[field]))
    fix = Fix("set it", tuple(changes), "unsafe")
    root = readings[0].root.span
    item = Diagnostic(
        str(path), 1, 1, "X", "x", "info", "", 1, 1, root, "", "", field, None, None, fix, "", readings[0].name
    )
    try:
        made = make(readings, item, lambda text: CHECKER.read(str(path), text=text)[1])
    except CannotEditError:
        return None
    return made.text if isinstance(made, Made) else None


def check(path: Path, load: Load, folder: Path, follows: tuple[str, ...] = ()) -> None:
    """Every variant loads, and differs in the keys whose values changed (or in what `follows` from them)."""
    text = path.read_bytes().decode()
    copy = folder / path.name
    copy.write_bytes(text.encode())
    try:
        before = dict(flat(load(copy)))
    except Exception as error:  # noqa: BLE001 - the framework has refused the file as it came
        pytest.skip(f"not read as it came: {str(error)[:200]}")
    count = 0
    for what, new in variants(path):
        copy.write_bytes(new.encode())
        after = dict(flat(load(copy)))
        said = changed_keys(path, text, new)
        for key in before.keys() | after.keys():
            if before.get(key) != after.get(key) and not any(key.startswith(name) for name in follows):
                assert said.intersection(key.split(".")), (what, key, before.get(key), after.get(key))
        if before == after:  # what was a default is written: the value is the default's
            assert what != "fixed", what
            continue
        count += 1
    assert count, "nothing could be changed"


def changed_keys(path: Path, before: str, after: str) -> set[str]:
    """The names on the way to every value that differs between two texts."""
    texts = []
    for text in (before, after):
        found: dict[KeyPath, list[str]] = {}
        for root in read(path.name, text).roots:
            for at, node in walk(root):
                if isinstance(node, Scalar):
                    names = tuple(step for step in at if isinstance(step, str))
                    found.setdefault(names, []).append(node.text)
        texts.append(found)
    old, new = texts
    return {
        name for at in old.keys() | new.keys() if old.get(at) != new.get(at) for name in at if isinstance(name, str)
    }


def dumped(config: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(config, default=str))
    return found


@pytest.mark.parametrize("path", corpus("axolotl"), ids=lambda path: path.name)
def test_axolotl(path: Path, tmp_path: Path) -> None:
    schemas = pytest.importorskip("axolotl.utils.schemas.config", exc_type=ImportError)
    check(
        path,
        lambda file: dumped(schemas.AxolotlInputConfig(**yaml.safe_load(file.read_text("utf-8"))).model_dump()),
        tmp_path,
    )


@pytest.mark.parametrize("path", corpus("llamafactory"), ids=lambda path: path.name)
def test_llamafactory(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISABLE_VERSION_CHECK", "1")
    hparams = pytest.importorskip("llamafactory.hparams", exc_type=ImportError)
    omegaconf = pytest.importorskip("omegaconf")
    transformers = pytest.importorskip("transformers")
    kinds = (
        hparams.ModelArguments, hparams.DataArguments, hparams.TrainingArguments, hparams.FinetuningArguments,
        hparams.GeneratingArguments,
    )  # fmt: skip

    def load(file: Path) -> dict[str, Any]:
        values = omegaconf.OmegaConf.to_container(omegaconf.OmegaConf.load(file))
        for key in ("deepspeed", "fsdp", "fsdp_config", "ray_run_name", "use_ray"):  # files beside it, a cluster
            values.pop(key, None)
        values = {"output_dir": "o", **values, "use_cpu": True, "bf16": False, "fp16": False, "report_to": "none"}
        parts = transformers.HfArgumentParser(kinds).parse_dict(values)
        return dumped({key: value for part in parts for key, value in vars(part).items() if key[0] != "_"})

    check(path, load, tmp_path, follows=("logging_dir", "lora_alpha", "warmup_steps"))


@pytest.mark.parametrize("path", corpus("trl-yaml"), ids=lambda path: path.name)
def test_trl(path: Path, tmp_path: Path) -> None:
    trl = pytest.importorskip("trl", minversion="1.16")
    kind = next((name for name in ("DPO", "GRPO", "KTO", "Reward") if name.lower() in str(path)), "SFT")

    def load(file: Path) -> dict[str, Any]:
        config = getattr(trl, f"{kind}Config")
        parser = trl.TrlParser((trl.ScriptArguments, config, trl.ModelConfig))
        arguments = ["--config", str(file), "--use_cpu", "true", "--report_to", "none", "--bf16", "false"]
        parts = parser.parse_args_and_config(arguments, fail_with_unknown_args=False)[:3]
        return dumped({key: value for part in parts for key, value in vars(part).items() if key[0] != "_"})

    check(path, load, tmp_path, follows=("logging_dir", "gradient_checkpointing", "activation_checkpointing"))


@pytest.mark.parametrize("path", corpus("peft-adapter"), ids=lambda path: path.name)
def test_peft(path: Path, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft", minversion="0.21")

    def load(file: Path) -> dict[str, Any]:
        folder = file.parent / "adapter"
        folder.mkdir(exist_ok=True)
        (folder / "adapter_config.json").write_bytes(file.read_bytes())
        return dict(peft.PeftConfig.from_pretrained(str(folder)).to_dict())

    check(path, load, tmp_path)


@pytest.mark.parametrize("path", corpus("torchtune"), ids=lambda path: path.name)
def test_torchtune(path: Path, tmp_path: Path) -> None:
    omegaconf = pytest.importorskip("omegaconf")

    def load(file: Path) -> dict[str, Any]:
        config = omegaconf.OmegaConf.load(file)
        family, builder = config.model._component_.split(".")[-2:]
        base = builder.replace("qlora_", "lora_")
        try:
            text = source("torchtune", f"models/{family}/_model_builders.py")
        except FileNotFoundError:
            text = ""
        taken = constants(text, base)
        for key in config.model if taken else ():  # the builder is called with the section's keys
            assert key in taken or key in ("_component_", "lora_attn_modules"), key
        values = omegaconf.OmegaConf.to_container(config, resolve=True)
        assert isinstance(values["model"].get("lora_attn_modules", []), list)
        return dict(values)

    check(path, load, tmp_path)


@pytest.mark.parametrize("path", corpus("litgpt"), ids=lambda path: path.name)
def test_litgpt(path: Path, tmp_path: Path) -> None:
    text = source("litgpt", f"finetune/{'full' if 'full' in path.name else 'lora'}.py")
    setup = {"checkpoint_dir": None, **constants(text, "setup")}  # the one without a default
    args = module_from(source("litgpt", "args.py"), "litgpt_args")

    def load(file: Path) -> dict[str, Any]:
        config = yaml.safe_load(file.read_text("utf-8"))
        assert set(config) <= set(setup), set(config) - set(setup)
        train = args.TrainArgs(**{**setup["train"], **config["train"]})
        return {**setup, **config, "train": vars(train)}

    check(path, load, tmp_path)


@pytest.mark.parametrize("path", corpus("oumi"), ids=lambda path: path.name)
def test_oumi(path: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    source("oumi", "__init__.py")
    training_config = pytest.importorskip("oumi.core.configs.training_config")

    def load(file: Path) -> dict[str, Any]:
        import dataclasses

        config = training_config.TrainingConfig.from_yaml(file)
        config.peft.to_lora()
        return dumped(dataclasses.asdict(config))

    check(path, load, tmp_path, follows=("training.trainer_kwargs",))


@pytest.mark.parametrize("path", corpus("mlx-lm"), ids=lambda path: path.name)
def test_mlx_lm(path: Path, tmp_path: Path) -> None:
    tree = ast.parse(source("mlx_lm", "lora.py"))
    wanted = ("yaml_loader", "CONFIG_DEFAULTS")
    parts = [
        node
        for node in tree.body
        if (isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id in wanted)
        or (isinstance(node, ast.Expr) and "add_implicit_resolver" in ast.unparse(node))
    ]
    code = "\n".join(map(ast.unparse, parts)).replace("yaml.SafeLoader", "type('Own', (yaml.SafeLoader,), {})")
    own = module_from("import re, yaml\n" + code, "mlx_lora")

    def load(file: Path) -> dict[str, Any]:
        config = yaml.load(file.read_text("utf-8"), own.yaml_loader)  # a subclass of SafeLoader
        parameters = {**own.CONFIG_DEFAULTS, **config}["lora_parameters"]
        assert {"rank", "scale", "dropout"} <= set(parameters)  # tuner/utils.py reads all three
        return {**own.CONFIG_DEFAULTS, **config}

    check(path, load, tmp_path)


@pytest.mark.parametrize("path", corpus("autotrain"), ids=lambda path: path.name)
def test_autotrain(path: Path, tmp_path: Path) -> None:
    pydantic = pytest.importorskip("pydantic")
    common = types.ModuleType("autotrain.trainers.common")
    common.AutoTrainParams = type(  # type: ignore[attr-defined]
        "AutoTrainParams", (pydantic.BaseModel,), {"model_config": {"protected_namespaces": (), "extra": "forbid"}}
    )
    stubs = {"autotrain.trainers.common": common}
    stubs.update({name: types.ModuleType(name) for name in ("autotrain", "autotrain.trainers")})
    params = module_from(source("autotrain", "trainers/clm/params.py"), "autotrain_params", stubs).LLMTrainingParams

    def load(file: Path) -> dict[str, Any]:
        config = yaml.safe_load(file.read_text("utf-8"))
        return dict(params(model=config["base_model"], **config["params"]).model_dump())

    check(path, load, tmp_path)


@pytest.mark.parametrize("path", corpus("nemo-automodel"), ids=lambda path: path.name)
def test_nemo_automodel(path: Path, tmp_path: Path) -> None:
    text = source("nemo_automodel", "components/config/loader.py")
    translate = next(
        node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef) and node.name == "translate_value"
    )
    own = module_from("import ast\nfrom typing import Any\n" + ast.unparse(translate), "nemo_loader")
    peft = {
        "_target_",
        "target_modules",
        *constants(source("nemo_automodel", "components/_peft/lora.py"), "PeftConfig"),
    }
    scheduler = constants(source("nemo_automodel", "components/optim/optimizer.py"), "LRSchedulerConfig")

    def typed(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: typed(item) for key, item in value.items()}
        return [typed(item) for item in value] if isinstance(value, list) else own.translate_value(value)

    def load(file: Path) -> dict[str, Any]:
        config = typed(yaml.safe_load(file.read_text("utf-8")))
        assert set(config.get("peft", ())) <= peft, set(config["peft"]) - peft
        assert set(config.get("lr_scheduler", ())) <= {*scheduler, "_target_"}
        return dict(config)

    check(path, load, tmp_path)


UNSLOTH = "model: a/b\ntraining:\n  training_type: lora\n  learning_rate: 3e-4\nlora:\n  lora_r: 16\n"


def test_unsloth(tmp_path: Path) -> None:
    pytest.importorskip("pydantic")
    cli = module_from(source("unsloth_cli", "config.py"), "unsloth_cli_config")
    path = tmp_path / "own.yaml"
    path.write_text(UNSLOTH)
    (tmp_path / "copy").mkdir()
    check(path, lambda file: dict(cli.load_config(file).model_dump()), tmp_path / "copy")


@pytest.mark.parametrize("method", ["json", "yaml"])
def test_hf_arguments(method: str, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", minversion="5.23")
    values = {
        "model_name_or_path": "meta-llama/Llama-3.2-1B", "use_lora": True, "lora_rank": 16, "lora_alpha": 32,
        "output_dir": str(tmp_path), "learning_rate": 0.0001, "per_device_train_batch_size": 2,
        "gradient_checkpointing": True,
    }  # fmt: skip
    path = tmp_path / f"arguments.{method}"
    path.write_text(json.dumps(values, indent=2) if method == "json" else yaml.safe_dump(values))

    def load(file: Path) -> dict[str, Any]:
        config = json.loads(file.read_text()) if method == "json" else yaml.safe_load(file.read_text())
        parser = transformers.HfArgumentParser(transformers.TrainingArguments)
        (arguments,) = parser.parse_dict({**config, "use_cpu": True, "bf16": False}, allow_extra_keys=True)
        found = {key: value for key, value in vars(arguments).items() if key[0] != "_"}
        return dumped({**config, **found})

    (tmp_path / "copy").mkdir()
    check(path, load, tmp_path / "copy", follows=("gradient_checkpointing", "activation_checkpointing"))
