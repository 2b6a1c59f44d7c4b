"""H2O LLM Studio experiment configs: every setting is written, quantization is the backbone's dtype."""

from __future__ import annotations

from collections.abc import Iterable

from loraplan.document import Document, Mapping, Node
from loraplan.formats.components import dtype_name, forget_defaults, optimizer_name
from loraplan.formats.reading import Reading
from loraplan.formats.table import Draft, Versions
from loraplan.formats.values import Unresolved, to_bool, to_float

SIGNATURE = "`llm_backbone` with `problem_type` or an `architecture` section"

_CONFIG = "llm_studio/python_configs/text_causal_language_modeling_config.py@a4971c11"
_MODELING = "llm_studio/src/utils/modeling_utils.py@a4971c11"
_BITS = {"int4": 4, "int8": 8}
# problem_type, without `text_` and `_modeling` -> training method, model task.
_PROBLEMS = {
    "causal_language": ("sft", "causal_lm"),
    "rlhf_language": ("ppo", "causal_lm"),
    "dpo": ("dpo", "causal_lm"),
    "sequence_to_sequence": ("sft", "seq2seq_lm"),
    "causal_classification": ("cls", "sequence_classification"),
    "causal_regression": ("cls", "sequence_classification"),
}


def detect(root: Node, document: Document) -> str | None:
    """The signature found, or None."""
    if isinstance(root, Mapping) and "llm_backbone" in root:
        for key in ("problem_type", "architecture"):
            if key in root:
                return f"llm_backbone + {key}"
    return None


def read(root: Node, document: Document, signature: str, versions: Versions) -> Iterable[Reading]:
    """The one run that the file describes."""
    draft = Draft("h2o-llmstudio", "h2o_llmstudio", root, document, signature, versions)
    draft.fill()
    draft.switch = "training.lora: true"
    lora = to_bool(draft.raw("training.lora")) is not False
    if draft.has("training.lora"):
        draft.set("adapter.method", "lora" if lora else "none", "training.lora")
    else:
        draft.default("adapter.method", "lora", _CONFIG, "training.lora")
    if lora:
        names = draft.raw("training.lora_target_modules")
        if isinstance(names, str) and names.strip() and not isinstance(names, Unresolved):
            targets = tuple(name.strip() for name in names.split(",") if name.strip())
            draft.set("adapter.target_modules", targets, "training.lora_target_modules")
        else:
            draft.default("adapter.target_modules", "all-linear", _MODELING, "training.lora_target_modules")
    _backbone(draft)
    _training(draft)
    _data(draft)
    draft.fill_defaults()
    if not lora:
        forget_defaults(draft, "adapter")
        draft.lora_keys.clear()  # an experiment's file lists every setting, whether it is used or not
    draft.check_keys(near_only=True)
    yield draft.finish()


def _backbone(draft: Draft) -> None:
    """`int4` is bitsandbytes nf4 without nested quantization, computing in float16: hard-coded."""
    kind = draft.raw("architecture.backbone_dtype")
    if not draft.has("architecture.backbone_dtype"):
        kind = "int4"
        draft.default("quantization.bits", 4, _CONFIG, "architecture.backbone_dtype")
    elif isinstance(kind, str):
        draft.set("quantization.bits", _BITS.get(kind, 16), "architecture.backbone_dtype")
        draft.set("model.dtype", dtype_name(kind), "architecture.backbone_dtype")
    if isinstance(kind, str) and kind in _BITS:
        draft.derive("quantization.method", "bnb", ("quantization.bits",), "bitsandbytes")
    if kind == "int4":
        how = "hard-coded in LLM Studio"
        draft.derive("quantization.quant_type", "nf4", ("quantization.bits",), how)
        draft.derive("quantization.double_quant", False, ("quantization.bits",), how)
        draft.derive("quantization.compute_dtype", "float16", ("quantization.bits",), how)


def _training(draft: Draft) -> None:
    problem = draft.raw("problem_type")
    if isinstance(problem, str):
        known = _PROBLEMS.get(problem.removeprefix("text_").removesuffix("_modeling"))
        if known is not None:
            draft.set("method", known[0], "problem_type")
            draft.set("model.task", known[1], "problem_type")
    draft.set("optimizer.name", optimizer_name(draft.raw("training.optimizer")), "training.optimizer")
    clip = to_float(draft.raw("training.gradient_clip"))
    draft.set("optimizer.max_grad_norm", clip or None, "training.gradient_clip")  # 0 is no clipping
    warmup, epochs = to_float(draft.raw("training.warmup_epochs")), to_float(draft.raw("training.epochs"))
    if warmup is None:
        draft.default("schedule.warmup_ratio", 0.0, _CONFIG, "training.warmup_epochs")
    elif epochs:
        draft.set("schedule.warmup_ratio", warmup / epochs, "training.warmup_epochs")
    if to_bool(draft.raw("environment.mixed_precision")) is True:
        kind = dtype_name(draft.raw("environment.mixed_precision_dtype"))
        if kind is not None:
            draft.set("precision.bf16", kind == "bfloat16", "environment.mixed_precision_dtype")
            draft.set("precision.fp16", kind == "float16", "environment.mixed_precision_dtype")
    elif draft.has("environment.mixed_precision"):
        draft.set("precision.bf16", False, "environment.mixed_precision")
        draft.set("precision.fp16", False, "environment.mixed_precision")


def _data(draft: Draft) -> None:
    path = draft.raw("dataset.train_dataframe")
    if isinstance(path, str) and not isinstance(path, Unresolved):
        draft.set("data.datasets", (path,), "dataset.train_dataframe")
    if draft.raw("dataset.validation_strategy") == "automatic":
        draft.set("data.val_size", to_float(draft.raw("dataset.validation_size")), "dataset.validation_size")
    if (masked := to_bool(draft.raw("dataset.mask_prompt_labels"))) is not None:
        draft.set("data.train_on_prompt", not masked, "dataset.mask_prompt_labels")
    gpus = draft.raw("environment.gpus")
    if isinstance(gpus, list) and gpus:
        draft.set("distributed.devices", len(gpus), "environment.gpus")
        draft.set("distributed.strategy", "single" if len(gpus) == 1 else "ddp", "environment.gpus")
    if to_bool(draft.raw("environment.use_deepspeed")) is True:
        method = str(draft.raw("environment.deepspeed_method")).lower()
        strategy = method if method in ("zero2", "zero3") else "deepspeed"
        draft.set("distributed.strategy", strategy, "environment.use_deepspeed")
        draft.set("distributed.deepspeed", strategy, "environment.use_deepspeed")
