"""The run as a plain script of transformers, PEFT and TRL, in which nothing of LoRAPlan is imported."""

from __future__ import annotations

import pprint
from typing import Any

from loraplan import __version__
from loraplan.plan import Plan
from loraplan.training import TrainingError
from loraplan.training.assembly import DEFAULT_SEED
from loraplan.training.export import rows
from loraplan.training.prepare import Prepared
from loraplan_trainer import arguments
from loraplan_trainer.data.encode import mask
from loraplan_trainer.data.templates import TEMPLATES, is_template_text
from loraplan_trainer.manifest import DataSource
from loraplan_trainer.situation import Situation

_DTYPES = ("dtype", "bnb_4bit_compute_dtype", "bnb_4bit_quant_storage")

_HEAD = '''\
"""{what}

Written by LoRAPlan {version} from {config}. Needs transformers, peft, trl and datasets.
"""

{imports}

MODEL = {model}
SEED = {seed}

'''

_MAIN = """

def main():
    tokenizer = AutoTokenizer.from_pretrained({tokenizer_arguments})
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
{template}\
    train, evaluation = data()
    arguments = {kind}Config(
{training})
    set_seed(SEED)
{model}\
    set_seed(SEED)
{adapter}\
    trainer = {kind}Trainer(
        model=model,
        args=arguments,
        train_dataset=train,
        eval_dataset=evaluation,
        processing_class=tokenizer,
{peft}\
{callbacks}\
    )
{optimizer}\
    trainer.train()
    trainer.save_model({saved})


if __name__ == "__main__":
    main()
"""


def source(prepared: Prepared, directory: str) -> str:
    """The script's text. Raises TrainingError for what a plain script cannot do in the same way."""
    plan, situation = prepared.plan, prepared.situation
    _refuse(plan, prepared.data)
    seed = plan.run.seed if plan.run.seed is not None else DEFAULT_SEED
    kind = "DPO" if plan.method == "dpo" else "SFT"
    form = rows.form_of(prepared.data)
    keywords = {
        "output_dir": f"{directory}/checkpoints",
        "report_to": "none",
        "logging_nan_inf_filter": False,
        "dataloader_pin_memory": situation.device == "cuda",
        **arguments.training(plan, situation, seed),
    }
    if kind == "SFT":
        keywords |= _masks(plan, form)
    lora = arguments.lora(plan)
    fresh_dpo = kind == "DPO" and lora is not None and plan.adapter.resume_from is None
    return _HEAD.format(
        what=f"{prepared.reading.plan.method or 'sft'} of {plan.model.name}",
        version=__version__,
        config=prepared.reading.document.path,
        imports=_imports(plan, kind),
        model=repr(plan.model.name),
        seed=seed,
    ) + (
        rows.functions(prepared.data, plan, seed)
        + _MAIN.format(
            kind=kind,
            tokenizer_arguments=", ".join(["MODEL", *_revision(plan)]),
            template=_template(plan),
            training=_arguments(keywords, 8, "    "),
            model=_model(plan, situation),
            adapter="" if fresh_dpo else _adapter(plan, lora),
            peft=f"        peft_config=LoraConfig(\n{_arguments(lora or {}, 12, '        ')}),\n" if fresh_dpo else "",
            callbacks=_callbacks(plan),
            optimizer=_optimizer(plan),
            saved=repr(f"{directory}/adapter" if lora is not None else f"{directory}/model"),
        )
    )


def _refuse(plan: Plan, data: tuple[DataSource, ...]) -> None:
    reason = None
    if plan.adapter.init == "loftq":
        reason = "adapter.init loftq reads the weights twice"
    elif arguments.needs_initial_adapter(plan):
        reason = f"adapter.init {plan.adapter.init} needs the initial adapter to be kept and subtracted"
    elif len({source.form for source in data}) > 1:
        reason = "its data sets are of different forms"
    if reason is not None:
        raise TrainingError(f"--export script: {reason}, which the trainer does and a plain script would not")


def _imports(plan: Plan, kind: str) -> str:
    names = {
        "datasets": ["load_dataset"],
        "peft": [],
        "transformers": ["AutoModelForCausalLM", "AutoTokenizer", "set_seed"],
        "trl": [f"{kind}Config", f"{kind}Trainer"],
    }
    if plan.adapter.method != "none":
        names["peft"] = ["PeftModel"] if plan.adapter.resume_from else ["LoraConfig", "get_peft_model"]
        if kind == "DPO" and not plan.adapter.resume_from:
            names["peft"] = ["LoraConfig"]
    if arguments.quantization(plan) is not None:
        names["transformers"].insert(2, "BitsAndBytesConfig")
    if plan.run.early_stopping_patience is not None:
        names["transformers"].insert(-1, "EarlyStoppingCallback")
    lines = ["import torch"]
    lines += [f"from {package} import {', '.join(found)}" for package, found in names.items() if found]
    if plan.adapter.loraplus_lr_ratio is not None:
        lines.insert(3, "from peft.optimizers import create_loraplus_optimizer")
    return "import random\n\n" * bool(plan.data.val_size and not plan.data.eval_datasets) + "\n".join(lines)


