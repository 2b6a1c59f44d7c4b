"""The adapter: made new or continued, saved so that plain PEFT reads it back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from loraplan.plan import Plan
from loraplan_trainer import arguments
from loraplan_trainer.failure import CannotRun
from loraplan_trainer.memory import is_out_of_memory


def config(plan: Plan) -> Any:
    """The LoraConfig; None where all weights are trained. Raises CannotRun."""
    from peft import LoraConfig

    keywords = arguments.lora(plan)
    if keywords is None:
        return None
    try:
        return LoraConfig(**keywords)
    except (TypeError, ValueError, ImportError) as error:
        raise CannotRun(f"the adapter's settings exclude each other: {error}") from error


def attach(model: Any, plan: Plan, lora: Any) -> Any:
    """The model with its adapter, seeded by the caller. Raises CannotRun."""
    from peft import PeftModel, get_peft_model

    autocast = plan.adapter.autocast_adapter_dtype is not False
    source = plan.adapter.resume_from
    try:
        if source is not None:
            if not (Path(source) / "adapter_config.json").is_file():
                raise CannotRun(f"adapter.resume_from {source}: no adapter_config.json there; name a local directory")
            return PeftModel.from_pretrained(model, source, is_trainable=True, autocast_adapter_dtype=autocast)
        adapted = get_peft_model(model, lora, autocast_adapter_dtype=autocast)
    except (ValueError, TypeError, KeyError, RuntimeError, NotImplementedError) as error:
        if is_out_of_memory(error):
            raise
        raise CannotRun(f"the adapter does not fit the model: {error}") from error
    if plan.adapter.init == "loftq":
        _loftq(adapted, plan)
    return adapted


def differences(model: Any, plan: Plan) -> list[str]:
    """Fields of the Plan that a continued adapter's own settings differ from: its own stand."""
    own = model.peft_config["default"]
    wanted = arguments.lora(plan) or {}
    found = []
    for name, argument in arguments.lora_names().items():
        if argument not in wanted or argument == "target_modules":  # those are saved as PEFT resolved them
            continue
        value, actual = wanted[argument], getattr(own, argument, None)
        if isinstance(value, list):
            value, actual = sorted(value), sorted(actual or ())
        if value != actual:
            found.append(f"{name} {value!r} has no effect: the adapter that is continued has {actual!r}")
    return found


def _loftq(model: Any, plan: Plan) -> None:
    """Adapter factors that make up for the quantization's error; reads the unquantized weights again."""
    from peft import replace_lora_weights_loftq

    name = plan.model.name or ""
    weights = Path(name) / "model.safetensors"
    try:
        replace_lora_weights_loftq(model, model_path=str(weights) if weights.is_file() else None)
    except (ValueError, TypeError, OSError, KeyError) as error:
        raise CannotRun(f"adapter.init loftq: the weights of {name} cannot be read again: {error}") from error


def save_initial(model: Any, directory: Path) -> None:
    """Keep the adapter as it is before training; PEFT subtracts it when the trained one is saved as plain LoRA."""
    lora = model.peft_config["default"]
    kept = lora.init_lora_weights
    lora.init_lora_weights = True  # the file is read as plain LoRA
    try:
        model.save_pretrained(str(directory), selected_adapters=["default"], save_embedding_layers=False)
    finally:
        lora.init_lora_weights = kept


def save(model: Any, directory: Path, initial: Path | None) -> None:
    """Write the adapter in PEFT's format; where the initialisation changed the base, as plain LoRA on the base."""
    keywords: dict[str, Any] = {"selected_adapters": ["default"]}
    if initial is not None:
        keywords["path_initial_model_for_weight_conversion"] = str(initial)
    model.save_pretrained(str(directory), **keywords)


def modules(model: Any) -> int:
    """How many modules carry an adapter."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    return sum(isinstance(module, BaseTunerLayer) for module in model.modules())
