"""Trackers that transformers reports to: ready before anything is loaded, and what it means where one cannot start."""

from __future__ import annotations

import os
from typing import Any

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
    begin = trainer.callback_handler.on_train_begin

    def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            return begin(*args, **kwargs)
        except CannotRun:
            raise
        except Exception as error:
            names = ", ".join(trainer.args.report_to)
            raise CannotRun(f"report_to {names} cannot start: {type(error).__name__}: {error}; {_REMEDY}") from error

    trainer.callback_handler.on_train_begin = guarded


_REMEDY = "WANDB_MODE=offline keeps wandb's metrics here, --report-to none leaves trackers out"
