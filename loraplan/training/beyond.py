"""Settings that change training and that the Plan has no field for: refused where they change what is learned."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from loraplan.formats.reading import Reading
from loraplan.formats.values import Unresolved, to_float
from loraplan.origin import Explicit
from loraplan.plan import Schedule
from loraplan.training import written

_REFUSED = frozenset(
    """lr_scheduler_kwargs cosine_min_lr_ratio cosine_constant_lr_ratio lr_quadratic_warmup jagged_restart_steps
    label_smoothing_factor rope_scaling embedding_lr embedding_lr_scale lr_groups optim_target_modules use_galore
    use_badam use_apollo use_muon use_adam_mini use_pose relora use_dft_loss use_asft_loss use_eaft_loss mask_history
    shift_attn unfrozen_parameters lisa_n_layers overrides_of_model_config""".split()
)
_REFUSED_FOR_DPO = frozenset(
    """label_smoothing dpo_label_smoothing dpo_use_weighting use_weighting f_divergence_type ld_alpha rpo_alpha
    sync_ref_model pref_ftx pref_bco_weight""".split()
)
_BETAS = frozenset(("beta", "dpo_beta"))
_BETA = 0.1
"""Of DPO, as TRL has it by default."""
_LOSSES = {"sft": ("nll", "chunked_nll"), "dpo": ("sigmoid",)}
_NOTED = {
    "early_stopping_patience": "all steps are trained",
    "early_stopping_steps": "all steps are trained",
    "group_by_length": "examples are drawn at random",
    "train_sampling_strategy": "examples are drawn at random",
    "curriculum_sampling": "examples are drawn at random",
    "data_seed": "the seed orders the data too",
    "metric_for_best_model": "the best checkpoint is that of the lowest held-out loss",
}
_WSD = "warmup_stable_decay"
_AS_IT_IS = ("random", "loss", "eval_loss", "reverse_kl")
_INSTEAD = {
    "cosine_constant_lr_ratio": "transformers has no cosine that reaches its floor early; leave it out, or use axolotl",
    "lr_scheduler_kwargs": "its values must be numbers or words",
    "dpo_beta": "write rl_beta, or pref_beta of LLaMA-Factory",
}
"""What to write instead, where there is something better than to leave the setting out."""


def judge(reading: Reading) -> tuple[list[str], list[str]]:
    """Notes on settings without effect, and those that are refused, each with its key."""
    notes, refused = [], []
    for key, value in _written(reading):
        if key in _NOTED and value not in _AS_IT_IS and not (key == "data_seed" and value == reading.plan.run.seed):
            notes.append(f"{key} has no effect here: {_NOTED[key]}")
        elif reading.format == "axolotl" and (reason := _idle(reading, key)) is not None:
            notes.append(f"{key} has no effect: {reason}")
        elif _changes(key, value, reading.plan.method or "sft"):
            instead = _INSTEAD.get(key, "leave it out, or use the config's own framework")
            refused.append(f"{key}: {value!r} cannot be honoured here; {instead}")
    if reading.format == "llamafactory" and _splits_what_is_left(reading.plan.schedule):
        key = reading.key("schedule.args")
        refused.append(
            f"{key}: LLaMA-Factory works out the phases of {_WSD}; give num_stable_steps and num_decay_steps"
        )
    return notes, refused


def _idle(reading: Reading, key: str) -> str | None:
    """Why axolotl itself passes over a setting of the schedule."""
    given = {entry_key for entry_key, _ in _written(reading, every=True)}
    name = reading.plan.schedule.name
    if key not in ("cosine_min_lr_ratio", "cosine_constant_lr_ratio") or name == "rex":
        return None
    if name not in ("cosine", "cosine_with_min_lr"):
        return f"the schedule is {name}"
    if key == "cosine_constant_lr_ratio" and "cosine_min_lr_ratio" not in given:
        return "it is without cosine_min_lr_ratio"
    return None


def _splits_what_is_left(schedule: Schedule) -> bool:
    return schedule.name == _WSD and not {"num_stable_steps", "num_decay_steps"} <= set(schedule.args or ())


def _changes(key: str, value: Any, method: str) -> bool:
    """Whether the trainer would learn something else than the setting says."""
    if key in _REFUSED:
        return True
    if key in ("loss_type", "pref_loss") and method in _LOSSES and (key == "loss_type" or method == "dpo"):
        return any(name not in _LOSSES[method] for name in (value if isinstance(value, list) else [value]))
    if method != "dpo":
        return False
    if key in _REFUSED_FOR_DPO:
        return value not in _AS_IT_IS
    return key in _BETAS and to_float(value) not in (None, _BETA)


def _written(reading: Reading, *, every: bool = False) -> Iterator[tuple[str, Any]]:
    """Settings that are on and that no field was read from, of the section where the training arguments stand."""
    read = {origin.key_span for origin in reading.origins.values() if isinstance(origin, Explicit)}
    for entry, value in written.settings(reading):
        on = value and not isinstance(value, Unresolved) and str(value).lower() not in ("false", "none", "null")
        if on and (every or entry.key.span not in read):
            yield entry.key.text, value