def _revision(plan: Plan) -> list[str]:
    return [f"revision={plan.model.revision!r}"] if plan.model.revision is not None else []


def _template(plan: Plan) -> str:
    """Lines that set the chat template and add tokens."""
    lines = []
    if plan.data.new_tokens:
        lines.append(f"    tokenizer.add_tokens({list(plan.data.new_tokens)!r})")
    given = plan.data.chat_template
    if given in TEMPLATES:
        lines.append(f"    tokenizer.chat_template = {TEMPLATES[given]!r}  # {given}")
    elif is_template_text(given):
        lines.append(f"    tokenizer.chat_template = {given!r}")
    elif given is not None and given.endswith((".jinja", ".j2")):
        lines.append(f"    with open({given!r}, encoding='utf-8') as file:")
        lines.append("        tokenizer.chat_template = file.read()")
    return "".join(f"{line}\n" for line in lines)


def _model(plan: Plan, situation: Situation) -> str:
    keywords: dict[str, Any] = arguments.model(plan, situation)
    quantization = arguments.quantization(plan)
    text = "    model = AutoModelForCausalLM.from_pretrained(\n        MODEL,\n" + _arguments(keywords, 8, "")
    if quantization is not None:
        text += f"        quantization_config=BitsAndBytesConfig(\n{_arguments(quantization, 12, '        ')}),\n"
    if situation.device == "cuda":
        text += '        device_map={"": 0},\n'
    text += "    )\n"
    if plan.data.new_tokens or plan.data.resize_vocab:
        text += "    if len(tokenizer) > model.get_input_embeddings().weight.shape[0]:\n"
        text += "        model.resize_token_embeddings(len(tokenizer))\n"
    return text


def _adapter(plan: Plan, lora: dict[str, Any] | None) -> str:
    if lora is None:
        return ""
    autocast = plan.adapter.autocast_adapter_dtype is not False
    if plan.adapter.resume_from is not None:
        return (
            f"    model = PeftModel.from_pretrained(\n        model, {plan.adapter.resume_from!r}, is_trainable=True, "
            f"autocast_adapter_dtype={autocast}\n    )\n"
        )
    return (
        f"    lora = LoraConfig(\n{_arguments(lora, 8, '    ')})\n"
        f"    model = get_peft_model(model, lora, autocast_adapter_dtype={autocast})\n"
    )


def _callbacks(plan: Plan) -> str:
    patience = plan.run.early_stopping_patience
    return (
        "" if patience is None else f"        callbacks=[EarlyStoppingCallback(early_stopping_patience={patience})],\n"
    )


def _optimizer(plan: Plan) -> str:
    ratio = plan.adapter.loraplus_lr_ratio
    if ratio is None or plan.adapter.method == "none":
        return ""
    return (
        "    kind, keywords = trainer.get_optimizer_cls_and_kwargs(arguments, trainer.model)\n"
        "    trainer.optimizer = create_loraplus_optimizer(\n"
        f"        trainer.model, kind, loraplus_lr_ratio={ratio!r}, "
        "loraplus_weight_decay=arguments.weight_decay, **keywords\n    )\n"
    )


def _masks(plan: Plan, form: str | None) -> dict[str, Any]:
    """Which tokens the loss sees, in TRL's two settings."""
    loss = mask(plan)
    if form in ("messages", "sharegpt") or (form == "alpaca" and plan.data.chat_template is not None):
        return {"assistant_only_loss": not loss.others}
    return {"completion_only_loss": not loss.prompt} if form != "text" else {}


def _arguments(values: dict[str, Any], indent: int, closing: str) -> str:
    """Keyword arguments, one a line; dtypes by name become torch's."""
    lines = []
    for name, value in values.items():
        is_dtype = name in _DTYPES and value != "auto"
        text = f"torch.{value}" if is_dtype else pprint.pformat(value, width=100, compact=True, sort_dicts=False)
        lines.append(f"{' ' * indent}{name}={text},\n")
    return "".join(lines) + closing
