"""Trackers that transformers reports to: ready before anything is loaded, and what it means where one cannot start."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from transformers.integrations import get_reporting_integration_callbacks

from loraplan_trainer.failure import CannotRun
from loraplan_trainer.manifest import Manifest
from loraplan_trainer.situation import absent

_WITHOUT_NETWORK = ("offline", "disabled", "dryrun")


def ready(manifest: Manifest) -> None:
    """Set the trackers' names, and see that they are installed and known to their server. Raises CannotRun."""
    for name, value in manifest.tracking.items():
        os.environ.setdefault(name, value)
    for tracker in manifest.report_to:
        if tracker in absent():
            raise CannotRun(f"report_to {tracker}: the package is not installed; pip install {tracker}")
    if "wandb" in manifest.report_to and os.environ.get("WANDB_MODE", "online") not in _WITHOUT_NETWORK:
        os.environ.setdefault("WANDB_INIT_TIMEOUT", "30")  # wandb's own is 90 s, and it asks after the model is loaded
        import wandb

        try:
            known = wandb.login(verify=False)
        except (wandb.errors.Error, OSError, ValueError) as error:
            raise CannotRun(f"report_to wandb: {error} {_REMEDY}") from error
        if not known:
            raise CannotRun(f"report_to wandb: no account is logged in. {_REMEDY}")


def guard(trainer: Any) -> None:
    """A tracker that cannot start ends the run with a remedy, not as a bug."""
    for name in trainer.args.report_to:
        kinds = tuple(get_reporting_integration_callbacks([name]))
        for callback in trainer.callback_handler.callbacks:
            if isinstance(callback, kinds):
                callback.on_train_begin = _guarded(name, callback.on_train_begin)


def _guarded(name: str, begin: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            return begin(*args, **kwargs)
        except Exception as error:
            raise CannotRun(f"report_to {name} cannot start: {type(error).__name__}: {error}; {_REMEDY}") from error

    return guarded


_REMEDY = "WANDB_MODE=offline keeps wandb's metrics here, --report-to none leaves trackers out"
