"""torchtune recipe configs: the model is a builder's name, which also says whether it is LoRA and quantized."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from loraplan.document import Document, Mapping, Node
from loraplan.formats.components import (
    dtype_name,
    folder_name,
    forget_defaults,
    forgive,
    optimizer_defaults,
    optimizer_name,
    set_betas,
)
from loraplan.formats.interpolation import interpolate
from loraplan.formats.reading import Reading
from loraplan.formats.table import Draft, Versions, load_table
from loraplan.formats.values import Unresolved

SIGNATURE = "a `model` section with a `_component_`, as torchtune's recipes have"

# Loss or recipe component (lower case, substring) -> training method.
_METHODS = (
    ("dpo", "dpo"), ("rso", "dpo"), ("ipo", "ipo"), ("simpo", "simpo"), ("grpo", "grpo"), ("ppo", "ppo"),
    ("forwardkl", "kd"), ("reversekl", "kd"),
)  # fmt: skip
_DISTRIBUTED = re.compile(
    r"^ *#.*\btune run (?:--nnodes[ =]([1-9]\d{0,2}) )?--nproc[-_]per[-_]node[ =]([1-9]\d{0,2}) \S*_distributed\b",
    re.MULTILINE,
)
"""How the header of every distributed recipe's config runs it."""
_NO_TRAINING = frozenset(("max_new_tokens", "prompt", "tasks", "quantizer"))
_TARGETS = {"q_proj": "q_proj", "k_proj": "k_proj", "v_proj": "v_proj", "output_proj": "o_proj"}
_MLP = ("gate_proj", "up_proj", "down_proj")


def detect(root: Node, document: Document) -> str | None:
    """The signature found, or None."""
    model = root.get("model") if isinstance(root, Mapping) else None
    if not isinstance(root, Mapping) or not isinstance(model, Mapping) or "_component_" not in model:
        return None
    if "optimizer" not in root and not _NO_TRAINING.isdisjoint(root.keys()):
        return None  # generation, evaluation and quantization recipes
    return "model._component_"


def read(root: Node, document: Document, signature: str, versions: Versions) -> Iterable[Reading]:
    """The one run that the file describes."""
    resolved = interpolate(root, document)
    draft = Draft("torchtune", "torchtune", resolved, document, signature, versions)
    builder = _builder(draft)
    lora = "lora" in builder
    draft.fill()
    forgive(draft, "{...}")  # `compile` may say what is compiled
    if lora:
        draft.set("adapter.method", "lora", "model._component_")
        _targets(draft, builder)
    else:
        draft.set("adapter.method", "none", "model._component_")
        draft.switch = "model._component_: the builder's lora_ variant"
    _model(draft, builder)
    _quantization(draft, builder)
    _training(draft)
    _data(draft)
    draft.fill_defaults()
    _device(draft)
    if not lora:
        forget_defaults(draft, "adapter")
    draft.check_keys()
    # Newer releases add builder arguments: only a near miss of a known one is surely wrong.
    known_builder = _base_name(builder) in load_table("torchtune")["builders"] and lora
    draft.key_issues = [issue for issue in draft.key_issues if issue.suggestion and known_builder]
    yield draft.finish()


def _builder(draft: Draft) -> str:
    component = draft.raw("model._component_")
    return component.rpartition(".")[2] if isinstance(component, str) else ""


def _base_name(builder: str) -> str:
    for prefix in ("qlora_", "lora_"):
        if builder.startswith(prefix):
            return builder[len(prefix) :]
    return builder


def _model(draft: Draft, builder: str) -> None:
    """The hub id: the builder's, refined by the checkpoint folder's name where that tells the same family and size."""
    name = load_table("torchtune")["builders"].get(_base_name(builder))
    folder = folder_name(draft.raw("checkpointer.checkpoint_dir"), "original")
    if name is None:
        # No torchtune builder: the folder is all there is, and it names a model only with its owner.
        return
    draft.set("model.name", name, "model._component_")
    owner, _, leaf = name.partition("/")
    if folder and folder != leaf and _same_model(folder, leaf):
        draft.set("model.name", f"{owner}/{folder}", "checkpointer.checkpoint_dir")
    elif folder == leaf:
        draft.set("model.name", name, "checkpointer.checkpoint_dir")
    if "vision" in builder:
        draft.derive("model.task", "vision_language", (), "the model builder's name")


def _same_model(folder: str, leaf: str) -> bool:
    """Whether two names share family and size: `Meta-Llama-3.1-8B` and `Llama-3.1-8B-Instruct`."""

    def stem(name: str) -> tuple[str, ...]:
        words = name.lower().replace("_", "-").split("-")
        return tuple(word for word in words if word not in ("meta", "instruct", "chat", "hf", "base", "it"))

    return stem(folder) == stem(leaf)


def switches(builder: str) -> tuple[dict[str, str], tuple[str, ...]]:
    """PEFT's names: of each of torchtune's attention modules, and of what `apply_lora_to_mlp` adapts."""
    if not builder.rpartition("lora_")[2].startswith("phi"):
        return _TARGETS, _MLP
    fused = {name: "qkv_proj" if name != "output_proj" else target for name, target in _TARGETS.items()}
    return fused, ("gate_up_proj", "down_proj")  # transformers fuses q, k, v and gate, up in Phi-3 and 4


