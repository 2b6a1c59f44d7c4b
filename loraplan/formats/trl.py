"""TRL's recipes: the CLI's and the scripts' YAML, alignment-handbook, open-r1; and the same options in a shell command.

Which trainer reads a recipe is not written in it: the command, the keys of one trainer alone, or the file's and the
output folder's names tell. Where nothing does, the method and its defaults stay unknown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from loraplan.document import Document, Mapping, Node
from loraplan.formats import training_arguments
from loraplan.formats.axolotl import paths
from loraplan.formats.reading import Reading
from loraplan.formats.table import Draft, Versions
from loraplan.formats.values import Unresolved

SIGNATURE = "flat `model_name_or_path` with `use_peft`, `dataset_name`, `dataset_mixer` or `dataset_mixture`"

_DATA = ("dataset_name", "dataset_mixer", "dataset_mixture", "dataset_id_or_path", "dataset_train_split", "datasets")
_TRAINING = frozenset(
    "learning_rate num_train_epochs per_device_train_batch_size gradient_accumulation_steps lr_scheduler_type max_steps"
    " output_dir bf16 use_peft lora_r".split()
)
_OTHERS = frozenset(
    "finetuning_type stage template cutoff_len use_lora lora_rank use_qlora with_tracking base_model tuner_type"
    " train_type sft_type checkpointing_steps dataset_mixer_list train_file lora_modules q_lora lora_enable"
    " bits".split()
)
_COMMAND = r"(?:^|[\s/])trl\s+(\w+)|(?:^|[\s/_.])(sft|dpo|grpo|kto|orpo|rloo|reward|gkd|cpo|ppo)(?:_\w+)?(?:\.py|$|\s)"
# Keys that one trainer's config alone has (trl 1.16.0 trainer/*_config.py).
_KEYS = {
    "grpo": ("num_generations", "max_completion_length", "reward_funcs", "num_iterations", "reward_model_name_or_path"),
    "kto": ("desirable_weight", "undesirable_weight"),
    "dpo": ("precompute_ref_log_probs", "max_prompt_length", "label_smoothing", "rpo_alpha", "sync_ref_model"),
    "reward": ("center_rewards_coefficient",),
    "sft": (
        "packing", "packing_strategy", "max_seq_length", "dataset_text_field", "completion_only_loss",
        "assistant_only_loss", "eval_packing", "dataset_kwargs",
    ),
}  # fmt: skip
_LOSSES = {
    "dpo": {"sigmoid", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard", "apo_zero"},
    "grpo": {"grpo", "bnpo", "dr_grpo", "dapo", "cispo", "sapo"},
    "sft": {"nll", "dft", "chunked_nll"},
    "kto": {"kto"},
    "simpo": {"simpo"},
}
_NAMES = ("orpo", "simpo", "kto", "grpo", "rloo", "gkd", "cpo", "ppo", "dpo", "sft", "cpt")
_BASE = "trl/trainer/base_config.py@1.16.0: __post_init__"


def detect(root: Node, document: Document) -> str | None:
    """A flat recipe, or a command that calls `trl` or one of its example scripts."""
    if not isinstance(root, Mapping):
        return None
    if document.syntax == "shell":
        words = (root.call or "").split()
        if "trl" in words or any("trl/scripts" in word or "trl.scripts" in word for word in words):
            return f"the command `{root.call}`"
        return None
    keys = set(root.keys())
    if "model_name_or_path" not in keys or isinstance(root.get("model_name_or_path"), Mapping) or keys & _OTHERS:
        return None
    data = next((key for key in ("use_peft", *_DATA) if key in keys), None)
    if data is None or not keys & _TRAINING:
        return None
    return f"model_name_or_path + {data}"


def read(root: Node, document: Document, signature: str, versions: Versions) -> Iterable[Reading]:
    """One run, with the defaults of the trainer that reads it."""
    if not isinstance(root, Mapping):
        return
    draft = Draft("trl", "trl", root, document, signature, versions)
    draft.switch = "use_peft: true"
    draft.fill()
    trainer(draft)
    _adapter(draft)
    _precision(draft)
    _data(draft)
    training_arguments.quantized(draft)
    training_arguments.settle(draft)
    draft.fill_defaults()
    if draft.values.get("quantization.bits") == 4:
        # trl/trainer/utils.py get_quantization_config: bnb_4bit_compute_dtype is the model's dtype.
        kind = draft.values.get("model.dtype")
        draft.derive("quantization.compute_dtype", kind, ("model.dtype",), "TRL computes in the model's dtype")
    draft.check_keys(near_only=True)
    yield draft.finish()


def trainer(draft: Draft) -> None:
    """`method`: from the command, else the keys of one trainer, else the names of the file and the output folder."""
    call = draft.root.call if isinstance(draft.root, Mapping) else None
    match = re.search(_COMMAND, call or "")
    if match:
        draft.derive("method", match[1] or match[2], (), f"the command `{call}`")
        return
    names = " ".join(str(draft.raw(key) or "") for key in ("output_dir", "hub_model_id", "run_name"))
    parts = draft.document.path.replace("\\", "/").split("/")[:-4:-1]
    by_name = next(filter(None, map(_named, [*parts, names])), None)
    loss = draft.raw("loss_type")
    losses = {str(item) for item in (loss if isinstance(loss, list) else [loss])}
    by_loss = next((method for method, known in _LOSSES.items() if losses & known), None)
    by_key = next((method for method, keys in _KEYS.items() if any(draft.has(key) for key in keys)), None)
    if by_key is None and draft.has("beta"):
        by_key = "dpo"
    found = by_loss or by_key
    if by_name and (found in (None, by_name) or (found == "dpo" and by_name not in ("sft", "cpt"))):
        draft.derive("method", by_name, (), "the file's or output folder's name")
    elif found:
        draft.derive("method", found, (), "keys that only this trainer reads")


def _named(text: str) -> str | None:
    words = set(re.split(r"[^a-z0-9]+", text.lower()))
    return next((name for name in _NAMES if name in words), None)


def _adapter(draft: Draft) -> None:
    """`use_peft`, off by default; a list of one name is passed to PEFT as that name (trl ModelConfig.__post_init__)."""
    flag = draft.raw("use_peft")
    if isinstance(flag, str) and not isinstance(flag, Unresolved):
        flag = flag.lower() in ("true", "1", "yes", "")
    if isinstance(flag, bool):
        draft.set("adapter.method", "lora" if flag else "none", "use_peft")
    elif not isinstance(flag, Unresolved):
        source = "trl/trainer/model_config.py@1.16.0"
        draft.default("adapter.method", "none", source, "use_peft")
    targets = draft.values.get("adapter.target_modules")
    if isinstance(targets, tuple) and len(targets) == 1:
        draft.set("adapter.target_modules", targets[0], "lora_target_modules")
    elif isinstance(targets, str) and draft.document.syntax == "shell" and "," not in targets:
        names = targets.split()
        draft.set("adapter.target_modules", tuple(names) if len(names) > 1 else targets, "lora_target_modules")
    elif isinstance(targets, str) and draft.document.syntax == "yaml":
        # The parser splits a plain string into characters only on the command line; from YAML it passes it on.
        draft.set("adapter.target_modules", targets, "lora_target_modules")
    if draft.values.get("adapter.method") == "lora":
        draft.default("adapter.bias", "none", "trl/trainer/utils.py@1.16.0: get_peft_config")


def _precision(draft: Draft) -> None:
    """bf16 is on unless fp16 is."""
    if "precision.bf16" not in draft.values and "precision.bf16" not in draft.unreadable:
        if draft.values.get("precision.fp16"):
            draft.derive("precision.bf16", False, ("precision.fp16",), "fp16 is on")
        else:
            draft.default("precision.bf16", True, _BASE, "bf16")


def _data(draft: Draft) -> None:
    """Dataset names of `dataset_mixer` (name -> share), `dataset_mixture.datasets` and `datasets`."""
    for key in ("dataset_mixer", "dataset_mixture", "datasets"):
        value: Any = draft.raw(key)
        if isinstance(value, dict):
            inner = value.get("datasets")
            names = (
                paths(inner) if isinstance(inner, list) else tuple(map(str, value)) if key == "dataset_mixer" else ()
            )
        else:
            names = paths(value)
        if names and "data.datasets" not in draft.values:
            draft.set("data.datasets", tuple(dict.fromkeys(names)), key)
