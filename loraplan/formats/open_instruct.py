"""allenai/open-instruct's finetune.py: YAML, or the same options in a shell command."""

from __future__ import annotations

from collections.abc import Iterable

from loraplan.document import Document, Mapping, Node
from loraplan.formats import training_arguments
from loraplan.formats.reading import Reading
from loraplan.formats.table import Draft, Versions
from loraplan.formats.values import to_bool

SIGNATURE = "`model_name_or_path` with `use_lora`, `with_tracking`, `checkpointing_steps` or `dataset_mixer_list`"

_SOURCE = "open_instruct/finetune.py@00f6b60"
_MARKS = (
    "use_qlora",
    "with_tracking",
    "checkpointing_steps",
    "dataset_mixer_list",
    "use_slow_tokenizer",
    "reduce_loss",
)
_TARGETS = ("q_proj", "o_proj", "v_proj", "k_proj", "gate_proj", "up_proj", "down_proj")


def detect(root: Node, document: Document) -> str | None:
    """A flat file with two keys that finetune.py alone has, or a command that runs it."""
    if not isinstance(root, Mapping):
        return None
    if document.syntax == "shell":
        call = (root.call or "").replace("\\", "/")
        script = call.rpartition("open_instruct")[2]  # the package has tools too: merge_lora.py, eval
        ours = script[:1] in ("/", ".") and "open_instruct" in call and not script.startswith(("/merge", ".merge"))
        return f"the command `{root.call}`" if ours else None
    if "model_name_or_path" not in root or "finetuning_type" in root or "stage" in root:
        return None
    marks = [key for key in _MARKS if key in root]
    return f"model_name_or_path + {marks[0]}" if len(marks) >= 2 else None


def read(root: Node, document: Document, signature: str, versions: Versions) -> Iterable[Reading]:
    """One run of supervised fine-tuning, or of DPO where the script is dpo_tune.py."""
    if not isinstance(root, Mapping):
        return
    draft = Draft("open-instruct", "open_instruct", root, document, signature, versions)
    draft.switch = "use_lora: true"
    draft.fill()
    dpo = "dpo" in (root.call or "") or "dpo" in document.path.replace("\\", "/").rpartition("/")[2]
    draft.derive("method", "dpo" if dpo else "sft", (), "the script's or the file's name")
    lora, quantized = (_flag(draft, key) for key in ("use_lora", "use_qlora"))
    if draft.has("use_lora"):
        draft.set("adapter.method", "lora" if lora else "none", "use_lora")
    else:
        draft.default("adapter.method", "none", f"{_SOURCE}: FlatArguments", "use_lora")
    if lora:
        draft.default("adapter.target_modules", _TARGETS, f"{_SOURCE}: main, hard-coded")
        draft.default("adapter.bias", "none", f"{_SOURCE}: main, peft's default")
    if quantized:
        _nf4(draft)
    draft.default("model.attn_implementation", "flash_attention_2", f"{_SOURCE}: FlatArguments", "use_flash_attn")
    draft.default("model.dtype", "bfloat16", f"{_SOURCE}: main, hard-coded")
    draft.default("precision.bf16", True, f"{_SOURCE}: main, the model is loaded in bfloat16")
    mixer = draft.raw("dataset_mixer")
    if isinstance(mixer, dict) and mixer:
        draft.set("data.datasets", tuple(map(str, mixer)), "dataset_mixer")
    listed = draft.raw("dataset_mixer_list")
    if isinstance(listed, list) and listed:
        draft.set("data.datasets", tuple(str(item) for item in listed[::2]), "dataset_mixer_list")
    training_arguments.settle(draft, ratio_steps=False)
    draft.fill_defaults()
    if _flag(draft, "use_8bit_optimizer") and quantized:
        draft.set("optimizer.name", "paged_adamw_8bit", "use_8bit_optimizer")
    else:
        name = "paged_adamw_32bit" if quantized else "adamw_torch_fused"
        draft.default("optimizer.name", name, f"{_SOURCE}: main", "use_8bit_optimizer")
    draft.check_keys(near_only=True)
    yield draft.finish()


def _flag(draft: Draft, key: str) -> bool:
    value = draft.raw(key)
    return value == "" or bool(to_bool(value))


def _nf4(draft: Draft) -> None:
    draft.set("quantization.bits", 4, "use_qlora")
    draft.set("quantization.load_in_4bit", True, "use_qlora")
    source = f"{_SOURCE}: main, hard-coded"
    draft.default("quantization.method", "bnb", source)
    draft.default("quantization.quant_type", "nf4", source)
    draft.default("quantization.double_quant", True, source)
    draft.default("quantization.compute_dtype", "bfloat16", source)