def _targets(draft: Draft, builder: str) -> None:
    """torchtune's switches as PEFT's module names; `facts["torchtune_targets"]` keeps the names as written."""
    written = draft.raw("model.lora_attn_modules")
    names = [item for item in written if isinstance(item, str)] if isinstance(written, list) else []
    mlp = draft.raw("model.apply_lora_to_mlp") is True
    output = draft.raw("model.apply_lora_to_output") is True
    attention, feed_forward = switches(builder)
    targets = [attention.get(name, name) for name in names]
    if mlp:
        targets += feed_forward
    if output:
        targets.append("lm_head")
    if isinstance(written, list):
        key = "model.lora_attn_modules"
    elif mlp:
        key = "model.apply_lora_to_mlp"
    else:
        return
    draft.set("adapter.target_modules", tuple(dict.fromkeys(targets)), key)
    extra = [flag for flag, on in (("apply_lora_to_mlp", mlp), ("apply_lora_to_output", output)) if on]
    draft.facts["torchtune_targets"] = (*names, *extra)


def _quantization(draft: Draft, builder: str) -> None:
    """torchtune stores a quantized base as NF4 tensors, double-quantized (torchao/dtypes/nf4tensor.py)."""
    if builder.startswith("qlora_"):
        draft.set("quantization.bits", 4, "model._component_")
    elif draft.raw("model.quantize_base") is True:
        draft.set("quantization.bits", 4, "model.quantize_base")
    else:
        draft.derive("quantization.bits", 16, (), "the builder does not quantize")
        return
    how = "torchtune quantizes with torchao's NF4Tensor"
    draft.derive("quantization.method", "nf4tensor", ("quantization.bits",), how)
    draft.derive("quantization.quant_type", "nf4", ("quantization.bits",), how)
    draft.derive("quantization.double_quant", True, ("quantization.bits",), how)
    draft.derive("quantization.compute_dtype", dtype_name(draft.raw("dtype")), ("model.dtype",), "weights' dtype")


def _training(draft: Draft) -> None:
    draft.set("model.dtype", dtype_name(draft.raw("dtype")), "dtype")
    if (kind := draft.values.get("model.dtype")) is not None:
        draft.set("precision.bf16", kind == "bfloat16", "dtype")
        draft.set("precision.fp16", kind == "float16", "dtype")
    component = draft.raw("optimizer._component_")
    draft.set("optimizer.name", optimizer_name(component, draft.raw("optimizer.fused")), "optimizer._component_")
    set_betas(draft, "optimizer.betas")
    optimizer_defaults(draft, component, "optimizer")
    scheduler = draft.raw("lr_scheduler._component_")
    if isinstance(scheduler, str) and not isinstance(scheduler, Unresolved):
        leaf = scheduler.rpartition(".")[2].removeprefix("get_")
        draft.set("schedule.name", leaf.partition("_schedule")[0], "lr_scheduler._component_")
    steps, epochs = draft.raw("max_steps_per_epoch"), draft.values.get("schedule.epochs")
    if isinstance(steps, int) and not isinstance(steps, bool) and steps > 0 and isinstance(epochs, int | float):
        if epochs == 1:
            draft.set("schedule.max_steps", steps, "max_steps_per_epoch")
        elif 0 < epochs < 2**31:
            draft.derive(
                "schedule.max_steps", int(steps * epochs), ("schedule.epochs",), "max_steps_per_epoch x epochs"
            )
    _method(draft)


def _method(draft: Draft) -> None:
    for key in ("loss._component_", "kd_loss._component_", "rl_loss._component_"):
        component = draft.raw(key)
        if isinstance(component, str):
            leaf = component.rpartition(".")[2].lower()
            for hint, method in _METHODS:
                if hint in leaf:
                    draft.set("method", method, key)
                    return
    dataset = draft.raw("dataset._component_")
    if isinstance(dataset, str) and dataset.endswith("text_completion_dataset"):
        draft.set("method", "pt", "dataset._component_")
        return
    draft.derive("method", "sft", (), "neither the loss nor the dataset is another method's")


def _data(draft: Draft) -> None:
    """A dataset is one section or a list of them; its source stands beside the component, or in its name."""
    for key in ("dataset", "datasets"):
        value: Any = draft.raw(key)
        sections = value if isinstance(value, list) else [value]
        names = [name for section in sections if isinstance(section, dict) if (name := _dataset(section))]
        if names:
            draft.set("data.datasets", tuple(names), key)
            break
    validation = draft.raw("dataset_val")
    if isinstance(validation, dict) and (name := _dataset(validation)):
        draft.set("data.eval_datasets", (name,), "dataset_val")
    if draft.values.get("run.eval_steps"):
        draft.derive("run.eval_strategy", "steps", ("run.eval_steps",), "run_val_every_n_steps is set")
    else:
        draft.derive("run.eval_strategy", "no", (), "run_val_every_n_steps is not set")


def _dataset(section: dict[str, Any]) -> str | None:
    for key in ("data_files", "source", "_component_"):
        value = section.get(key)
        if isinstance(value, str) and not isinstance(value, Unresolved):
            return value
    return None


def _device(draft: Draft) -> None:
    if "single_device" in draft.document.path:
        draft.derive("distributed.strategy", "single", (), "the file is named for a single-device recipe")
        draft.derive("distributed.devices", 1, (), "the file is named for a single-device recipe")
    elif commands := _DISTRIBUTED.findall(draft.document.text):
        how = "the file's comments run a distributed recipe, which is FSDP"
        draft.derive("distributed.strategy", "fsdp2", (), how)
        if len(counts := set(commands)) == 1:
            nodes, devices = (int(number or 1) for number in counts.pop())
            draft.derive("distributed.devices", nodes * devices, (), "the command in the file's comments")
    elif re.search(r"^ *#.*\w_distributed\.py\b", draft.document.text, re.MULTILINE):
        draft.derive(
            "distributed.strategy", "fsdp2", (), "the file's comments name a distributed recipe, which is FSDP"
        )
