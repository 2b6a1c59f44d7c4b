"""Settings that change training and that the Plan has no field for: refused where they change what is learned."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from loraplan.formats.reading import Reading
from loraplan.formats.values import Unresolved, plain, to_float

_REFUSED = frozenset(
    """lr_scheduler_kwargs cosine_min_lr_ratio cosine_constant_lr_ratio label_smoothing_factor rope_scaling embedding_lr
    embedding_lr_scale lr_groups optim_target_modules use_galore use_badam use_apollo use_muon use_adam_mini use_pose
    relora use_dft_loss use_asft_loss use_eaft_loss mask_history shift_attn unfrozen_parameters lisa_n_layers
    overrides_of_model_config curriculum_sampling""".split()
)
_REFUSED_FOR_DPO = frozenset(("label_smoothing", "dpo_label_smoothing", "dpo_use_weighting"))
_BETAS = frozenset(("beta", "rl_beta", "dpo_beta", "pref_beta"))
_BETA = 0.1
"""Of DPO, as TRL has it by default."""
_LOSSES = {"sft": ("nll", "chunked_nll"), "dpo": ("sigmoid",)}
_NOTED = {
    "early_stopping_patience": "all steps are trained",
    "early_stopping_steps": "all steps are trained",
    "group_by_length": "examples are drawn at random",
    "train_sampling_strategy": "examples are drawn at random",
    "data_seed": "the seed orders the data too",
    "metric_for_best_model": "the best checkpoint is that of the lowest held-out loss",
}
_AS_IT_IS = ("random", "loss", "eval_loss")


def judge(reading: Reading) -> tuple[list[str], list[str]]:
    """Notes on settings without effect, and those that are refused, each with its key."""
    notes, refused = [], []
    for key, value in _written(reading):
        if key in _NOTED and value not in _AS_IT_IS and not (key == "data_seed" and value == reading.plan.run.seed):
            notes.append(f"{key} has no effect here: {_NOTED[key]}")
        elif _changes(key, value, reading.plan.method or "sft"):
            refused.append(f"{key}: this trainer has no such setting; leave it out, or use the config's own framework")
    return notes, refused


def _changes(key: str, value: Any, method: str) -> bool:
    """Whether the trainer would learn something else than the setting says."""
    if key in _REFUSED:
        return True
    if key in ("loss_type", "pref_loss") and method in _LOSSES and (key == "loss_type" or method == "dpo"):
        return any(name not in _LOSSES[method] for name in (value if isinstance(value, list) else [value]))
    if method != "dpo":
        return False
    return key in _REFUSED_FOR_DPO or (key in _BETAS and to_float(value) not in (None, _BETA))


def _written(reading: Reading) -> Iterator[tuple[str, Any]]:
    """Settings that are on, of the section where the training arguments stand."""
    section = reading.sections.get(reading.key("run.logging_steps").rpartition(".")[0])
    for entry in section.entries if section is not None else ():
        value = plain(entry.value, "yaml-1.2" if reading.document.syntax == "yaml" else "literal")
        if value and not isinstance(value, Unresolved) and str(value).lower() not in ("false", "none", "null"):
            yield entry.key.text, value
