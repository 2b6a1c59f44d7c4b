"""OpenRLHF's launch scripts: `openrlhf.cli.train_*`, with the dotted options of 0.11 or the flat ones before."""

from __future__ import annotations

import re
from collections.abc import Iterable

from loraplan.document import Document, Mapping, Node
from loraplan.formats import shell_commands
from loraplan.formats.reading import Reading
from loraplan.formats.table import Draft, Versions
from loraplan.formats.values import to_float

SIGNATURE = "the module or script `openrlhf.cli.train_sft`, `train_dpo`, `train_rm`, `train_ppo_ray`, ..."

_LAST_FLAT = "0.10.0"
_MODULE = re.compile(r"openrlhf[./]cli[./]train_(\w+?)(?:\.py)?(?:\s|$)")
# Before 0.3 the trainers were scripts beside the examples; `--pretrain` tells them from other projects'.
_SCRIPT = re.compile(r"(?:^|[\s/])train_(sft|dpo|kto|rm|ppo|ppo_ray|kd|knowledge_distillation)\.py(?:\s|$)")
_METHODS = {"ppo_ray": "ppo", "rm": "rm", "prm": "prm", "kd": "sft", "knowledge_distillation": "sft"}
# Options whose default differs from one trainer to the next: learning rate, epochs, micro batch, length.
_TRAINERS: dict[str, tuple[float | None, int, int | None, int]] = {
    "sft": (5e-6, 2, 8, 2048),
    "dpo": (1e-5, 1, 8, 512),
    "rm": (9e-6, 1, 1, 512),
    "ppo_ray": (None, 1, 1, 2048),
}


def detect(root: Node, document: Document) -> str | None:
    """A command that runs one of OpenRLHF's trainers."""
    if not isinstance(root, Mapping) or document.syntax != "shell":
        return None
    return f"the command `{root.call}`" if _trainer(root) else None


def _trainer(root: Mapping) -> re.Match[str] | None:
    match = _MODULE.search(root.call or "")
    if match is None and "pretrain" in root and ("zero_stage" in root or "micro_train_batch_size" in root):
        match = _SCRIPT.search(root.call or "")
    return match


def read(root: Node, document: Document, signature: str, versions: Versions) -> Iterable[Reading]:
    """One run; LoRA is off where the rank is absent or 0."""
    assert isinstance(root, Mapping)
    match = _trainer(root)
    trainer = match[1] if match else ""
    scope = shell_commands.nested(root)
    if not any(isinstance(value, Mapping) and key.text != "launcher" for key, value in scope.entries):
        versions = {"openrlhf": _LAST_FLAT, **versions}  # the spelling tells the version
    draft = Draft("openrlhf", "openrlhf", root, document, signature, versions, scope=scope)
    flat = draft.versions.get("openrlhf") == _LAST_FLAT
    draft.switch = "lora_rank: 16" if flat else "ds.lora.rank: 16"
    draft.fill()
    if trainer:
        draft.derive("method", _METHODS.get(trainer, trainer), (), f"the command `{root.call}`")
    _adapter(draft, trainer)
    _quantization(draft)
    _rest(draft, trainer)
    shell_commands.launch(draft)
    draft.fill_defaults()
    if "precision.bf16" not in draft.values:
        kind = draft.values.get("model.dtype")
        draft.derive("precision.bf16", kind == "bfloat16" if kind else None, ("model.dtype",), "ds.param_dtype")
    draft.check_keys()
    yield draft.finish()


def _adapter(draft: Draft, trainer: str) -> None:
    key = "ds.lora.rank" if draft.has("ds.lora.rank") else "lora_rank"
    rank = draft.values.get("adapter.r")
    if rank is not None:
        draft.set("adapter.method", "lora" if rank > 0 else "none", key)
        if not rank > 0:
            draft.drop("adapter.r")
    elif "adapter.r" not in draft.unreadable:
        source = f"openrlhf/cli/train_{trainer or 'sft'}.py@0.11.2: rank 0 is off"
        draft.default("adapter.method", "none", source, "ds.lora.rank")
    for name in ("ds.lora.target_modules", "target_modules"):
        words = shell_commands.words(draft.node(name))
        if words:
            draft.set("adapter.target_modules", words[0] if words == ["all-linear"] else tuple(words), name)
            break
    if draft.values.get("adapter.method") == "lora":
        draft.default("adapter.bias", "none", "openrlhf/models/actor.py@0.11.2: LoraConfig")
        draft.default("adapter.task_type", "CAUSAL_LM", "openrlhf/models/actor.py@0.11.2: LoraConfig")


def _quantization(draft: Draft) -> None:
    if draft.values.get("quantization.load_in_4bit"):
        source = "openrlhf/models/actor.py@0.11.2: nf4_config"
        draft.derive("quantization.bits", 4, ("quantization.load_in_4bit",), "load_in_4bit is given")
        draft.derive("quantization.method", "bnb", ("quantization.load_in_4bit",), "bitsandbytes")
        draft.default("quantization.quant_type", "nf4", source)
        draft.default("quantization.double_quant", True, source)
        draft.default("quantization.compute_dtype", "bfloat16", source)


def _rest(draft: Draft, trainer: str) -> None:
    for name in ("adam.betas", "adam_betas"):
        betas = [to_float(word) for word in shell_commands.words(draft.node(name))]
        if len(betas) == 2:
            draft.set("optimizer.beta1", betas[0], name)
            draft.set("optimizer.beta2", betas[1], name)
    source = f"openrlhf/cli/train_{trainer}.py@0.11.2"
    known = _TRAINERS.get(trainer)
    if known is not None:
        rate, epochs, micro, length = known
        draft.default("optimizer.learning_rate", rate, source, "adam.lr")
        draft.default("schedule.epochs", epochs, source, "train.max_epochs")
        draft.default("batch.micro_batch_size", micro, source, "train.micro_batch_size")
        draft.default("data.max_length", length, source, "data.max_len")
        draft.default("optimizer.beta1", 0.9, source, "adam.betas")
        draft.default("optimizer.beta2", 0.95, source, "adam.betas")
    key = "ds.zero_stage" if draft.has("ds.zero_stage") else "zero_stage"
    stage = to_float(draft.raw(key)) if draft.has(key) else None
    if stage in (1, 2, 3):
        draft.set("distributed.strategy", f"zero{stage:g}", key)
    elif known is not None and not draft.has(key):
        draft.default("distributed.strategy", "zero2", source, "ds.zero_stage")
